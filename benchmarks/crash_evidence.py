"""What a home shows after its processes were killed: store, spools and witnesses against each other. A library of
`benchmarks.crash_safety`; opens the database as a guest of whoever follows, or as its owner."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from engines.protocol.client import RunnerError
from engines.protocol.codec import decode_record
from engines.protocol.records import LostRecord, Record, Stamps, TrialEnded, TrialStarted
from engines.runner.spools.spool import RECORDS
from workbench.running.workbench import Workbench
from workbench.store.operations import ListTrials, Query, ReadRecords, StoreError, TrialRow

_FAULTS = ("lost", "doubled", "unfinished", "left")
_FIGURES = ("trials", "records", "stamps", "samples", "told", "sworn")


@dataclass
class Findings:
    """Each list names what was found; all of them are to be empty."""

    settled: bool = True
    """Whether every trial has come to its end."""
    trials: int = 0
    records: int = 0
    stamps: int = 0
    samples: int = 0
    told: int = 0
    sworn: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not (self.lost or self.doubled or self.unfinished or self.left)

    def with_faults_of(self, earlier: Findings) -> Findings:
        """The figures of a later look at the same home, with what an earlier look found wrong."""
        return replace(
            self, **{name: list(dict.fromkeys(getattr(earlier, name) + getattr(self, name))) for name in _FAULTS}
        )

    def together(self, other: Findings) -> Findings:
        """With those of another home."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in (*_FAULTS, *_FIGURES)}
        return replace(self, **sums, outcomes=dict(Counter(self.outcomes) + Counter(other.outcomes)))

    def summary(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        lines = [
            f"{self.trials} trials ({outcomes}): {self.records} records, {self.stamps} stamps and {self.samples} "
            f"samples compared with their spools; {self.told} records told to listeners, {self.sworn} sworn by workers",
            f"lost {len(self.lost)}, doubled {len(self.doubled)}, without an end {len(self.unfinished)}, "
            f"processes left {len(self.left)} (reference: 0, 0, 0, 0)",
        ]
        for name in _FAULTS:
            lines += [f"  {name}: {what}" for what in getattr(self, name)[:10]]
        return "\n".join(lines)


def judge(folder: Path) -> Findings:
    """Compare. `settled` is False while trials run or the store has not caught up."""
    found = Findings()
    try:
        with Workbench(client="judge") as workbench:
            queue = workbench.queue()
            waiting = [f"{e.trial} {e.state} {queue.pause_reason}" for e in queue.entries if e.state != "ended"]
            if waiting:
                return Findings(settled=False, unfinished=waiting)
            rows = workbench.store.execute(ListTrials(limit=1_000_000))
            told = _told(folder)
            for row in rows:
                _judge_trial(workbench, folder, row, told[row.trial], found)
            _judge_tables(workbench, found)
    except (StoreError, RunnerError) as error:
        return Findings(settled=False, unfinished=[str(error)])
    known = {row.trial for row in rows}
    found.lost += [f"{t} was handed over and is not stored" for t in _lines(folder / "handed") if t not in known]
    found.settled = found.sound
    return found


def _judge_trial(workbench: Workbench, folder: Path, row: TrialRow, told: set[int], found: Findings) -> None:
    found.trials += 1
    if row.state != "ended" or (row.verdict is None and row.failure != "unknown_to_runner"):
        found.unfinished.append(f"{row.trial} {row.state} {row.outcome}, verdict {row.verdict}")
        return
    outcome = row.failure or row.outcome or ""
    found.outcomes[outcome] = found.outcomes.get(outcome, 0) + 1
    stored = [decode_record(line) for line in workbench.store.execute(ReadRecords(trial=row.trial))]
    found.records += len(stored)
    numbers = {record.seq for record in stored}
    if len(numbers) < len(stored):
        found.doubled.append(f"{row.trial}: {len(stored)} records of {len(numbers)} numbers")
    spool = workbench.places.spools / row.trial / RECORDS
    written = [decode_record(line) for line in spool.read_bytes().splitlines()[1:]] if spool.exists() else []
    missing = len({record.seq for record in written} - numbers)
    if missing or (not spool.exists() and row.failure != "unknown_to_runner"):
        found.lost.append(f"{row.trial}: {missing} of {len(written)} records in its spool are not stored")
    elif [_plain(record) for record in written] != [_plain(record) for record in stored]:
        found.lost.append(f"{row.trial}: stored otherwise than written")
    if any(isinstance(record, LostRecord) for record in stored):
        found.lost.append(f"{row.trial} has stand-ins for records")
    if stored and not isinstance(stored[-1], TrialEnded):
        found.unfinished.append(f"{row.trial}: {row.outcome}, and its last record is no end")
    found.told += len(told)
    if told - numbers:
        found.lost.append(f"{row.trial}: {len(told - numbers)} records were told and are not stored")
    _judge_sworn(folder, row, stored, found)


def _judge_sworn(folder: Path, row: TrialRow, stored: list[Record], found: Findings) -> None:
    """What the worker said before it was killed. Where the runner was killed too, only the ring outlives the pipe."""
    started = [record for record in stored if isinstance(record, TrialStarted)]
    if not started:
        return
    said = [words.split() for words in _lines(folder / "witness" / row.trial)]
    own = [(kind, int(number)) for pid, kind, number in said if int(pid) == started[0].worker_pid]
    found.sworn += len(own)
    stamps = sum(len(record.times_ns) for record in stored if isinstance(record, Stamps))
    most = max((number for kind, number in own if kind == "stamp"), default=0)
    if stamps < most:
        found.lost.append(f"{row.trial}: the worker made {most} stamps, {stamps} are stored ({row.failure})")
    if row.failure == "runner_died":
        return
    there = Counter((str(record.__struct_config__.tag), record.t_ns) for record in stored)
    counts = [there[word] for word in own if word[0] != "stamp"]
    if 0 in counts:
        found.lost.append(f"{row.trial}: {counts.count(0)} records of its worker are not stored ({row.outcome})")
    if any(count > 1 for count in counts):
        found.doubled.append(f"{row.trial}: a record of its worker is stored twice")


def _judge_tables(workbench: Workbench, found: Findings) -> None:
    """Rows that were unpacked from records: none twice, and as many as the records say."""

    def ask(sql: str) -> tuple[tuple[object, ...], ...]:
        return workbench.store.execute(Query(sql=sql)).rows

    keys = {
        "records": "seq",
        "tokens": "stamp",
        "requests": '"index"',
        "logs": "seq",
        "samples": "source, quantity, t_ns",
    }
    for table, key in keys.items():
        rows = ask(f"SELECT trial, {key}, count(*) FROM {table} GROUP BY ALL HAVING count(*) > 1")
        found.doubled += [f"{table}: {row}" for row in rows]
    counted = ask("SELECT (SELECT count(*) FROM tokens), (SELECT count(*) FROM samples)")
    found.stamps, found.samples = (int(str(number)) for number in counted[0])


def _told(folder: Path) -> dict[str, set[int]]:
    """Numbers of records that any listener was ever told, by trial."""
    told: dict[str, set[int]] = defaultdict(set)
    for path in (folder / "told").iterdir():
        for line in _lines(path):
            trial, *numbers = line.split()
            told[trial].update(map(int, numbers))
    return told


def _plain(record: Record) -> object:
    return msgspec.to_builtins(record)


def _lines(path: Path) -> list[str]:
    """Whole lines: the last one may have been torn by a kill."""
    try:
        return path.read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
