"""Lines that no sound program writes: refused by type, never by an error that nobody expects."""

from __future__ import annotations

import msgspec
import pytest

from engines.protocol.codec import (
    BadLine,
    decode_answer,
    decode_call,
    decode_order,
    decode_record,
    read_head,
    read_record,
)
from engines.protocol.queue_file import decode_queue
from engines.protocol.records import Log, LostRecord
from engines.protocol.sound_lines import SoundLines
from engines.runner.lines import RecordPipe

DEEP = b"[" * 100_000
DEEP_RECORD = b'{"kind":"stamps","seq":1,"t_ns":1,"first":0,"times_ns":' + DEEP
DEEP_UNKNOWN = b'{"kind":"of-tomorrow","seq":1,"t_ns":1,"x":' + DEEP


@pytest.mark.parametrize("line", [DEEP, DEEP_RECORD, DEEP_UNKNOWN], ids=["bare", "a record", "an unknown record"])
def test_that_brackets_without_end_are_a_damaged_line(line: bytes) -> None:
    with pytest.raises(BadLine):
        decode_record(line)
    for decode in (decode_call, decode_answer, decode_order, decode_queue):
        with pytest.raises(msgspec.MsgspecError):
            decode(line)
    assert read_head(line) is None
    assert isinstance(read_record(line), LostRecord)
    assert SoundLines().feed([line]) == []
    (warning,) = RecordPipe().feed(line + b"\n")
    assert isinstance(warning, Log)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**400])
def test_that_a_number_which_no_array_holds_is_damage(number: int) -> None:
    line = b'{"kind":"stamps","seq":3,"t_ns":1,"first":0,"times_ns":[%d]}' % number
    with pytest.raises(BadLine):
        decode_record(line)
    lost = read_record(line)
    assert isinstance(lost, LostRecord)
    assert lost.seq == 3
    late = read_record(b'{"kind":"stamps","seq":3,"t_ns":%d,"first":0,"times_ns":[]}' % number)
    assert isinstance(late, LostRecord)
    assert -(2**63) <= late.t_ns < 2**63


def test_that_the_largest_numbers_are_read() -> None:
    line = b'{"kind":"stamps","seq":3,"t_ns":1,"first":0,"times_ns":[%d,%d]}' % (2**63 - 1, -(2**63))
    assert not isinstance(read_record(line), LostRecord)


@pytest.mark.parametrize("entries", [b"5", b"null", b"{}", b'[1, "x", []]', b'"text"'])
def test_that_a_queue_whose_lists_are_none_is_refused_by_type(entries: bytes) -> None:
    """The runner puts such a file aside and starts; another error would keep it from ever starting."""
    with pytest.raises(msgspec.MsgspecError):
        decode_queue(b'{"version":1,"waiting":%b}' % entries)
