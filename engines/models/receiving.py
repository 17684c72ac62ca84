"""`python -m engines receive`: takes a model, prompts or data that are copied from another machine, and keeps them
under their fingerprint.

    copied/HASH/          the whole of it; HASH are the digits of its fingerprint
    copied/.HASH.part/    what is on its way

Standard input carries an `Announced` as one JSON line and then, once `Ready` has gone out on standard output, the bytes
of every file from the offset that `Ready` names. The last line is `Kept` or `Refused`. What has arrived stays when the
link is lost: the next time it continues there. A file counts once its SHA-256 is right, the folder once the
fingerprint over all of them is, and it appears in one rename.

A process of its own at the lowest priority. Exit codes: 0 kept, 1 refused.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from engines.models.identity import SCHEME, Digests, folder_fingerprint, joined
from engines.protocol.file_errors import what_happened, what_to_do
from engines.protocol.places import Places, places
from engines.protocol.private import open_private, private_folder
from engines.protocol.problems import Advised

_FINGERPRINT = re.compile(rf"{SCHEME}([0-9a-f]{{64}})")
_LONGEST_LINE = 4 << 20
_MOST_FILES = 10_000
_DEEPEST = 4
_BLOCK_BYTES = 1 << 20
_SPARE_BYTES = 64 << 20
"""What a disk must have left afterwards: spools and the queue are on it too."""


class FileAnnounced(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """Relative to the folder that they share, with "/"."""
    size_bytes: int
    sha256: str


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """What will be copied."""

    fingerprint: str
    files: tuple[FileAnnounced, ...]


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """Send the files in the order in which they were announced."""

    have: dict[str, int]
    """Bytes that are there already, by name."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, tag="kept"):
    path: str
    """Of the folder or GGUF file, absolute."""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    message: str
    advice: str = ""


Word = Ready | Kept | Refused


class _No(Advised):
    pass


def copied(here: Places, fingerprint: str) -> Path | None:
    """The folder or the first file of what was copied here; None where it was not."""
    digits = _FINGERPRINT.fullmatch(fingerprint)
    return _content(here.copied / digits[1]) if digits else None


def copied_folder(here: Places, fingerprint: str) -> Path | None:
    """The same as a folder, also where one file is in it."""
    path = copied(here, fingerprint)
    return path.parent if path is not None and path.is_file() else path


def run(_options: argparse.Namespace) -> int:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 19)
    here = places()
    try:
        path = _receive(sys.stdin.buffer, here)
    except _No as no:
        _say(Refused(message=str(no), advice=no.advice))
        return 1
    except OSError as error:
        where = here.copied
        _say(Refused(message=what_happened(error, where), advice=f"{what_to_do(error, where)} Then copy it again."))
        return 1
    _say(Kept(path=str(path)))
    return 0


def _say(word: Word) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
    sys.stdout.buffer.flush()


def _receive(stream: BinaryIO, here: Places) -> Path:
    """Raises `_No`, OSError."""
    announced = _announced(stream)
    kept = copied(here, announced.fingerprint)
    if kept is not None:
        return kept
    private_folder(here.copied)
    digits = announced.fingerprint.removeprefix(SCHEME)
    draft = here.copied / f".{digits}.part"
    with _alone(here.copied / f".{digits}.lock"):
        private_folder(draft)
        hashes = {file.name: _Arriving(draft, file) for file in announced.files}
        _check_space(hashes, here.copied)
        _say(Ready(have={name: one.have for name, one in hashes.items()}))
        for one in hashes.values():
            one.take(stream)
        folder = here.copied / digits
        draft.rename(folder)
        _to_disk(here.copied)
        for file in announced.files:
            Digests(here.digests).keep(folder / file.name, file.sha256)
    path = _content(folder)
    assert path is not None
    return path


