"""End records: those of trials without a worker, and those that a full disk did not take. On the runner's loop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from time import monotonic_ns

from engines.protocol.codec import BadLine, decode_record, read_record
from engines.protocol.messages import QueueEntry
from engines.protocol.orders import AfterOrder
from engines.protocol.records import Record, Stamps, TrialEnded
from engines.protocol.ring import BadRing, RingReader
from engines.runner.outcome import Judgement
from engines.runner.spools.archive import Entry
from engines.runner.spools.spool import RING, SpoolReader, clock_pair

_log = logging.getLogger(__name__)

DIED = Judgement(
    "lost",
    "runner_died",
    "The runner died while this trial ran.",
    "What was measured until then is kept, and the queue continued. Run the trial again for a complete one.",
)
NEVER_RAN = Judgement("stopped", "", "Removed from the queue before it started.")


def not_tried(first: TrialEnded, block: int) -> Judgement:
    """The end of a trial whose configuration failed in `block`, from 0, for a reason that stays."""
    message = f"Not tried: block {block + 1} failed for a reason that stays the same. {first.message}"
    return Judgement("failed", first.failure, message, first.advice)


def not_run(first: QueueEntry | None, after: AfterOrder) -> Judgement:
    """The end of a trial whose model another one did not leave; `first` where the queue remembers it."""
    if first is None or first.outcome == "completed":
        why = f"the {after.artifact} of trial {after.trial} is not on this computer."
        kind = "model_not_kept"
    else:
        why = f"{first.title}, which trains its model, {_ENDED.get(first.outcome, first.outcome)}. {first.message}"
        kind = "model_not_trained"
    advice = "Run the training again together with this trial; what was measured is kept."
    return Judgement("failed", kind, f"Not run: {why.strip()}", advice)


_ENDED = {"stopped": "was stopped", "lost": "was lost"}


class EndRecords:
    """Writes end records, and keeps those that found no space until there is some."""

    def __init__(self, *, written: Callable[[str], None], failed: Callable[[OSError], None]) -> None:
        self._written = written
        self._failed = failed
        self._owed: dict[str, tuple[Entry, TrialEnded]] = {}

    def write(self, entry: Entry, judgement: Judgement, before: Sequence[Record] = ()) -> None:
        """End a trial that no worker runs (any more)."""
        ended = ended_record(judgement)
        entry.writer.release_ballast(0)
        entry.writer.release_ballast(1)
        try:
            entry.writer.append([*before, ended])
        except OSError as error:
            self._owed[entry.trial] = (entry, ended)
            self._failed(error)
            return
        self.close(entry)

    def close(self, entry: Entry) -> None:
        """Nothing more comes: give back what only a running trial needs."""
        entry.writer.clear()
        entry.writer.close()
        self._written(entry.trial)

    def owe(self, entry: Entry, ended: TrialEnded) -> None:
        """Keep an end record that did not fit, for `pay`."""
        entry.writer.clear()
        self._owed[entry.trial] = (entry, ended)

    def pay(self) -> None:
        """Write what is owed, as far as there is space."""
        for trial, (entry, ended) in list(self._owed.items()):
            try:
                entry.writer.append([ended])
            except OSError as error:
                _log.error("the end of %s still finds no space: %s", trial, error)
                continue
            del self._owed[trial]
            self.close(entry)

    def forget(self, trial: str) -> None:
        self._owed.pop(trial, None)


def ended_record(judgement: Judgement) -> TrialEnded:
    """The end record of a trial that ends now."""
    return TrialEnded(
        t_ns=monotonic_ns(),
        outcome=judgement.outcome,
        failure=judgement.failure,
        message=judgement.message,
        advice=judgement.advice,
        clock=clock_pair(),
    )


def read_end(entry: Entry) -> TrialEnded | None:
    """The end record of a complete spool."""
    last = entry.writer.last_seq
    try:
        reader = SpoolReader(entry.folder, last - 1)
    except OSError:
        return None
    try:
        while (lines := reader.read(entry.writer)) is not None:
            for _, line in lines:
                record = read_record(line)
                if isinstance(record, TrialEnded):
                    return record
    except OSError:
        return None
    finally:
        reader.close()
    return None


def rest_of_ring(entry: Entry) -> list[Record]:
    """Stamps that a killed runner had not read yet: the ring outlived it."""
    known = 0
    try:
        ring = RingReader(entry.folder / RING)
    except (OSError, BadRing):
        return []
    try:
        reader = SpoolReader(entry.folder, 0)
    except OSError:
        ring.close()
        return []
    try:
        while (lines := reader.read(entry.writer)) is not None:
            for _, line in lines:
                if b'"stamps"' in line:
                    record = decode_record(line)
                    if isinstance(record, Stamps):
                        known = record.first + len(record.times_ns)
        times = ring.read(known)
    except (OSError, BadLine):
        times = []
    finally:
        reader.close()
        ring.close()
    return [Stamps(t_ns=monotonic_ns(), first=known, times_ns=times)] if times else []
