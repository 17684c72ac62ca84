"""Merged models of the cache: made once by a worker, used by every trial of the same base and adapter, made again when
they are gone. No torch; any thread, any process.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from engines.models import artifacts
from engines.models.artifacts import Made

_READING_S = 3600.0
"""A model that a trial took so recently may still be being read."""


@dataclass(frozen=True)
class Merged:
    folder: Path
    made: Made
    used_s: float
    """When a trial last took it, seconds since 1970."""

    def may_go(self, now_s: float) -> bool:
        return now_s - self.used_s >= _READING_S


def place(cache: Path) -> Path:
    return cache / "merged"


def entries(cache: Path) -> list[Merged]:
    """The whole ones, the least recently used first. Raises OSError."""
    found = [
        Merged(folder, made, artifacts.manifest_of(folder).stat().st_mtime)
        for folder in place(cache).glob("*/")
        if (made := artifacts.read(folder)) is not None
    ]
    return sorted(found, key=lambda one: one.used_s)


def take(folder: Path) -> None:
    """A trial uses it now."""
    os.utime(artifacts.manifest_of(folder))


def trim(cache: Path, *, free: int | None = None, now_s: float | None = None) -> tuple[Path, ...]:
    """Remove the least recently used while they are more bytes than the disk has free; none that was used within the
    last hour. With the lock of whoever makes them. -> those that went. Raises OSError."""
    listed = entries(cache)
    left = sum(one.made.bytes for one in listed)
    free = shutil.disk_usage(cache).free if free is None else free
    now_s = time.time() if now_s is None else now_s
    gone: list[Path] = []
    for one in listed:
        if left <= free or not one.may_go(now_s):
            break
        artifacts.remove(one.folder)
        left, free = left - one.made.bytes, free + one.made.bytes
        gone.append(one.folder)
    return tuple(gone)
