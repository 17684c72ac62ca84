"""Spool lines unpacked into columns. Pure; the ingest writes what comes out into the tables.

Nothing a trial says may stop its ingest: a line this version cannot fully understand is kept as it is, and only what
fits the tables is unpacked beside it. A damaged or missing one is replaced by a `LostRecord`.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow

from engines.protocol.codec import BadLine, decode_record, decoded, read_head
from engines.protocol.records import (
    Environment,
    KnownRecord,
    Log,
    PhaseEnded,
    Record,
    Request,
    Stamps,
    Telemetry,
    TrialEnded,
    TrialStarted,
    UnknownRecord,
)
from engines.protocol.sound_lines import SoundLines

_LONG = 2**63
_INTEGER = 2**31


class _Telemetry(Telemetry, frozen=True, kw_only=True, tag="telemetry", forbid_unknown_fields=True):
    """Telemetry with the fields of this version and no others: nothing is lost when only its readings are stored."""


class _Stamps(Stamps, frozen=True, kw_only=True, tag="stamps", forbid_unknown_fields=True):
    pass


_others = [kind for kind in KnownRecord.__args__ if kind not in (Telemetry, Stamps)]
_strict: msgspec.json.Decoder[KnownRecord] = msgspec.json.Decoder(
    functools.reduce(operator.or_, _others, _Telemetry | _Stamps)
)


@dataclass
class _Runs:
    """Rows that come in runs which share a sequence number and a key: stored once a run, repeated at the end."""

    seqs: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    def add(self, seq: int, key: int, times: list[int]) -> None:
        self.seqs.append(seq)
        self.keys.append(key)
        self.lengths.append(len(times))
        self.times += times

    def repeated(self, of: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.repeat(np.array(of, dtype=np.int64), self.lengths)


@dataclass
class Unpacked:
    """A batch of lines, ready for the tables."""

    trial: str
    last_seq: int
    count: int = 0
    started: TrialStarted | None = None
    ended: TrialEnded | None = None
    facts: dict[str, str] = field(default_factory=dict)
    _records: tuple[list[int], list[str], list[int], list[str]] = field(default_factory=lambda: ([], [], [], []))
    _phases: list[PhaseEnded] = field(default_factory=list)
    _requests: list[Request] = field(default_factory=list)
    _logs: list[Log] = field(default_factory=list)
    _tokens: _Runs = field(default_factory=_Runs)
    _samples: _Runs = field(default_factory=_Runs)
    _values: list[float | None] = field(default_factory=list)
    _columns: dict[tuple[str, str], int] = field(default_factory=dict)

    def tables(self) -> dict[str, dict[str, object]]:
        """Columns by table, all of them of this trial."""
        seqs, kinds, times, texts = self._records
        samples = self._samples
        column = samples.repeated(samples.keys)
        tables: dict[str, dict[str, object]] = {
            "records": {"seq": seqs, "kind": kinds, "t_ns": times, "record": texts},
            "phases": _attributes(self._phases, "name", "index", "start_ns", end_ns="t_ns"),
            "requests": _attributes(
                self._requests, *(n for n in Request.__struct_fields__ if n not in ("seq", "t_ns"))
            ),
            "logs": _attributes(self._logs, "seq", "t_ns", "level", "source", "text"),
            "tokens": {
                "seq": self._tokens.repeated(self._tokens.seqs),
                "stamp": self._tokens.repeated(self._tokens.keys) + _within(self._tokens.lengths),
                "t_ns": np.array(self._tokens.times, dtype=np.int64),
            },
            "samples": {
                "seq": samples.repeated(samples.seqs),
                "source": _coded(column, [source for source, _ in self._columns]),
                "quantity": _coded(column, [quantity for _, quantity in self._columns]),
                "t_ns": np.array(samples.times, dtype=np.int64),
                "value": pyarrow.array(self._values, type=pyarrow.float64()),
            },
        }
        for columns in tables.values():
            length = len(next(iter(columns.values())))  # type: ignore[arg-type]
            columns["trial"] = pyarrow.repeat(pyarrow.scalar(self.trial), length)
        return tables

    def take(self, line: str, record: Record, *, exact: bool) -> None:
        """Add one record. With `exact`, the line says nothing but what `record` holds."""
        packed = False
        match record:
            case Telemetry():
                packed = self._take_telemetry(record) and exact
            case Stamps():
                packed = self._take_stamps(record) and exact
            case Log():
                if _fits(record.t_ns):
                    self._logs.append(record)
            case PhaseEnded():
                if _fits(record.start_ns, record.t_ns) and _fits(record.index, bound=_INTEGER):
                    self._phases.append(record)
            case Request():
                if _request_fits(record):
                    self._requests.append(record)
            case Environment():
                self.facts |= record.facts
            case TrialStarted():
                self.started = record
            case TrialEnded():
                self.ended = record
            case _:
                pass
        kind = record.kind if isinstance(record, UnknownRecord) else str(record.__struct_config__.tag)
        self.keep("" if packed else line, kind, record.seq, record.t_ns)

    def keep(self, text: str, kind: str, seq: int, t_ns: int) -> None:
        seqs, kinds, times, texts = self._records
        seqs.append(seq)
        kinds.append(kind)
        times.append(max(-_LONG, min(_LONG - 1, t_ns)))
        texts.append(text)
        self.last_seq = seq
        self.count += 1

    def _take_telemetry(self, record: Telemetry) -> bool:
        """Whether the record can be put together again from its readings."""
        times = record.times_ns
        if not times or not record.columns or not _fits(min(times), max(times)):
            return False
        count = len(times)
        whole = True
        for quantity, values in record.columns.items():
            key = self._columns.setdefault((record.source, quantity), len(self._columns))
            if len(values) == count:
                self._samples.add(record.seq, key, times)
                self._values += values
            else:  # the record is kept whole as well
                whole = False
                self._samples.add(record.seq, key, times[: len(values)])
                self._values += values[:count]
        return whole and _fits(record.t_ns)

    def _take_stamps(self, record: Stamps) -> bool:
        times = record.times_ns
        if not times or not _fits(min(times), max(times), record.first, record.first + len(times)):
            return False
        self._tokens.add(record.seq, record.first, times)
        return _fits(record.t_ns)


def unpack(trial: str, lines: Iterable[str], after: int) -> Unpacked:
    """Unpack the lines numbered `after` + 1, + 2, ... up to the trial's end; earlier ones are skipped."""
    batch = Unpacked(trial, last_seq=after)
    sound = SoundLines(after)
    for seq, raw in (*sound.feed(text.encode("utf-8", "surrogatepass") for text in lines), *sound.settle()):
        if batch.ended is not None:
            break
        line = raw.decode().strip()
        try:
            record, exact = _decode(line)
        except BadLine:  # of a kind that this version knows with other fields
            head = read_head(raw)
            batch.keep(line, "" if head is None else head.kind, seq, 0 if head is None else head.t_ns)
            continue
        batch.take(line, record, exact=exact)
    return batch


