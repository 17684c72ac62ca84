"""Text files of the user's own, read whole as UTF-8, and why one cannot be read. Pure but for reading; any thread."""

from __future__ import annotations

import contextlib
from pathlib import Path

from engines.protocol.problems import Advised

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SAMPLE = 100
_SAVE = "Open it in an editor and save it as UTF-8; nothing was run with it, and the file is as it was."


class FileError(Advised):
    """What is wrong with a file, in a sentence, and what to do in `advice`."""


def own_path(written: str, base: Path = Path()) -> Path:
    """A path as a person writes it, absolute: "~" is the home folder, "~name" of nobody a name like any other."""
    path = Path(written)
    with contextlib.suppress(RuntimeError):
        path = path.expanduser()
    return (base / path).absolute()


def unreadable(path: Path, error: OSError) -> FileError:
    return FileError(f"{path} cannot be read: {error.strerror or error}.", "Check its name and its permissions.")


def no_file(path: Path) -> FileError:
    return FileError(f"There is no file {path}.", "A relative path starts at the experiment file's folder.")


def read_bytes(path: Path, most: int, advice: str) -> bytes:
    """The whole file; one larger than `most` bytes is refused with `advice`. Raises `FileError`."""
    try:
        if path.stat().st_size > most:
            raise FileError(f"{path.name} is larger than {most // 2**20:,} MiB.", advice)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise no_file(path) from error
    except OSError as error:
        raise unreadable(path, error) from error


def decoded(name: str, raw: bytes) -> str:
    """UTF-8, with or without its mark. Raises `FileError` naming the byte that is wrong."""
    # UTF-16 without its mark is, for plain letters, UTF-8 with a null character beside each
    if raw.startswith(_UTF16_MARKS) or b"\0" in raw:
        why = ". It looks like UTF-16, which Windows calls Unicode" if _is_utf16(raw) else ": it holds null bytes"
        raise FileError(f"{name} is not UTF-8 text{why}.", _SAVE)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FileError(
            f"{name} is not UTF-8 text: byte {error.start} (line {line}) is 0x{raw[error.start]:02x}.", _SAVE
        ) from error


def _is_utf16(raw: bytes) -> bool:
    """By its mark, or because every other byte of its beginning is null."""
    start = raw[: 2 * _SAMPLE]
    halves = start[::2], start[1::2]
    return raw.startswith(_UTF16_MARKS) or any(half and half.count(0) >= 0.9 * len(half) for half in halves)
