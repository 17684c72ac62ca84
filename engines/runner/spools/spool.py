"""A trial's numbered JSON lines on disk, and the folder they live in.

Written by the runner only; read by the runner for its clients. A spool folder holds:

- `records.jsonl`: a `SpoolHeader` line, then one record a line. Seqs start at 1 and have no gap, so that attaching
  continues after the last number a client has; a gap is damage (`engines.protocol.sound_lines`).
- `order.json`: the `TrialOrder` as it ran.
- `acknowledged`: the last seq the trial's store has, in 20 digits, rewritten in place.
- `ballast.0`, `ballast.1`: space kept back so that, on a full disk, what was measured last (0) and the end record (1)
  can still be written. They and `ring` go when the trial ends.

Every append reaches the operating system before anyone hears of it: it survives a killed runner. A line torn by a
crash is cut off by `SpoolWriter.recover`, and the next seq follows the last whole line.
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
from engines.protocol.codec import decode_order, decoded, encode_order, encode_record, read_head
from engines.protocol.orders import TrialOrder
from engines.protocol.private import sync_folder, write_private
from engines.protocol.records import ClockPair, Record, TrialEnded, UnknownRecord
from engines.protocol.sound_lines import SoundLines

RECORDS = "records.jsonl"
ORDER = "order.json"
RING = "ring"
ACKNOWLEDGED = "acknowledged"
BALLAST_BYTES = (128 * 1024, 8 * 1024)
"""Kept back for the last measurements and for the end record."""

_ACKNOWLEDGED_WIDTH = 20
_TAIL_BYTES = 1 << 16
_SHORTEST_LINE = 20
_ENDED = str(TrialEnded.__struct_config__.tag)


class SpoolHeader(msgspec.Struct, frozen=True, kw_only=True, tag_field="file", tag="llm-workbench-spool"):
    """First line of `records.jsonl`."""

    protocol: int = PROTOCOL_VERSION
    store: str
    experiment: str
    trial: str
    boot: str
    """Boot of the machine under test: monotonic times of two boots do not compare."""
    created: ClockPair


_header_decoder = msgspec.json.Decoder(SpoolHeader)


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
            write_private(folder / ORDER, encode_order(order))
            write_private(folder / ACKNOWLEDGED, b"%0*d" % (_ACKNOWLEDGED_WIDTH, 0))
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
        # a power cut can take records that the store has: what comes must get numbers that it does not have
        taken = 0 if end.complete else _plausible(read_acknowledged(folder), end.size)
        return cls(folder, fd, size=end.size, last_seq=max(end.last_seq, taken), complete=end.complete)

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
        with contextlib.suppress(OSError):  # a ring that lies elsewhere (`RunnerSettings.rings`)
            (self.folder / RING).readlink().unlink()
        for name in ("ballast.0", "ballast.1", RING):
            (self.folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Have the disk confirm what was written, and close. Twice does nothing."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):  # a disk that fails here has already been reported by `append`
                os.fsync(fd)
                sync_folder(self.folder)
                sync_folder(self.folder.parent)
            os.close(fd)


class SpoolReader:
    """Reads a spool forward, in the runner, beside its writer. What is damaged comes as `LostRecord`s."""

    def __init__(self, folder: Path, after: int) -> None:
        """`after`: the last seq the reader has. Raises OSError (the spool was deleted)."""
        self._file = (folder / RECORDS).open("rb", buffering=0)
        self._offset = 0
        self._after = after
        self._sound = SoundLines()

    def read(self, writer: SpoolWriter, at_most: int = 1 << 18) -> list[tuple[int, bytes]] | None:
        """The next (seq, line) pairs of what is safe to read, about `at_most` bytes of them; None when there is nothing
        more there. A list can be empty while lines the reader has are passed over."""
        wanted = min(at_most, writer.size - self._offset)
        if wanted <= 0:
            return None
        data = os.pread(self._file.fileno(), wanted, self._offset)
        if self._offset + wanted < writer.size and data:
            cut = data.rfind(b"\n") + 1
            if cut == 0:
                return self.read(writer, at_most * 4)
            self._offset += cut
            sound = self._sound.feed(data[:cut].split(b"\n"))
        else:
            self._offset = writer.size
            sound = self._sound.feed(data.split(b"\n"))
            sound += self._sound.settle(writer.last_seq, complete=writer.complete)
        return [(seq, line) for seq, line in sound if seq > self._after]

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
        last: tuple[int, int, str] | None = None
        offset = len(tail)
        while (cut := tail.rfind(b"\n", 0, offset)) >= 0:
            offset = tail.rfind(b"\n", 0, cut) + 1
            head = read_head(tail[offset:cut])
            if head is None or not _plausible(head.seq, start + cut):
                continue  # half a line, zeros after a power cut, or a damaged number
            if last is not None and head.seq < last[1]:
                return _End(start + last[0], last[1], last[2] == _ENDED)
            last = (cut + 1, head.seq, head.kind)
        if start == 0:
            if last is not None:
                return _End(last[0], last[1], last[2] == _ENDED)
            return _End(_checked_header(tail), 0, complete=False)
        length *= 4


def _plausible(seq: int, size: int) -> int:
    """A number of a record that ends within `size` bytes, or 0: so many records would not fit."""
    return seq if seq <= size // _SHORTEST_LINE else 0


def _checked_header(text: bytes) -> int:
    line, newline, _ = text.partition(b"\n")
    try:
        decoded(_header_decoder, line if newline else b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadSpool(f"no spool header and no record: {error}") from error
    return len(line) + 1


def read_header(folder: Path) -> SpoolHeader:
    """A header that is damaged is made again from the order beside it. Raises `BadSpool`, OSError."""
    with (folder / RECORDS).open("rb") as file:
        try:
            return decoded(_header_decoder, file.readline(_TAIL_BYTES))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            damage = error
    try:
        order = decode_order((folder / ORDER).read_bytes())
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError):
        raise BadSpool(f"{folder.name}: no spool header: {damage}") from damage
    return SpoolHeader(
        store=order.store, experiment=order.experiment, trial=order.trial, boot="", created=ClockPair(0, 0)
    )


def read_acknowledged(folder: Path) -> int:
    """The last seq the store has; 0 where nothing is readable (the store then reads it again, which is safe)."""
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
