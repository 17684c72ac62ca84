"""A whole experiment as a folder of Parquet files, and back. Blocking; any thread.

One file a table, as `docs/store.md` explains them, and `bundle.json`. Any tool that reads Parquet can recompute every
figure from them: `tests/workbench/running/test_recomputation.py` does, in plain SQL.
"""

from __future__ import annotations

from pathlib import Path

from workbench.running.intake import Assumed, judge_leftovers, nothing_assumed
from workbench.store.operations import Bundled, ExportBundle, ImportBundle, Store


def export_bundle(store: Store, experiment: str, folder: Path) -> Bundled:
    """Write the experiment's ended trials into `folder`, made where missing. The experiment by id, number or unique
    name, "" for the newest. A folder that holds anything but an older bundle is refused. Raises `StoreError`."""
    return store.execute(ExportBundle(experiment=experiment, folder=str(folder.absolute())))


def import_bundle(store: Store, folder: Path, assumed: Assumed = nothing_assumed) -> Bundled:
    """Take a bundle in and make its figures from its records. Trials stored already are left as they are; a deleted one
    comes back. Raises `StoreError`, and then nothing was changed."""
    done = store.execute(ImportBundle(folder=str(folder.absolute())))
    judge_leftovers(store, assumed)
    return done
