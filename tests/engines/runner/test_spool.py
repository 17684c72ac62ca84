"""Spools on disk: numbers, torn ends, a disk that fills, and reading beside the writer."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.protocol import PROTOCOL_VERSION
from engines.protocol.codec import decode_record
from engines.protocol.orders import is_safe_name
from engines.protocol.records import Log, Record, TrialEnded, UnknownRecord
from engines.runner.spools.archive import Archive
from engines.runner.spools.journal import Journal
from engines.runner.spools.spool import (
    RECORDS,
    BadSpool,
    SpoolReader,
    SpoolWriter,
    clock_pair,
    numbered,
    read_acknowledged,
    read_header,
    remove_spool,
    write_acknowledged,
)
from tests.engines.runner_harness import make_order


def log(text: str) -> Log:
    return Log(t_ns=1, level="info", source="test", text=text)


def ended() -> TrialEnded:
    return TrialEnded(outcome="completed", clock=clock_pair())


@pytest.fixture
def spool(tmp_path: Path) -> SpoolWriter:
    writer = SpoolWriter.create(tmp_path / "t1", make_order("t1"))
    yield writer
    writer.close()


def read_all(writer: SpoolWriter, after: int = 0, at_most: int = 1 << 18) -> list[tuple[int, bytes]]:
    reader = SpoolReader(writer.folder, after)
    found: list[tuple[int, bytes]] = []
    while (lines := reader.read(writer, at_most)) is not None:
        found.extend(lines)
    reader.close()
    return found


def test_that_the_header_names_where_the_trial_belongs(spool: SpoolWriter) -> None:
    header = read_header(spool.folder)
    assert (header.protocol, header.store, header.experiment, header.trial) == (PROTOCOL_VERSION, "s1", "e1", "t1")
    assert header.boot
    assert header.created.wall_ns > 0


def test_that_a_spool_is_not_made_over_another(spool: SpoolWriter) -> None:
    spool.append([log("kept")])
    with pytest.raises(FileExistsError):
        SpoolWriter.create(spool.folder, make_order("t1"))
    assert len(read_all(spool)) == 1


@settings(max_examples=30, deadline=None)
@given(
    batches=st.lists(st.lists(st.text(max_size=300), max_size=5), max_size=8),
    after=st.integers(0, 12),
    at_most=st.integers(1, 500),
)
def test_that_every_reader_gets_every_line_after_its_number(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]], after: int, at_most: int
) -> None:
    writer = SpoolWriter.create(tmp_path_factory.mktemp("spool") / "t", make_order("t"))
    texts = [text for batch in batches for text in batch]
    for batch in batches:
        writer.append([log(text) for text in batch])
    lines = read_all(writer, after, at_most)
    writer.close()
    assert [seq for seq, _ in lines] == list(range(after + 1, len(texts) + 1))
    for seq, line in lines:
        record = decode_record(line)
        assert isinstance(record, Log)
        assert (record.seq, record.text) == (seq, texts[seq - 1])


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=50), max_size=5), cut=st.integers(0, 200), junk=st.binary(max_size=30))
def test_that_a_crash_anywhere_in_the_last_write_leaves_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cut: int, junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("spool") / "t"
    writer = SpoolWriter.create(folder, make_order("t"))
    header_size = writer.size
    writer.append([log(text) for text in texts])
    writer.close()
    path = folder / RECORDS
    whole = path.read_bytes()
    torn = whole[: max(header_size, len(whole) - cut)] + junk
    path.write_bytes(torn)
    again = SpoolWriter.recover(folder)
    kept = again.last_seq
    again.append([log("after the crash")])
    lines = read_all(again)
    again.close()
    assert [seq for seq, _ in lines] == list(range(1, kept + 2))
    assert [decode_record(line).seq for _, line in lines] == list(range(1, kept + 2))
    assert kept >= whole[: max(header_size, len(whole) - cut)].count(b"\n") - 1 or junk.startswith(b"{")


def test_that_a_long_last_line_is_found_from_the_end(spool: SpoolWriter) -> None:
    spool.append([log("short"), log("x" * 300_000)])
    again = SpoolWriter.recover(spool.folder)
    assert (again.last_seq, again.size, again.complete) == (2, spool.size, False)
    again.append([ended()])
    again.close()
    assert SpoolWriter.recover(spool.folder).complete


def test_that_zeros_after_a_power_cut_are_cut_off(spool: SpoolWriter) -> None:
    spool.append([log("one")])
    with (spool.folder / RECORDS).open("ab") as file:
        file.write(b"\0" * 5000 + b"\n" + b"\0" * 100)
    again = SpoolWriter.recover(spool.folder)
    assert (again.last_seq, again.size) == (1, spool.size)
    again.close()


def test_that_a_file_that_is_no_spool_is_refused(tmp_path: Path) -> None:
    (tmp_path / RECORDS).write_bytes(b"something else\n")
    with pytest.raises(BadSpool):
        SpoolWriter.recover(tmp_path)
    (tmp_path / RECORDS).write_bytes(b"")
    with pytest.raises(BadSpool):
        SpoolWriter.recover(tmp_path)


def test_that_an_unknown_record_is_numbered_and_else_unchanged() -> None:
    raw = b'{"seq":0, "kind":"later","x":[1.50,{"y":"\\u00e9"}],"t_ns":7}'
    record = decode_record(raw)
    assert isinstance(record, UnknownRecord)
    line = numbered(record, 12)
    again = decode_record(line)
    assert isinstance(again, UnknownRecord)
    assert (again.seq, again.t_ns, again.kind) == (12, 7, "later")
    assert msgspec.json.decode(line) == {**msgspec.json.decode(raw), "seq": 12}
    assert b"1.50" in line


def test_that_acknowledgements_survive_and_never_fall(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    entry = archive.create(make_order("t1"))
    entry.writer.append([log("1"), log("2"), ended()])
    assert archive.acknowledge("t1", 2)
    assert archive.acknowledge("t1", 1)
    assert archive.acknowledge("t1", 900)
    assert read_acknowledged(entry.folder) == 3
    assert not archive.acknowledge("unknown", 1)
    entry.writer.close()
    again = Archive(tmp_path)
    assert list(again.recover()) == []
    found = again.get("t1")
    assert found.acknowledged == 3
    (entry.folder / "acknowledged").write_bytes(b"\0\0")
    assert read_acknowledged(entry.folder) == 0
    write_acknowledged(entry.folder, 2)
    assert read_acknowledged(entry.folder) == 2


def test_that_only_ended_acknowledged_old_spools_expire(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for trial, end, acknowledged, age_s in (
        ("old", True, True, 100),
        ("young", True, True, 0),
        ("unread", True, False, 100),
        ("running", False, True, 100),
    ):
        entry = archive.create(make_order(trial))
        entry.writer.append([log("1")])
        if end:
            entry.writer.append([ended()])
        if acknowledged:
            archive.acknowledge(trial, entry.writer.last_seq)
        entry.writer.close()
        path = entry.folder / RECORDS
        os.utime(path, (path.stat().st_atime - age_s, path.stat().st_mtime - age_s))
    assert archive.expire(keep_s=50) == ["old"]
    assert not (tmp_path / "old").exists()
    assert {spool.trial for spool in archive.spools()} == {"young", "unread", "running"}


def test_that_a_tombstone_outlives_its_spool(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.create(make_order("t1"))
    (tmp_path / "t1" / "folder").mkdir()
    (tmp_path / "t1" / "folder" / "file").touch()
    archive.bury("t1")
    archive.bury("t1")
    assert not (tmp_path / "t1").exists()
    again = Archive(tmp_path)
    assert again.is_buried("t1")
    assert not again.is_buried("t2")
    (tmp_path / "t1").mkdir()  # a copy that somebody put back
    assert list(again.recover()) == []
    assert not (tmp_path / "t1").exists()


def test_that_removing_a_spool_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    folder = tmp_path / "t1"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    remove_spool(folder)
    remove_spool(folder)
    assert (outside / "precious").exists()
    assert not folder.exists()


@given(st.text(max_size=140))
def test_that_safe_names_are_safe(name: str) -> None:
    if is_safe_name(name):
        assert name == Path(name).name
        assert not name.startswith(".")
        assert name.isascii()


class FullDisk:
    """Lets `os.pwrite` write so many bytes in all, the way a disk fills; a ballast file gives some back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, spool: SpoolWriter, free: int) -> None:
        self.free = free
        self._write = os.pwrite
        self._ballast = {0: 2000, 1: 1000}
        monkeypatch.setattr(os, "pwrite", self._pwrite)
        monkeypatch.setattr(spool, "release_ballast", self._release)

    def _pwrite(self, fd: int, data: bytes, offset: int) -> int:
        fits = min(self.free, len(data))
        if fits == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.free -= fits
        return self._write(fd, data[:fits], offset)

    def _release(self, number: int) -> None:
        self.free += self._ballast.pop(number, 0)


