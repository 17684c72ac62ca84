"""A damaged spool: what is sound is read, in order, and every record that is not has a stand-in with its number."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.protocol.codec import decode_record, read_head
from engines.protocol.records import ClockPair, Log, LostRecord, TrialEnded, TrialStarted
from engines.runner.spools.archive import Archive
from engines.runner.spools.end_records import read_end
from engines.runner.spools.spool import ORDER, RECORDS, SpoolReader, SpoolWriter, clock_pair
from tests.engines.runner_harness import make_order

COUNT = 12
Damage = Callable[[list[bytes]], bytes]
"""Of the lines of a spool (0: the header; n: record n; each with its newline) to what is on the disk."""


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SpoolWriter]:
    writer = SpoolWriter.create(tmp_path / "t1", make_order("t1"))
    clock = clock_pair()
    writer.append([TrialStarted(clock=clock, worker_pid=1, threads=1)])
    writer.append([Log(t_ns=clock.mono_ns + n, level="info", source="s", text=f"é {n}") for n in range(2, COUNT)])
    writer.append([TrialEnded(t_ns=clock.mono_ns + COUNT, outcome="completed", clock=clock)])
    yield writer
    writer.close()


def damage(folder: Path, how: Damage) -> None:
    path = folder / RECORDS
    path.write_bytes(how(path.read_bytes().splitlines(keepends=True)))


def read(writer: SpoolWriter, after: int = 0, at_most: int = 1 << 18) -> list[tuple[int, object]]:
    reader = SpoolReader(writer.folder, after)
    found: list[tuple[int, object]] = []
    while (lines := reader.read(writer, at_most)) is not None:
        found += [(seq, decode_record(line)) for seq, line in lines]
    reader.close()
    return found


def lost(found: list[tuple[int, object]]) -> list[int]:
    return [seq for seq, record in found if isinstance(record, LostRecord)]


def line(number: int, by: bytes) -> Damage:
    return lambda lines: b"".join(by if n == number else text for n, text in enumerate(lines))


def numbered(number: int, by: int) -> Damage:
    """One record's own number is another."""

    def change(lines: list[bytes]) -> bytes:
        lines[number] = lines[number].replace(b'"seq":%d,' % number, b'"seq":%d,' % by)
        return b"".join(lines)

    return change


def glued(lines: list[bytes]) -> bytes:
    lines[5] = lines[5].rstrip(b"\n")
    return b"".join(lines)


def torn_and_glued(lines: list[bytes]) -> bytes:
    lines[5] = lines[5][:20]
    return b"".join(lines)


def zeros_over(lines: list[bytes]) -> bytes:
    start = len(b"".join(lines[:5])) + 3
    whole = bytearray(b"".join(lines))
    whole[start : start + len(lines[5]) + len(lines[6])] = bytes(len(lines[5]) + len(lines[6]))
    return bytes(whole)


def twice(lines: list[bytes]) -> bytes:
    return b"".join([*lines[:6], lines[5], *lines[6:]])


def gone(*numbers: int) -> Damage:
    return lambda lines: b"".join(text for n, text in enumerate(lines) if n not in numbers)


CASES: dict[str, tuple[Damage, list[int]]] = {
    "garbage": (line(5, b"\x93 not a record\n"), [5]),
    "an empty line": (line(5, b"\n"), [5]),
    "truncated": (line(5, b'{"kind":"log","seq":5,"t_\n'), [5]),
    "two glued": (glued, []),
    "torn, and the next one glued to it": (torn_and_glued, [5]),
    "zeros": (zeros_over, [5, 6, 7]),
    "not UTF-8": (line(5, b'{"kind":"log","seq":5,"t_ns":1,"level":"info","source":"s","text":"\xff"}\n'), [5]),
    "another JSON": (line(5, b"[1, 2]\n"), [5]),
    "a line too many": (line(5, b"{\n}\n"), [5]),
    "gone": (gone(5, 6), [5, 6]),
    "the first gone": (gone(1), [1]),
    "said twice": (twice, []),
    "a number too high": (numbered(5, 9), [5]),
    "the next number twice": (numbered(5, 6), [5]),
    "a number far too high": (numbered(5, 10**15), [5]),
    "a number too low": (numbered(5, 2), [5]),
    "no number": (numbered(5, 0), [5]),
    "a negative number": (numbered(5, -5), [5]),
    "the header": (line(0, b"\x00\x00\x00\n"), []),
    "the header gone": (gone(0), []),
    "header and first record glued": (lambda lines: b"".join([lines[0].rstrip(b"\n"), *lines[1:]]), []),
}


@pytest.mark.parametrize("again", [False, True], ids=["by its writer", "by the next runner"])
@pytest.mark.parametrize("case", CASES)
def test_that_what_is_sound_is_read_and_what_is_not_has_a_stand_in(spool: SpoolWriter, case: str, again: bool) -> None:
    how, missing = CASES[case]
    whole = dict(read(spool))
    damage(spool.folder, how)
    if again:
        writer = SpoolWriter.recover(spool.folder)
        assert (writer.last_seq, writer.complete) == (COUNT, True)
        writer.close()
    else:
        writer = spool
        writer.size = (spool.folder / RECORDS).stat().st_size
    for at_most, after in itertools.product((7, 200, 1 << 18), (0, 4, 5, COUNT)):
        found = read(writer, after, at_most)
        assert [seq for seq, _ in found] == list(range(after + 1, COUNT + 1))
        assert lost(found) == [seq for seq in missing if seq > after]
        assert all(record == whole[seq] for seq, record in found if seq not in missing)


