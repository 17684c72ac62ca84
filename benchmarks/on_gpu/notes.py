"""Where a part writes what it finds: a file that is whole after every entry, so that a killed part loses nothing.

In the part's own process."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from benchmarks.on_gpu.report import Finding, Outcome, Table, replace


class NotHere(Exception):
    """This machine cannot answer the part's question; the text says why."""


class Written(msgspec.Struct, kw_only=True):
    """What the file holds. `outcome` is "" until the part has ended."""

    outcome: Outcome | None = None
    reason: str = ""
    findings: list[Finding] = []
    tables: list[Table] = []
    raw: dict[str, object] = {}


class Notes:
    def __init__(self, file: Path, seconds: float, records: Path) -> None:
        """`seconds`: how long this process may live from now on. `records`: file for the records of trials."""
        self._file = file
        self._end = time.monotonic() + seconds
        self.records = records
        self.written = Written()

    def left_s(self) -> float:
        return self._end - time.monotonic()

    def add(self, name: str, value: float | str | None, unit: str = "", note: str = "") -> None:
        self.written.findings.append(Finding(name, value, unit, note))
        self._save()

    def table(self, title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        """Again with the same title, it takes the place of the one before."""
        kept = [t for t in self.written.tables if t.title != title]
        self.written.tables = [*kept, Table(title, head, tuple(rows))]
        self._save()

    def keep(self, name: str, raw: object) -> None:
        self.written.raw[name] = raw
        self._save()

    def end(self, outcome: Outcome, reason: str = "") -> None:
        self.written.outcome, self.written.reason = outcome, reason
        self._save()

    def _save(self) -> None:
        replace(self._file, msgspec.json.encode(self.written))


def read(file: Path) -> Written:
    """What a part has written so far; nothing where it came to nothing."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Written)
    except (OSError, msgspec.MsgspecError):
        return Written()
