"""All spools of this user on this machine: finding, acknowledging, burying, and deleting them after their time.

Runs in the runner, on its loop. What it knows of a finished spool is kept in memory, read once at the start.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.protocol.messages import Spool
from engines.protocol.orders import TrialOrder, is_safe_name
from engines.protocol.private import open_private, private_folder
from engines.runner.spools.spool import (
    RECORDS,
    BadSpool,
    SpoolWriter,
    read_acknowledged,
    read_header,
    remove_spool,
    write_acknowledged,
)

_log = logging.getLogger(__name__)
_BURIED = ".buried"


@dataclass
class Entry:
    """One spool. A running trial's figures are its writer's."""

    trial: str
    store: str
    experiment: str
    folder: Path
    writer: SpoolWriter
    acknowledged: int = 0

    def described(self) -> Spool:
        return Spool(
            trial=self.trial,
            store=self.store,
            experiment=self.experiment,
            last_seq=self.writer.last_seq,
            complete=self.writer.complete,
            acknowledged=self.acknowledged,
            size_bytes=self.writer.size,
        )


class Archive:
    """Owns `places.spools`. Trials deleted by their store stay known by their tombstone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[str, Entry] = {}
        private_folder(folder)
        self._buried = self._read_tombstones()

    def recover(self) -> Iterator[Entry]:
        """Read every spool at the start of a runner; yields those without an end, their writers open.

        A folder without a header and without a record was never promised to anyone: it is removed. One that cannot be
        read is left alone and said in the log.
        """
        for folder in sorted(path for path in self.folder.iterdir() if path.is_dir()):
            if folder.name in self._buried:
                _remove(folder)
                continue
            try:
                writer = SpoolWriter.recover(folder)
            except (BadSpool, FileNotFoundError) as error:
                _log.warning("removed a spool that was never written: %s: %s", folder.name, error)
                _remove(folder)
                continue
            except OSError as error:
                _log.error("cannot read spool %s, left as it is: %s", folder.name, error)
                continue
            try:
                header = read_header(folder)
            except (BadSpool, OSError) as error:
                writer.close()
                _log.error("cannot tell whose spool %s is, left as it is: %s", folder.name, error)
                continue
            entry = Entry(
                folder.name, header.store, header.experiment, folder, writer, acknowledged=read_acknowledged(folder)
            )
            self._entries[entry.trial] = entry
            if writer.complete:
                writer.clear()
                writer.close()
            else:
                yield entry

    def create(self, order: TrialOrder) -> Entry:
        """A spool for a trial that starts now. Raises OSError (a full disk), leaving nothing behind."""
        folder = self.folder / order.trial
        if order.trial not in self._entries:
            remove_spool(folder)
        entry = Entry(order.trial, order.store, order.experiment, folder, SpoolWriter.create(folder, order))
        self._entries[order.trial] = entry
        return entry

    def discard(self, trial: str) -> None:
        """Drop a spool whose trial did not come to start."""
        entry = self._entries.pop(trial, None)
        if entry is not None:
            entry.writer.close()
            _remove(entry.folder)

    def get(self, trial: str) -> Entry | None:
        return self._entries.get(trial)

    def spools(self, store: str = "") -> tuple[Spool, ...]:
        return tuple(entry.described() for entry in self._entries.values() if store in ("", entry.store))

    def is_buried(self, trial: str) -> bool:
        return trial in self._buried

    def acknowledge(self, trial: str, seq: int) -> bool:
        """Note what the store has. -> whether the trial is known."""
        entry = self._entries.get(trial)
        if entry is None:
            return False
        seq = min(seq, entry.writer.last_seq)
        if seq > entry.acknowledged:
            entry.acknowledged = seq
            try:
                write_acknowledged(entry.folder, seq)
            except OSError as error:
                _log.warning("acknowledgement of %s kept in memory only: %s", trial, error)
        return True

    def bury(self, trial: str) -> None:
        """Leave a tombstone, then delete. Raises OSError before anything is deleted where none can be left."""
        if trial not in self._buried:
            listed = open_private(self.folder / _BURIED, os.O_WRONLY | os.O_APPEND)
            with open(listed, "a", encoding="ascii") as file:  # noqa: PTH123  a descriptor, for its mode
                file.write(trial + "\n")
                file.flush()
                os.fsync(file.fileno())  # before anything is deleted: a power loss must not bring the trial back
            self._buried.add(trial)
        entry = self._entries.pop(trial, None)
        if entry is not None:
            entry.writer.close()
        remove_spool(self.folder / trial)

    def expire(self, keep_s: float) -> list[str]:
        """Delete spools that ended and were acknowledged to the end more than `keep_s` seconds ago. -> their trials"""
        gone = []
        limit = time.time() - keep_s
        for entry in list(self._entries.values()):
            writer = entry.writer
            if not writer.complete or entry.acknowledged < writer.last_seq:
                continue
            try:
                old = (entry.folder / RECORDS).stat().st_mtime < limit
                if old:
                    remove_spool(entry.folder)
            except OSError as error:
                _log.warning("cannot delete spool %s: %s", entry.trial, error)
                continue
            if old:
                del self._entries[entry.trial]
                gone.append(entry.trial)
        return gone

    def _read_tombstones(self) -> set[str]:
        try:
            text = (self.folder / _BURIED).read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return set()
        return {line for line in text.split("\n") if is_safe_name(line)}


def _remove(folder: Path) -> None:
    """What cannot go now (a worker of the dead runner may die only this moment, and write) goes at the next start."""
    try:
        remove_spool(folder)
    except OSError as error:
        _log.warning("cannot delete spool %s: %s", folder.name, error)
