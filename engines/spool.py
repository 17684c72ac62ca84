"""A trial's numbered JSON lines on disk, and the folder they live in.

Written by the runner only; read by the runner for its clients. A spool folder holds:

- `records.jsonl`: a `SpoolHeader` line, then one record a line. The record of seq n is line n after the header: seqs
  start at 1 and have no gap, so that attaching continues after the last number a client has.
- `order.json`: the `TrialOrder` as it ran.
- `acknowledged`: the last seq the trial's store has, in 20 digits, rewritten in place.
- `ballast.0`, `ballast.1`: space kept back so that, on a full disk, what was measured last (0) and the end record (1)
  can still be written. They and `ring` go when the trial ends.

Every append reaches the operating system before anyone is told of it: it survives a killed runner. A line torn by a
crash is cut off by `SpoolWriter.recover`, and the next seq goes on from the last whole line.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.protocol import PROTOCOL_VERSION
from engines.protocol.codec import BadLine, decode_record, encode_order, encode_record
from engines.protocol.orders import TrialOrder
from engines.protocol.records import ClockPair, Record, TrialEnded, UnknownRecord

RECORDS = "records.jsonl"
ORDER = "order.json"
RING = "ring"
ACKNOWLEDGED = "acknowledged"
BALLAST_BYTES = (128 * 1024, 8 * 1024)
"""Kept back for the last measurements and for the end record."""

_ACKNOWLEDGED_WIDTH = 20
_TAIL_BYTES = 1 << 16


class SpoolHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="file", tag="llm-workbench-spool"):
    """First line of `records.jsonl`."""

    protocol: int = PROTOCOL_VERSION
    store: str
    experiment: str
    trial: str
    boot: str
    """Boot of the machine under test: monotonic times of two boots do not compare."""
    created: ClockPair


class BadSpool(ValueError):
    """A folder without a readable header: not a spool, or nothing of it was ever written."""


def clock_pair() -> ClockPair:
    """Both clocks, read together."""
    return ClockPair(wall_ns=time.time_ns(), mono_ns=time.monotonic_ns())


def boot_id() -> str:
    """This boot of this machine, or "" where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def numbered(record: Record, seq: int) -> bytes:
    """The spool line of a record under its number, newline included. An unknown kind keeps every field it came with."""
    if isinstance(record, UnknownRecord):
        fields = msgspec.json.decode(record.raw, type=dict[str, msgspec.Raw])
        fields["seq"] = msgspec.Raw(b"%d" % seq)
        return msgspec.json.encode(fields) + b"\n"
    return encode_record(msgspec.structs.replace(record, seq=seq)) + b"\n"


