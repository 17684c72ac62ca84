"""What a worker leaves behind: found and killed, so that nobody is orphaned.

The runner is the subreaper of everything its workers start: a process whose parent ends becomes the runner's child.
Every worker carries a mark in its environment, which what it starts inherits; it also is a session of its own. When
the runner itself was killed, its next start finds the marked ones that outlived it. Linux, /proc.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import signal
import time
from collections.abc import Collection, Iterator
from pathlib import Path

MARK_VARIABLE = "LLM_WORKBENCH_WORKER_OF"

_log = logging.getLogger(__name__)
_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_S = 2.0
_LONGEST_DEATH_S = 20.0
"""A driver gives back the memory of a GPU before its process is gone, which can take seconds."""


def become_subreaper() -> None:
    """Adopt orphans of this process's descendants. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mark_of(state: Path, trial: str = "") -> str:
    """The mark of a runner (by its state folder) and, where given, of one of its trials."""
    return f"{hashlib.sha256(os.fsencode(state.absolute())).hexdigest()[:16]}:{trial}"


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`, zombies included. [] when it is gone."""
    found: list[int] = []
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        for thread in threads:
            found.extend(int(child) for child in (thread / "children").read_bytes().split())
    except (FileNotFoundError, ProcessLookupError):
        if not Path(f"/proc/{pid}").exists():
            return []
        return [child for child in _all_processes() if _stat(child)[:1] == (pid,)]  # a kernel without `children`
    return found


def kill_leftovers(mark: str, session: int, *, spare: Collection[int], take_strangers: bool) -> list[int]:
    """Kill and reap what a worker left among this process's children, and all that descends from it. -> their ids

    `session`: the worker's. `spare`: children never touched (workers of other trials). `take_strangers`: also children
    that carry neither mark nor session; only true when nobody else in this process has started any. What carries
    another trial's mark is no stranger: it may have started this moment. Blocks until they are gone, two seconds at
    most.
    """
    killed: list[int] = []  # what is dead shows its mark no more, and still is to be reaped
    deadline = time.monotonic() + _PATIENCE_S
    tried = False
    while not tried or time.monotonic() < deadline:  # once at least, even if the machine was suspended meanwhile
        roots = [
            child
            for child in children_of(os.getpid())
            if child not in spare
            and (child in killed or _belongs(child, mark, session) or (take_strangers and not _mark(child)))
        ]
        if not roots:
            break
        for root in roots:
            for pid in (root, *_descendants(root)):
                if pid not in killed and not _is_zombie(pid):
                    killed.append(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        tried = True
        gone = [_reaped(root) for root in roots]
        if not all(gone):
            time.sleep(0.005)
    return killed


def kill_marked(mark_of_runner: str) -> list[int]:
    """Kill every process with this runner's mark, and wait until it holds no device any more: for a start after a
    runner was killed. -> their ids"""
    found = [pid for pid in _all_processes() if _mark(pid).startswith(mark_of_runner)]
    for pid in found:
        _log.warning("killed process %d, left behind by a trial of a runner that died", pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _LONGEST_DEATH_S
    while (left := [pid for pid in found if not _is_zombie(pid)]) and time.monotonic() < deadline:
        time.sleep(0.005)
    if left:
        _log.error("still there after %g s: %s", _LONGEST_DEATH_S, left)
    return found


def _belongs(pid: int, mark: str, session: int) -> bool:
    return _mark(pid) == mark or _stat(pid)[1:2] == (session,)


def _descendants(pid: int) -> Iterator[int]:
    for child in children_of(pid):
        yield child
        yield from _descendants(child)


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _mark(pid: int) -> str:
    """The mark a process carries, or ""."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    name = MARK_VARIABLE.encode() + b"="
    found = next((part for part in environment.split(b"\0") if part.startswith(name)), b"")
    return os.fsdecode(found[len(name) :])


def _stat(pid: int) -> tuple[int, ...]:
    """(parent, session) of a process, () when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return ()
    return int(fields[1]), int(fields[3])


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


def _all_processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