def test_that_a_failed_write_leaves_nothing_of_its_batch(spool: SpoolWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.append([log("before")])
    size = spool.size
    FullDisk(monkeypatch, spool, free=70)
    with pytest.raises(OSError, match="No space left"):
        spool.append([log("a"), log("b")])
    assert (spool.size, spool.last_seq) == (size, 1)
    assert (spool.folder / RECORDS).stat().st_size == size
    monkeypatch.undo()
    spool.append([log("after")])
    assert [decode_record(line).seq for _, line in read_all(spool)] == [1, 2]


def test_that_the_journal_on_a_full_disk_keeps_what_fits_and_the_end(
    spool: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[OSError] = []
    journal = Journal(spool, grew=lambda: None, failed=failures.append)
    disk = FullDisk(monkeypatch, spool, free=100)
    for number in range(40):
        journal.add([log(f"{number} " + "x" * 100)])
        journal.flush()
    assert [error.errno for error in failures] == [errno.ENOSPC], "told once"
    disk.free = 0  # somebody else took what was left
    assert journal.end(ended())
    records: list[Record] = [decode_record(line) for _, line in read_all(spool)]
    last = records[-1]
    assert isinstance(last, TrialEnded)
    assert "records found no space" in last.message
    texts = [record.text.split()[0] for record in records if isinstance(record, Log)]
    assert texts == [str(number) for number in range(len(texts))]
    assert len(texts) > 5


def test_that_an_end_without_any_space_is_reported_as_not_written(
    spool: SpoolWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(spool, grew=lambda: None, failed=lambda _error: None)
    FullDisk(monkeypatch, spool, free=0)._ballast.clear()
    assert not journal.end(ended())
    assert not spool.complete
