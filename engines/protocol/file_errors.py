"""What an error of the file system means for a person: what happened, and what to do about it.

One place for the runner, the engines and the store: space is no remedy for a lack of permission. Pure; any thread.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_MISSING = (errno.ENOENT, errno.ENOTDIR)
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
_FAILING = (errno.EIO, errno.ESTALE)
_KNOWN = (*_FULL, *_FORBIDDEN, errno.EROFS, *_FAILING)


def is_full(error: BaseException) -> bool:
    """Whether space would help: a full disk, a quota, a limit of a file's size."""
    return isinstance(error, OSError) and error.errno in _FULL


def is_forbidden(error: BaseException) -> bool:
    """Whether it is a matter of permissions, or of a disk that can only be read."""
    return isinstance(error, OSError) and error.errno in (*_FORBIDDEN, errno.EROFS)


def what_happened(error: OSError, where: Path) -> str:
    """A sentence. `where`: the folder or file that was to be written."""
    reason = error.strerror or str(error)
    if is_full(error):
        return f"The disk of {where} is full ({reason})."
    if error.errno in _FORBIDDEN:
        return f"You may not write to {error.filename or where} ({reason})."
    if error.errno == errno.EROFS:
        return f"The disk of {where} can only be read ({reason})."
    if error.errno in _EXHAUSTED:
        return f"The system has reached a limit ({reason})."
    return f"{error.filename or where} cannot be used ({reason})."


def what_to_do(error: OSError, where: Path) -> str:
    """A sentence: the remedy that fits the error."""
    if is_full(error):
        return f"Free some space on the disk of {where}."
    if error.errno in _FORBIDDEN:
        return f"Check the owner and the permissions of {error.filename or where}."
    if error.errno == errno.EROFS:
        return f"Mount the disk of {where} writable, or choose another folder."
    if error.errno in _MISSING:
        return f"Check that {error.filename or where} exists."
    if error.errno in _EXHAUSTED:
        return "Close other programs, or raise the limits of open files, processes and memory (ulimit -a)."
    return f"Check the disk of {where}."


def error_in(text: str) -> OSError | None:
    """The system's error that a library or program tells of in words only; None where it tells of none."""
    return next((OSError(number, os.strerror(number)) for number in _KNOWN if os.strerror(number) in text), None)
