"""Files and folders that nobody but this user may look into: prompts, texts and machine facts are theirs.

What an earlier version made with wider modes is narrowed when it is used. Never changes what belongs to another user.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folder(folder: Path) -> None:
    """Make it where it is missing. Raises OSError where it cannot be made."""
    folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    narrow(folder)


def open_private(path: Path, flags: int) -> int:
    """As `os.open`; a file that is made has mode 0600. -> a descriptor that no child inherits. Raises OSError."""
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR)


def write_private(path: Path, data: bytes) -> None:
    """Replace a file's contents. Raises OSError."""
    with open(open_private(path, os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(data)


def replace_private(path: Path, data: bytes) -> None:
    """Replace a file in one step that outlives a power loss, and make its folder: whoever reads it sees the old
    contents or the new. Raises OSError, and the old file is as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(draft).unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the disk confirm which files a folder has: a renamed or new one outlives a power loss. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def narrow(path: Path) -> None:
    """Take away what group and others may do with a file or folder of this user's own, if there is one. A file system
    that knows no modes, or can only be read, is left as it is."""
    with contextlib.suppress(OSError):
        found = path.stat()
        if found.st_uid == os.geteuid() and found.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