def _decode(line: str) -> tuple[Record, bool]:
    try:
        return decoded(_strict, line.encode()), True
    except msgspec.MsgspecError:
        return decode_record(line), False


def _fits(*numbers: int, bound: int = _LONG) -> bool:
    return all(-bound <= number < bound for number in numbers)


def _request_fits(record: Request) -> bool:
    small = (record.index, record.stamps, record.prompt_tokens, record.generated_tokens, record.batch_size)
    return _fits(record.start_ns, record.end_ns, record.first_stamp) and _fits(*small, bound=_INTEGER)


def _attributes(records: Iterable[object], *names: str, **renamed: str) -> dict[str, object]:
    rows = list(records)
    wanted = {name: name for name in names} | renamed
    return {column: [getattr(row, name) for row in rows] for column, name in wanted.items()}


def _within(lengths: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """0, 1, 2, ... within each run."""
    ends = np.cumsum(np.array(lengths, dtype=np.int64))
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total, dtype=np.int64) - np.repeat(ends - np.array(lengths, dtype=np.int64), lengths)


def _coded(codes: np.ndarray[tuple[int], np.dtype[np.int64]], words: list[str]) -> object:
    """A text column of few words: a code a row and each word once."""
    return pyarrow.DictionaryArray.from_arrays(
        pyarrow.array(codes.astype(np.int32)), pyarrow.array(words, type=pyarrow.string())
    )
