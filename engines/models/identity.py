"""What a model is the same as: a fingerprint over every byte that decides a run. Any thread, any process.

Each file's SHA-256 is taken once and kept in the application's cache under the file's device, inode, size and times
(mtime_ns, ctime_ns); the blobs of the Hugging Face hub and of Ollama carry theirs in their name. Nothing is sampled.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from engines.models.files import BrokenModel, ModelFiles

SMALL_BYTES = 32 << 20
"""Up to here a file is hashed at once, in a few hundredths of a second."""
SCHEME = "sha256:"
"""What these fingerprints begin with; those of earlier versions, which sampled files, begin with nothing."""
_BLOCK_BYTES = 4 << 20
_TICK_S = 0.02
"""File systems stamp changes by a clock that advances every 1 to 10 ms."""
_BLOB = re.compile(r"(?:sha256-)?([0-9a-f]{64})")
_DIGEST = re.compile(r"[0-9a-f]{64}")

Progress = Callable[[int], None]
"""Called with the bytes read since the last call; it may raise to end the reading."""


def fingerprint(files: ModelFiles, digests: Sequence[str]) -> str:
    """ "sha256:…" of a model whose files, in the order of `files.all`, have these digests. Of a GGUF model in one file
    it is the file's own SHA-256. Names in a folder count, those of GGUF files do not."""
    if files.others:
        return folder_fingerprint((file.name, digest) for file, digest in zip(files.all, digests, strict=True))
    if len(digests) == 1:
        return f"{SCHEME}{digests[0]}"
    return joined(list(digests))


def folder_fingerprint(files: Iterable[tuple[str, str]]) -> str:
    """ "sha256:…" of files in a folder by their names and digests, whatever their order."""
    return joined(sorted(f"{name} {digest}" for name, digest in files))


def joined(lines: Sequence[str]) -> str:
    """ "sha256:…" of several lines in this order."""
    return SCHEME + hashlib.sha256("\n".join(lines).encode()).hexdigest()


class Digests:
    """SHA-256 of whole files, remembered in a folder: one small file for each, so that processes do not meet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._here: dict[tuple[int, ...], str] = {}
        """What this process has read, where the folder cannot be written."""

    def known(self, file: Path) -> str | None:
        """The digest, if it can be had at once; None for a large file that has not been read. Raises OSError."""
        real = file.resolve()
        named = _BLOB.fullmatch(real.name)
        if named is not None and real.parent.name == "blobs":
            real.stat()
            return named[1]
        stamp = _stamp(real)
        if stamp[2] <= SMALL_BYTES:
            return _small(str(real), stamp)
        if stamp in self._here:
            return self._here[stamp]
        try:
            found = self._place(stamp).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return found if _DIGEST.fullmatch(found) else None

    def of(self, file: Path, progress: Progress = lambda _bytes: None) -> str:
        """The digest; reads the file if need be, about a second a gigabyte. Raises OSError, and `BrokenModel` where
        the file is being written."""
        found = self.known(file)
        if found is None:
            real = file.resolve()
            stamp = _stamp(real)
            found = _digest(real, stamp, progress)
            self._keep(stamp, found)
        return found

    def keep(self, file: Path, digest: str) -> None:
        """Remember what the caller has read or written."""
        self._keep(_stamp(file.resolve()), digest)

    def of_model(self, files: ModelFiles, progress: Progress = lambda _bytes: None) -> str:
        """The fingerprint of a model; reads what has not been read. Raises as `of`."""
        return fingerprint(files, [self.of(file, progress) for file in files.all])

    def known_of_model(self, files: ModelFiles) -> str:
        """The fingerprint, if it can be had at once; "" where a large file has not been read. Raises OSError."""
        digests = [self.known(file) for file in files.all]
        found = [digest for digest in digests if digest is not None]
        return fingerprint(files, found) if len(found) == len(digests) else ""

    def _place(self, stamp: tuple[int, ...]) -> Path:
        return self._folder / "-".join(map(str, stamp))

    def _keep(self, stamp: tuple[int, ...], digest: str) -> None:
        """Write it whole or not at all, in the place of what is known of the file's earlier contents. A cache that
        cannot be written costs time, and nothing else."""
        self._here[stamp] = digest
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._folder, prefix=".", delete=False) as draft:
                draft.write(digest)
            Path(draft.name).replace(self._place(stamp))
            for old in self._folder.glob(f"{stamp[0]}-{stamp[1]}-*"):
                if old != self._place(stamp):
                    old.unlink(missing_ok=True)


def _stamp(file: Path) -> tuple[int, int, int, int, int]:
    stat = file.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@lru_cache(maxsize=4096)
def _small(path: str, stamp: tuple[int, int, int, int, int]) -> str:
    return _digest(Path(path), stamp, lambda _bytes: None)


def read_digest(file: Path) -> str:
    """SHA-256 of a file as it is on the disk now, whatever is remembered. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(file: Path, stamp: tuple[int, int, int, int, int], progress: Progress) -> str:
    """SHA-256 of the file that has this stamp, before and after it is read."""
    if abs(time.time_ns() - stamp[4]) < _TICK_S * 1e9:
        time.sleep(_TICK_S)  # a change in the same tick of the file system's clock would not show in the stamp
    total = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            total.update(block)
            progress(len(block))
        after = os.fstat(stream.fileno())
    if (after.st_dev, after.st_ino, after.st_size, after.st_mtime_ns, after.st_ctime_ns) != stamp:
        raise BrokenModel(
            f"{file} changed while it was read.", "Something is still writing it: wait until that has ended."
        )
    return total.hexdigest()
