"""How much disk the application uses, and making room. No Qt; runs on threads of the bridge."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from engines.protocol.places import Places


@dataclass(frozen=True)
class DiskUse:
    """Bytes on disk, and how many files where that says something."""

    database_bytes: int
    models_bytes: int
    spools_bytes: int
    spools: int
    crashes_bytes: int
    crashes: int


def measure(places: Places, database: Path) -> DiskUse:
    """What is on disk now. Files that vanish while it looks are left out."""
    models, _ = folder_size(places.models)
    spools_bytes, spools = folder_size(places.spools)
    crashes_bytes, crashes = folder_size(places.crashes)
    stored = sum(_size(database.with_name(database.name + suffix)) for suffix in ("", ".wal"))
    return DiskUse(stored, models, spools_bytes, spools, crashes_bytes, crashes)


def folder_size(folder: Path) -> tuple[int, int]:
    """(bytes, files) under a folder; (0, 0) where there is none. Links are not followed."""
    total = count = 0
    if folder.is_dir():
        for path in folder.rglob("*"):
            if not path.is_symlink() and path.is_file():
                total += _size(path)
                count += 1
    return total, count


def clear_folder(folder: Path, only: str = "*", *, keep_open: bool = False) -> int:
    """Delete what is in a folder, not the folder. -> bytes freed. OSError says what could not be deleted.

    `keep_open` leaves empty files: they are the crash files of windows that run."""
    before, _ = folder_size(folder)
    for path in folder.glob(only) if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif not (keep_open and _size(path) == 0):
            path.unlink(missing_ok=True)
    return before - folder_size(folder)[0]


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
