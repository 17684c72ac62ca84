"""Protocol round trips: every type to JSON and back, unknown kinds kept whole, broken lines told apart."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.protocol import messages, orders, records
from engines.protocol.codec import (
    BadLine,
    decode_answer,
    decode_call,
    decode_order,
    decode_record,
    encode_answer,
    encode_call,
    encode_order,
    encode_record,
    read_record,
)
from engines.protocol.records import KnownRecord, UnknownRecord

FEWER = settings(max_examples=25, deadline=None)
INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | INT64 | FLOAT | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)

for plain, strategy in ((int, INT64), (float, FLOAT), (str, TEXT), (object, JSON)):
    st.register_type_strategy(plain, strategy)
st.register_type_strategy(msgspec.Raw, TEXT.map(lambda text: msgspec.Raw(msgspec.json.encode(text))))
st.register_type_strategy(messages.Device, st.builds(messages.Device, details=st.dictionaries(TEXT, TEXT, max_size=2)))


def structs(union: object) -> list[type[msgspec.Struct]]:
    return list(union.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", structs(KnownRecord), ids=lambda kind: kind.__name__)
def test_that_every_record_survives_the_round_trip(kind: type[msgspec.Struct]) -> None:
    @FEWER
    @given(st.builds(kind))
    def survives(record: records.Record) -> None:
        line = encode_record(record)
        assert b"\n" not in line
        assert decode_record(line) == record
        assert decode_record(line.decode()) == record

    survives()


REQUESTS = [kind for kind in structs(messages.Request) if kind is not messages.Submit]  # which has a test of its own


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_that_every_request_survives_the_round_trip(kind: type[msgspec.Struct]) -> None:
    @FEWER
    @given(st.builds(messages.Call, id=INT64, body=st.builds(kind)))
    def survives(call: messages.Call) -> None:
        assert decode_call(encode_call(call)) == call

    survives()


@pytest.mark.parametrize("kind", structs(messages.Reply), ids=lambda kind: kind.__name__)
def test_that_every_reply_survives_the_round_trip(kind: type[msgspec.Struct]) -> None:
    @FEWER
    @given(st.builds(messages.Answer, id=INT64, body=st.builds(kind)))
    def survives(answer: messages.Answer) -> None:
        assert decode_answer(encode_answer(answer)) == answer

    survives()


@FEWER
@given(st.builds(orders.TrialOrder, techniques=st.just(()), model=st.builds(orders.ModelOrder, config=st.just({}))))
def test_that_an_order_survives_the_round_trip_also_inside_a_call(order: orders.TrialOrder) -> None:
    assert decode_order(encode_order(order)) == order
    call = messages.Call(1, messages.Submit(orders=(order,)))
    assert decode_call(encode_call(call)) == call


@FEWER
@given(fields=st.dictionaries(TEXT, JSON, max_size=4), seq=st.integers(0, 2**40), t_ns=st.integers(0, 2**62))
def test_that_an_unknown_kind_survives_whole(fields: dict[str, object], seq: int, t_ns: int) -> None:
    told = {**fields, "kind": "from_the_future", "seq": seq, "t_ns": t_ns}
    raw = json.dumps(told).encode()
    record = decode_record(raw + b"\n")
    assert isinstance(record, UnknownRecord)
    assert (record.kind, record.seq, record.t_ns) == ("from_the_future", seq, t_ns)
    assert encode_record(record) == raw


@FEWER
@given(st.builds(records.Log), st.dictionaries(st.from_regex("new_[a-z]{1,8}", fullmatch=True), JSON, max_size=3))
def test_that_a_newer_field_of_a_known_kind_is_passed_over(record: records.Log, newer: dict[str, object]) -> None:
    told = {**json.loads(encode_record(record)), **newer}
    assert decode_record(json.dumps(told)) == record


@given(st.binary(max_size=60))
def test_that_arbitrary_bytes_are_a_bad_line_or_a_record(raw: bytes) -> None:
    try:
        record = decode_record(raw)
    except BadLine:
        return
    assert isinstance(record, UnknownRecord)


@pytest.mark.parametrize(
    "line", ["", "null", "[]", "{}", '{"kind": 5}', '{"kind": "log"}', '{"kind":"x"', '{"kind":"stamps","first":"a"}']
)
def test_that_a_broken_line_is_a_bad_line(line: str) -> None:
    with pytest.raises(BadLine):
        decode_record(line)


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ('{"kind":"request","seq":2,"t_ns":5,"index":"first"}', records.LostRecord(seq=2, t_ns=5)),
        ('{"kind":"log","seq":2,"t_ns":5}', None),
        ('{"kind":"later"}', UnknownRecord(kind="later", seq=0, t_ns=0, raw=b'{"kind":"later"}')),
        ("garbage", records.LostRecord()),
    ],
)
def test_that_a_reader_gets_a_lost_record_where_a_figure_may_rest_on_it(line: str, read: object) -> None:
    assert read_record(line) == read


def test_that_bytes_that_are_no_text_are_a_bad_line() -> None:
    with pytest.raises(BadLine):
        decode_record(b'{"kind":"log","level":"info","source":"x","text":"\xff"}')