def test_that_a_damaged_end_is_an_end_that_is_lost(spool: SpoolWriter) -> None:
    damage(spool.folder, line(COUNT, b"\x00" * 40 + b"\n"))
    spool.size = (spool.folder / RECORDS).stat().st_size
    seq, end = read(spool)[-1]
    assert isinstance(end, TrialEnded)
    assert (seq, end.seq, end.outcome, end.failure) == (COUNT, COUNT, "lost", "damaged_spool")
    assert 0 <= end.clock.wall_ns - clock_pair().wall_ns + 60e9 <= 60e9, "the clocks of the start, carried on"


def test_that_a_file_cut_short_under_its_writer_still_ends(spool: SpoolWriter) -> None:
    damage(spool.folder, lambda lines: b"".join(lines[:6]))
    found = read(spool)
    assert [seq for seq, _ in found] == list(range(1, COUNT + 1))
    assert lost(found) == list(range(6, COUNT))
    assert isinstance(found[-1][1], TrialEnded)


def test_that_a_torn_last_line_is_no_damage(spool: SpoolWriter) -> None:
    """It was never promised to anyone: it is cut off, and its number given out again."""
    damage(spool.folder, lambda lines: b"".join(lines)[:-9])
    writer = SpoolWriter.recover(spool.folder)
    assert (writer.last_seq, writer.complete) == (COUNT - 1, False)
    assert lost(read(writer)) == []
    writer.append([TrialEnded(outcome="lost", clock=ClockPair(1, 1))])
    assert lost(read(writer)) == []
    writer.close()


def test_that_numbers_which_the_store_has_are_not_given_out_again(tmp_path: Path) -> None:
    """A power cut took the end of the spool; the store, which had it by then, must still get the end of the trial."""
    archive = Archive(tmp_path)
    writer = archive.create(make_order("t1")).writer
    writer.append([Log(level="info", source="s", text=str(n)) for n in range(1, COUNT + 1)])
    archive.acknowledge("t1", COUNT)
    writer.close()
    damage(tmp_path / "t1", lambda lines: b"".join(lines[:5]))
    (entry,) = Archive(tmp_path).recover()
    entry.writer.append([TrialEnded(outcome="lost", clock=ClockPair(1, 1))])
    assert [seq for seq, _ in read(entry.writer, after=COUNT)] == [COUNT + 1]
    assert lost(read(entry.writer)) == list(range(5, COUNT + 1)), "for a store that was set back"
    entry.writer.close()


@pytest.mark.parametrize("number", [2, 10**12])
def test_that_a_last_record_with_a_wrong_number_is_not_where_numbering_goes_on(spool: SpoolWriter, number: int) -> None:
    damage(spool.folder, numbered(COUNT, number))
    writer = SpoolWriter.recover(spool.folder)
    assert (writer.last_seq, writer.complete) == (COUNT - 1, False)
    writer.close()


def test_that_a_spool_without_its_header_is_known_by_its_order(spool: SpoolWriter, tmp_path: Path) -> None:
    damage(spool.folder, line(0, b"\x00" * 200 + b"\n"))
    archive = Archive(tmp_path)
    assert list(archive.recover()) == []
    (found,) = archive.spools("s1")
    assert (found.trial, found.experiment, found.last_seq, found.complete) == ("t1", "e1", COUNT, True)
    entry = archive.get("t1")
    assert entry is not None
    end = read_end(entry)
    assert end.outcome == "completed"


def test_that_records_are_kept_where_nothing_says_whose_they_are(spool: SpoolWriter, tmp_path: Path) -> None:
    damage(spool.folder, line(0, b"\x00" * 200 + b"\n"))
    (spool.folder / ORDER).write_bytes(b"\x00" * 10)
    archive = Archive(tmp_path)
    assert list(archive.recover()) == []
    assert archive.spools() == ()
    assert (spool.folder / RECORDS).stat().st_size > 200


def test_that_a_spool_of_nothing_but_a_damaged_header_is_removed(spool: SpoolWriter, tmp_path: Path) -> None:
    damage(spool.folder, lambda lines: lines[0].replace(b'"t1"', b'"\xff1"'))
    archive = Archive(tmp_path)
    assert list(archive.recover()) == []
    assert not spool.folder.exists()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_that_any_damage_leaves_a_gapless_rising_stream_that_ends(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    writer = SpoolWriter.create(tmp_path_factory.mktemp("spool") / "t", make_order("t"))
    writer.append([Log(level="info", source="s", text=str(n)) for n in range(1, COUNT)])
    writer.append([TrialEnded(outcome="completed", clock=ClockPair(1, 1))])
    whole = bytearray((writer.folder / RECORDS).read_bytes())
    start = data.draw(st.integers(0, len(whole)))
    whole[start : start + data.draw(st.integers(0, 300))] = data.draw(st.binary(max_size=60))
    (writer.folder / RECORDS).write_bytes(whole)
    writer.size = len(whole)
    reader = SpoolReader(writer.folder, 0)
    at_most = data.draw(st.integers(1, 400))
    found: list[tuple[int, bytes]] = []
    while (lines := reader.read(writer, at_most)) is not None:
        found += lines
    reader.close()
    writer.close()
    assert [seq for seq, _ in found] == list(range(1, COUNT + 1))
    for seq, text in found:
        head = read_head(text)
        assert head.seq == seq
        assert (head.kind == "trial_ended") == (seq == COUNT)
