"""`llm-workbench quantise`: make GGUF files of a model before an experiment needs them, and list them."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from engines.models.lookup.resolve import resolve
from engines.protocol.places import places
from engines.protocol.problems import Problem
from engines.protocol.settings import did_you_mean
from engines.techniques import MachineFacts
from engines.techniques.gguf import LADDER, obstacle_of
from workbench.cli import INTERRUPTED, OK, TRIALS_FAILED, WRONG
from workbench.cli.main import complain
from workbench.cli.progress import Bar
from workbench.cli.tables import print_table
from workbench.models.fetching import FetchError
from workbench.models.gguf_files import MadeFile, files_of, make_files
from workbench.units import format_bytes


def quantise(options: argparse.Namespace) -> int:
    """Make the wanted files, or list what is there."""
    here = places()
    found = resolve(options.model, here, Path.cwd())
    if isinstance(found, Problem):
        complain(options, f"{found.place}: {found.message}", found.hint)
        return WRONG
    wanted = _types(options.to)
    unknown = [name for name in wanted if name not in LADDER]
    if unknown:
        hint = did_you_mean(unknown[0].upper(), list(LADDER), show=len(LADDER))
        complain(options, f"There is no type {unknown[0]}.", hint)
        return WRONG
    obstacle = obstacle_of(found.facts, MachineFacts(device_kind="cpu"))
    if obstacle:
        complain(options, f"{found.order.title}: {obstacle}")
        return WRONG
    try:
        with Bar() as bar:
            if options.list:
                made = files_of(found.order, here)
            else:
                made = make_files(found.order, wanted, here, bar.show, threads=options.threads or 0)
    except FetchError as error:
        complain(options, str(error), error.advice)
        return TRIALS_FAILED
    except KeyboardInterrupt:
        complain(options, "Interrupted.", "Files that were finished stay; nothing half-made was left.")
        return INTERRUPTED
    _show(made, found.order.title, as_json=options.json)
    return OK


def _types(text: str | None) -> tuple[str, ...]:
    if not text:
        return LADDER
    return tuple(dict.fromkeys(name.strip().upper() for name in text.split(",") if name.strip()))


def _show(made: tuple[MadeFile, ...], title: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{**asdict(file), "path": str(file.path)} for file in made], indent=2))
        return
    if not made:
        print(f"No GGUF files of {title} have been made.")
        return
    rows = [
        (f.type, format_bytes(f.size_bytes), f"{f.bits_per_weight:.2f}", f.requantised_from or "no", f.tensor_types)
        for f in made
    ]
    header = ("type", "size", "bits per weight", "requantised from", "tensors by type")
    print_table(header, rows, right=frozenset({1, 2}))
    for file in made:
        if file.fallback:
            print(f"{file.type}: {file.fallback}.")
    print(f"Made by {made[0].made_by}; kept in {made[0].path.parent}")
    sys.stdout.flush()
