"""What a running trial has said and not yet written, and the writing of it, also on a full disk.

Owned by the trial's loop; `emit` alone may be called from any thread.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from engines.protocol.records import Record, TrialEnded
from engines.runner.spools.spool import SpoolWriter

_log = logging.getLogger(__name__)


class Journal:
    """Collects records and appends them in batches. After `error` is set nothing more is expected to fit."""

    def __init__(self, spool: SpoolWriter, *, grew: Callable[[], None], failed: Callable[[OSError], None]) -> None:
        self._spool = spool
        self._grew = grew
        self._failed = failed
        self._pending: list[Record] = []
        self._emitted: deque[Record] = deque()
        self.error: OSError | None = None

    def emit(self, record: Record) -> None:
        """From any thread; taken in at the next flush, so that a sampler's thread wakes nobody."""
        self._emitted.append(record)

    def add(self, records: Iterable[Record]) -> None:
        self._pending.extend(records)

    def flush(self) -> None:
        """Write what there is. The first failure frees the ballast, tries again and tells `failed`."""
        while self._emitted:
            self._pending.append(self._emitted.popleft())
        if not self._pending:
            return
        try:
            self._spool.append(self._pending)
        except OSError as error:
            if self.error is None:
                self.error = error
                self._spool.release_ballast(0)
                self._failed(error)
                self.flush()
            return
        self._pending = []
        self._grew()

    def end(self, ended: TrialEnded) -> bool:
        """Write the rest and the end record, the rest cut short where it does not fit. -> whether the end is in the
        spool; where it does not (somebody else took the space kept for it) the end can be tried again later."""
        self.flush()
        dropped = self._append_what_fits()
        if dropped:
            _log.error("%d records of a trial found no space", dropped)
            note = f"{ended.message} {dropped} records found no space."
            ended = msgspec.structs.replace(ended, message=note)
        for ballast in (None, 1):
            if ballast is not None:
                self._spool.release_ballast(ballast)
            try:
                self._spool.append([ended])
            except OSError as error:
                self.error = error
                continue
            self._grew()
            return True
        return False

    def _append_what_fits(self) -> int:
        """-> records for which there was no space."""
        while self._pending:
            count = len(self._pending)
            while count > 0:
                try:
                    self._spool.append(self._pending[:count])
                    break
                except OSError:
                    count //= 2
            if count == 0:
                break
            self._pending = self._pending[count:]
            self._grew()
        dropped, self._pending = len(self._pending), []
        return dropped
