"""`llm-workbench clean`: what takes room and serves nobody any more, listed with sizes and removed after asking."""

from __future__ import annotations

import argparse
import json
import sys

from workbench.cli import OK, STORE, WRONG
from workbench.cli.main import complain
from workbench.cli.tables import print_table
from workbench.running.cleaning import leftovers, remove, unfinished
from workbench.running.workbench import Workbench
from workbench.units import counted, format_bytes


def clean(options: argparse.Namespace) -> int:
    """List, ask on a terminal (elsewhere --yes is needed), remove."""
    with Workbench(options.database, client="clean") as workbench:
        workbench.catch_up()
        if (open_ := unfinished(workbench.store)) and options.yes:
            complain(
                options,
                f"{counted(open_, 'trials')} not ended: waiting and running trials may use these files.",
                "Nothing was removed. Clean when they have ended.",
            )
            return WRONG
        found = leftovers(workbench.store, workbench.places)
        if options.json and not options.yes:
            print(json.dumps([{"path": str(f.path), "what": f.what, "bytes": f.bytes} for f in found]))
            return OK
        if not found:
            print(json.dumps({"removed": [], "bytes": 0}) if options.json else "There is nothing to remove.")
            return OK
        total = format_bytes(sum(f.bytes for f in found))
        if not options.json:
            print_table(("what", "size", "where"), [(f.what, format_bytes(f.bytes), str(f.path)) for f in found])
            print(f"Together {total}. Merged models are made again when a trial needs them.")
        if not options.yes:
            if open_ or not sys.stdin.isatty():
                print("Nothing was removed: " + ("trials are waiting or running." if open_ else "add --yes."))
                return OK
            if input(f"Remove {total} for good? [y/N] ").strip().lower() not in ("y", "yes"):
                return OK
        removed = 0
        for leftover in found:
            try:
                remove(leftover)
            except OSError as error:
                complain(options, f"{leftover.path} could not be removed: {error}", "What is listed above it is gone.")
                return STORE
            removed += leftover.bytes
    said = {"removed": [str(f.path) for f in found], "bytes": removed}
    print(json.dumps(said) if options.json else f"Removed {format_bytes(removed)}.")
    return OK
