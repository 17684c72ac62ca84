"""What stored trials have left on disk, from their records. Any store, any process; blocking."""

from __future__ import annotations

from pathlib import Path

from engines.protocol.codec import read_record
from engines.protocol.records import Artifact, Resumed
from workbench.store.operations import ReadKinds, Store
from workbench.units import format_bytes

_ARTIFACT = str(Artifact.__struct_config__.tag)
_RESUMED = str(Resumed.__struct_config__.tag)


def artifacts_of(store: Store, experiment: str) -> dict[str, tuple[Artifact, ...]]:
    """By trial, as they were written. Of what was written again (a checkpoint) the last. Raises `StoreError`."""
    found: dict[str, dict[str, Artifact]] = {}
    for row in store.execute(ReadKinds(experiment=experiment, kinds=(_ARTIFACT,))):
        record = read_record(row.line)
        if isinstance(record, Artifact):
            found.setdefault(row.trial, {})[record.path] = record
    return {trial: tuple(by_path.values()) for trial, by_path in found.items()}


def resumed_of(store: Store, experiment: str) -> dict[str, Resumed]:
    """Trials that continued from a checkpoint. Raises `StoreError`."""
    said = (
        (row.trial, read_record(row.line)) for row in store.execute(ReadKinds(experiment=experiment, kinds=(_RESUMED,)))
    )
    return {trial: record for trial, record in said if isinstance(record, Resumed)}


def artifact_rows(artifacts: tuple[Artifact, ...]) -> list[tuple[str, str, str, str]]:
    """For people: what, size, hash, and where it is, or that it is not there any more. Checkpoints that later ones
    have replaced are left out."""
    rows = []
    for one in artifacts:
        there = Path(one.path).exists()
        if there or one.artifact != "checkpoint":
            where = one.path if there else f"not here any more: {one.path}"
            rows.append((one.artifact, format_bytes(one.bytes), one.sha256, where))
    return rows
