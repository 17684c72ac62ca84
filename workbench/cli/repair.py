"""`llm-workbench repair`: a damaged database made whole."""

from __future__ import annotations

import argparse

import msgspec

from engines.protocol.places import places
from workbench.cli import OK
from workbench.cli.progress import Bar
from workbench.running.workbench import Workbench
from workbench.store.salvage import salvage
from workbench.units import counted


def repair(options: argparse.Namespace) -> int:
    """The damaged file is kept. Figures of what was repaired are made again at once."""
    here = places()
    with Bar() as bar:
        done = salvage(options.database or here.database, here.spools, bar.show)
    with Workbench(done.database, client="repair") as workbench:
        workbench.catch_up()
    if options.json:
        print(msgspec.json.encode(done).decode())
        return OK
    print(f"{done.database} is repaired: {counted(done.trials, 'trials')}.")
    for source, trials in done.found.items():
        print(f"From {source}: {counted(trials, 'trials')}.")
    if done.restored:
        print(f"Whole because of spools or copies: {counted(len(done.restored), 'trials')}.")
    if done.incomplete:
        print(f"Invalid now, because records are lost: {', '.join(done.incomplete)}")
    print(f"The damaged file is kept as {done.kept}")
    return OK
