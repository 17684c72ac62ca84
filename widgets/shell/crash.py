"""What is left when the window crashes: a file with the traces of all threads, offered at the next start.

The file is opened at the start, because a crashing process can open nothing any more, and removed at a clean end.
Main thread, but for `threading.excepthook`, which may write from any.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

from engines.protocol.private import open_private, private_folder

KEPT = 20
"""Reports kept; older ones go."""


class CrashGuard:
    """Installed at the start of the window, `close`d at its clean end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path: Path | None = None
        self._file: IO[str] | None = None
        self._say: Callable[[str, str], None] | None = None
        self._hooks = (sys.excepthook, threading.excepthook)

    def install(self) -> None:
        """Open the file and catch crashes and uncaught exceptions. A disk that refuses leaves the hooks out."""
        name = f"window-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        try:
            private_folder(self.folder)
            self._file = os.fdopen(open_private(self.folder / name, os.O_WRONLY | os.O_TRUNC), "w", encoding="utf-8")
        except OSError:
            return
        self.path = self.folder / name
        faulthandler.enable(self._file)
        sys.excepthook = self._exception
        threading.excepthook = self._thread_exception

    def tell(self, say: Callable[[str, str], None]) -> None:
        """Call `say(message, advice)` for an uncaught exception; it may be called on any thread."""
        self._say = say

    def _exception(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            self._hooks[0](kind, error, trace)
            return
        self._write("".join(traceback.format_exception(kind, error, trace)))
        self._hooks[0](kind, error, trace)
        if self._say is not None:
            advice = f"The window stays open; trials and stored data are not affected. Report: {self.path}"
            self._say(f"Something went wrong in the window: {error or kind.__name__}", advice)

    def _thread_exception(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            self._exception(args.exc_type, args.exc_value, args.exc_traceback)

    def _write(self, text: str) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError):
                self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{text}\n")
                self._file.flush()

    def close(self) -> None:
        """The clean end: the file goes if nothing was written to it."""
        sys.excepthook, threading.excepthook = self._hooks
        if self._file is None or self.path is None:
            return
        faulthandler.disable()
        self._file.close()
        self._file = None
        with contextlib.suppress(OSError):
            if self.path.stat().st_size == 0:
                self.path.unlink()
            else:
                mark_seen(self.path)


def left_behind(folder: Path) -> tuple[Path, ...]:
    """Reports of windows that ended by a crash and were not offered yet, newest first. Empty files of processes that
    are gone are those that were killed: they say nothing and are removed, as are reports beyond the newest few."""
    found: list[Path] = []
    for path in sorted(folder.glob("window-*.txt"), reverse=True) if folder.is_dir() else ():
        with contextlib.suppress(OSError, ValueError):
            if _is_running(int(path.stem.rsplit("-", 1)[1].split(".")[0])):
                continue
            if path.stat().st_size == 0:
                path.unlink()
            else:
                found.append(path)
    for path in found[KEPT:]:
        with contextlib.suppress(OSError):
            path.unlink()
    return tuple(p for p in found[:KEPT] if not p.stem.endswith(".seen"))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def mark_seen(path: Path) -> Path:
    """The report was offered; it stays on disk under a name that says so."""
    with contextlib.suppress(OSError):
        return path.rename(path.with_name(f"{path.stem}.seen.txt"))
    return path