class SpoolWriter:
    """The one writer of a spool. `size` bytes and records up to `last_seq` are safe to read at any time."""

    def __init__(self, folder: Path, fd: int, *, size: int, last_seq: int, complete: bool) -> None:
        self.folder = folder
        self.size = size
        self.last_seq = last_seq
        self.complete = complete
        self._fd = fd

    @classmethod
    def create(cls, folder: Path, order: TrialOrder) -> SpoolWriter:
        """A new spool with its ballast. Raises OSError, leaving nothing behind; FileExistsError if there is one."""
        folder.mkdir(mode=0o700, parents=True)
        fd = -1
        try:
            header = SpoolHeader(
                store=order.store, experiment=order.experiment, trial=order.trial, boot=boot_id(), created=clock_pair()
            )
            (folder / ORDER).write_bytes(encode_order(order))
            (folder / ACKNOWLEDGED).write_bytes(b"%0*d" % (_ACKNOWLEDGED_WIDTH, 0))
            for number, size in enumerate(BALLAST_BYTES):
                _reserve(folder / f"ballast.{number}", size)
            fd = os.open(folder / RECORDS, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            spool = cls(folder, fd, size=0, last_seq=0, complete=False)
            spool._write(msgspec.json.encode(header) + b"\n")
        except OSError:
            if fd >= 0:
                os.close(fd)
            remove_spool(folder)
            raise
        return spool

    @classmethod
    def recover(cls, folder: Path) -> SpoolWriter:
        """Open a spool that another runner wrote, a torn end cut off. Raises `BadSpool`, OSError."""
        fd = os.open(folder / RECORDS, os.O_RDWR | os.O_CLOEXEC)
        try:
            end = _end_of(fd)
            if end.size < os.fstat(fd).st_size:
                os.ftruncate(fd, end.size)
        except (BadSpool, OSError):
            os.close(fd)
            raise
        return cls(folder, fd, size=end.size, last_seq=end.last_seq, complete=end.complete)

    def append(self, records: Sequence[Record]) -> None:
        """Number the records and write them in one go. On OSError (a full disk) nothing of them is in the spool."""
        if not records:
            return
        lines = [numbered(record, seq) for seq, record in enumerate(records, self.last_seq + 1)]
        self._write(b"".join(lines))
        self.last_seq += len(lines)
        self.complete = isinstance(records[-1], TrialEnded)

    def _write(self, data: bytes) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._fd, data[done:], self.size + done)
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    def release_ballast(self, number: int) -> None:
        """Give back the space kept for the last measurements (0) or for the end record (1)."""
        (self.folder / f"ballast.{number}").unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what only a running trial needs: ballast and ring."""
        for name in ("ballast.0", "ballast.1", RING):
            (self.folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Have the disk confirm what was written, and close. Twice does nothing."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):  # a disk that fails here has already been told of by `append`
                os.fsync(fd)
            os.close(fd)


class SpoolReader:
    """Reads a spool forward, in the runner, beside its writer."""

    def __init__(self, folder: Path, after: int) -> None:
        """`after`: the last seq the reader has. Raises OSError (the spool was deleted)."""
        self._file = (folder / RECORDS).open("rb", buffering=0)
        self._offset = 0
        self._seq = -1
        self._after = after

    def read(self, safe_size: int, at_most: int = 1 << 18) -> list[tuple[int, bytes]] | None:
        """The next (seq, line) pairs out of the first `safe_size` bytes, about `at_most` bytes of them; None when there
        is nothing more there. A list can be empty while lines the reader has are passed over."""
        wanted = min(at_most, safe_size - self._offset)
        if wanted <= 0:
            return None
        data = os.pread(self._file.fileno(), wanted, self._offset)
        cut = data.rfind(b"\n") + 1
        if cut == 0:
            return self.read(safe_size, at_most * 4) if wanted < safe_size - self._offset else None
        self._offset += cut
        lines = data[: cut - 1].split(b"\n")
        first = self._seq + 1
        self._seq += len(lines)
        return [(seq, line) for seq, line in enumerate(lines, first) if seq > self._after and seq > 0]

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class _End:
    size: int
    last_seq: int
    complete: bool


def _end_of(fd: int) -> _End:
    """Where the last whole record of a spool ends. Raises `BadSpool`."""
    size = os.fstat(fd).st_size
    length = _TAIL_BYTES
    while True:
        start = max(0, size - length)
        tail = os.pread(fd, size - start, start)
        if start > 0:
            tail = tail[tail.find(b"\n") + 1 :] if b"\n" in tail else b""
        start = size - len(tail)
        offset = len(tail)
        while (cut := tail.rfind(b"\n", 0, offset)) >= 0:
            begin = tail.rfind(b"\n", 0, cut) + 1
            if start + begin == 0:
                return _End(_checked_header(tail[:cut]), 0, complete=False)
            try:
                record = decode_record(tail[begin:cut])
            except BadLine:
                offset = cut  # half a line, or zeros after a power cut
                continue
            return _End(start + cut + 1, record.seq, isinstance(record, TrialEnded))
        if start == 0:
            raise BadSpool("no whole line")
        length *= 4


def _checked_header(line: bytes) -> int:
    try:
        msgspec.json.decode(line, type=SpoolHeader)
    except msgspec.MsgspecError as error:
        raise BadSpool(f"no spool header: {error}") from error
    return len(line) + 1


def read_header(folder: Path) -> SpoolHeader:
    """Raises `BadSpool`, OSError."""
    with (folder / RECORDS).open("rb") as file:
        try:
            return msgspec.json.decode(file.readline(_TAIL_BYTES), type=SpoolHeader)
        except msgspec.MsgspecError as error:
            raise BadSpool(f"{folder.name}: no spool header: {error}") from error


def read_acknowledged(folder: Path) -> int:
    """The last seq the store has; 0 where nothing readable stands (the store then reads it again, which is safe)."""
    try:
        return int((folder / ACKNOWLEDGED).read_bytes())
    except (OSError, ValueError):
        return 0


def write_acknowledged(folder: Path, seq: int) -> None:
    """In place: needs no new space, so that a store can free a full disk. Raises OSError."""
    fd = os.open(folder / ACKNOWLEDGED, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(fd, b"%0*d" % (_ACKNOWLEDGED_WIDTH, seq), 0)
    finally:
        os.close(fd)


def remove_spool(folder: Path) -> None:
    """Delete a spool folder and what a worker left in it; missing is fine."""
    for path, folders, files in os.walk(folder, topdown=False):
        for name in files:
            (Path(path) / name).unlink(missing_ok=True)
        for name in folders:
            inner = Path(path) / name
            inner.unlink() if inner.is_symlink() else inner.rmdir()
    with contextlib.suppress(FileNotFoundError):
        folder.rmdir()


def _reserve(path: Path, size: int) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
    finally:
        os.close(fd)