def _announced(stream: BinaryIO) -> Announced:
    line = stream.readline(_LONGEST_LINE)
    try:
        announced = msgspec.json.decode(line, type=Announced)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _No(f"This is no announcement of files: {error}.", "Both sides need the same version.") from error
    names = [file.name for file in announced.files]
    if (
        not _FINGERPRINT.fullmatch(announced.fingerprint)
        or not 0 < len(names) <= _MOST_FILES
        or len(set(names)) < len(names)
        or not all(_is_inside(name) for name in names)
        or any(file.size_bytes < 0 for file in announced.files)
    ):
        raise _No("The files have names or sizes that cannot be.", "Nothing was written.")
    if announced.fingerprint not in _fingerprints(announced.files):
        raise _No("The files are not what they are called.", "They changed meanwhile: copy them again.")
    return announced


def _is_inside(name: str) -> bool:
    """Whether a name stays in the folder, and is not one of those that this module makes."""
    parts = name.split("/")
    return (
        len(parts) <= _DEEPEST
        and "\0" not in name
        and not PurePosixPath(name).is_absolute()
        and all(part and not part.startswith(".") and len(os.fsencode(part)) <= 255 for part in parts)
    )


class _Arriving:
    """One file on its way, and the hash of what is there of it."""

    def __init__(self, folder: Path, file: FileAnnounced) -> None:
        self._path = folder / file.name
        self._file = file
        self._hash = hashlib.sha256()
        self.have = 0
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as there:
            while block := there.read(_BLOCK_BYTES):
                self._hash.update(block)
                self.have += len(block)
        if self.have > file.size_bytes or (self.have == file.size_bytes and not self._is_right()):
            self._path.unlink()
            self._hash, self.have = hashlib.sha256(), 0

    @property
    def missing(self) -> int:
        return self._file.size_bytes - self.have

    def take(self, stream: BinaryIO) -> None:
        """Write what is missing. Raises `_No`, OSError."""
        private_folder(self._path.parent)
        with open(open_private(self._path, os.O_WRONLY | os.O_APPEND), "wb", buffering=0) as into:  # noqa: PTH123
            while self.missing:
                block = stream.read1(min(_BLOCK_BYTES, self.missing))  # type: ignore[attr-defined]
                if not block:
                    raise _No("The link was lost.", "What has arrived is kept.")
                into.write(block)
                self._hash.update(block)
                self.have += len(block)
            os.fsync(into.fileno())
        if not self._is_right():
            self._path.unlink()
            raise _No(
                f"{self._file.name} is not what was announced: it changed while it was copied, or was damaged.",
                "Copy it again; what else has arrived is kept.",
            )

    def _is_right(self) -> bool:
        return self._hash.hexdigest() == self._file.sha256


def _check_space(files: Mapping[str, _Arriving], folder: Path) -> None:
    needed, free = sum(one.missing for one in files.values()) + _SPARE_BYTES, shutil.disk_usage(folder).free
    if needed > free:
        raise _No(
            f"There is too little space: {needed / (1 << 30):.1f} GiB are needed in {folder}, {free / (1 << 30):.1f} "
            "GiB are free.",
            "Free some space there, then copy it again.",
        )


def _fingerprints(files: Sequence[FileAnnounced]) -> set[str]:
    """What these files may be known as: one file by itself; parts of a GGUF model, files of data in their order; a
    model's folder by their names."""
    digests = [file.sha256 for file in files]
    by_name = folder_fingerprint((PurePosixPath(file.name).name, file.sha256) for file in files)
    if len(digests) == 1:
        return {f"{SCHEME}{digests[0]}", by_name}
    return {
        joined(digests),
        joined([f"{file.name} {file.sha256}" for file in files]),
        by_name,
    }


def _content(folder: Path) -> Path | None:
    """What a plan calls it by: a folder, or a file that is alone or the first part."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return None
    is_file = len(inside) == 1 or all(path.suffix == ".gguf" for path in inside)
    return inside[0] if inside and is_file and inside[0].is_file() else folder


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Raises `_No` where another process receives the same model."""
    with open(open_private(lock, os.O_RDWR), "r+b") as held:  # noqa: PTH123
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _No("This is being copied there already.", "Wait until that has ended.") from error
        yield
        lock.unlink(missing_ok=True)


def _to_disk(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
