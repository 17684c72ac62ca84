"""JSON lines to and from protocol types. Pure functions; any thread, any process."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from engines.protocol.kinds import TrialOrder
from engines.protocol.messages import Answer, Call
from engines.protocol.old_orders import upgraded
from engines.protocol.records import (
    KnownRecord,
    Log,
    LostRecord,
    PhaseStarted,
    Progress,
    Record,
    UnknownRecord,
    WrittenText,
)

_LONG = 2**63
_KINDS = frozenset(str(kind.__struct_config__.tag) for kind in KnownRecord.__args__)
_FOR_PEOPLE = frozenset(str(kind.__struct_config__.tag) for kind in (PhaseStarted, Progress, Log, WrittenText))
_record_decoder: msgspec.json.Decoder[KnownRecord] = msgspec.json.Decoder(KnownRecord)
_call_decoder = msgspec.json.Decoder(Call)
_answer_decoder = msgspec.json.Decoder(Answer)
_any_decoder: msgspec.json.Decoder[object] = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


T = TypeVar("T", covariant=True)


class _Decoder(Protocol[T]):
    def decode(self, data: bytes, /) -> T: ...


def decoded(decoder: _Decoder[T], data: bytes) -> T:
    """The value of a JSON text that somebody else wrote. Raises `msgspec.MsgspecError`, `UnicodeDecodeError`, and
    nothing else: brackets within brackets without end are no JSON of ours."""
    try:
        return decoder.decode(data)
    except RecursionError as error:
        raise msgspec.DecodeError("brackets within brackets, too deep to read") from error


class BadLine(ValueError):
    """A line that is not a record: cut short, not JSON, or with fields of the wrong type."""


class Head(msgspec.Struct):
    kind: str
    seq: int = 0
    t_ns: int = 0


_head_decoder = msgspec.json.Decoder(Head)


def encode_record(record: Record) -> bytes:
    """One line of JSON without its newline. An `UnknownRecord` goes out exactly as it came in."""
    return record.raw if isinstance(record, UnknownRecord) else _encoder.encode(record)


def decode_record(line: bytes | str) -> Record:
    """The record of one JSON line. Raises `BadLine`; an unknown kind is an `UnknownRecord`, not an error."""
    raw = line.encode() if isinstance(line, str) else line
    try:
        return decoded(_record_decoder, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        head = read_head(raw)
        if head is None:
            raise BadLine(f"not a record: {error}") from error
        if head.kind in _KINDS:
            raise BadLine(f"broken {head.kind} record: {error}") from error
        return UnknownRecord(kind=head.kind, seq=head.seq, t_ns=head.t_ns, raw=raw.strip())


def read_record(line: bytes | str) -> Record | None:
    """The record of a spool's line for whoever shows or judges a trial. One that this version cannot read comes as a
    `LostRecord`, or as None where no figure rests on it."""
    try:
        return decode_record(line)
    except BadLine:
        head = read_head(line.encode() if isinstance(line, str) else line) or Head("")
        t_ns = max(-_LONG, min(_LONG - 1, head.t_ns))
        return None if head.kind in _FOR_PEOPLE else LostRecord(seq=head.seq, t_ns=t_ns)


def read_head(line: bytes) -> Head | None:
    """Kind, number and time of a line; None for one that is no JSON object with a kind, or not UTF-8."""
    try:
        line.decode()  # msgspec does not look at strings that it passes over
        return decoded(_head_decoder, line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def encode_call(call: Call) -> bytes:
    return _encoder.encode(call)


def decode_call(line: bytes) -> Call:
    """Raises `msgspec.MsgspecError`, `UnicodeDecodeError`."""
    return decoded(_call_decoder, line)


def encode_answer(answer: Answer) -> bytes:
    return _encoder.encode(answer)


def decode_answer(line: bytes) -> Answer:
    """Raises `msgspec.MsgspecError`, `UnicodeDecodeError`."""
    return decoded(_answer_decoder, line)


def encode_order(order: TrialOrder) -> bytes:
    return _encoder.encode(order)


def decode_order(line: bytes) -> TrialOrder:
    """Raises `msgspec.MsgspecError`, `UnicodeDecodeError`."""
    return order_of(decoded(_any_decoder, line))


def order_of(value: object) -> TrialOrder:
    """The order of a decoded JSON value, also of an earlier version's. Raises `msgspec.ValidationError`."""
    return msgspec.convert(upgraded(value), TrialOrder)
