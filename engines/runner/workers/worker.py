"""A worker process: started with its bounds or forked from the template, its pipes read as they fill, its end awaited.

On the runner's loop, which must be on the process's main thread: a parent-death signal belongs to the thread that
started the child.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.host.processors import Share
from engines.runner.workers.template import Template
from engines.telemetry.base import SharedPages
from engines.worker.forks import ForkRequest

OnData = Callable[[str, bytes], None]
"""Called with the pipe's name ("records", "stdout", "stderr") and what came."""

_LAUNCH = Path(__file__).with_name("launch.py")
_CHUNK = 1 << 16
_RECORD_PIPE_BYTES = 1 << 20
_ERROR_PIPE_BYTES = 1 << 16
"""As the kernel makes a pipe."""
_PIPES = ("records", "stdout", "stderr")


@dataclass(frozen=True)
class WorkerOrder:
    """What a worker is started with. `changes`: what its environment has and the template's has not."""

    folder: Path
    order: Path
    ring: Path
    share: Share
    address_space_bytes: int | None
    environment: Mapping[str, str]
    changes: Mapping[str, str]

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("--order", str(self.order), "--ring", str(self.ring))


class WorkerProcess:
    """A child of this process. Its pipes are read from `listen` on."""

    def __init__(self, pid: int, pipes: Mapping[str, int], reap: Callable[[], int], on_data: OnData) -> None:
        """`pipes`: descriptors to read from, owned by this object. `reap` waits for the end and gives the exit code."""
        self.pid = pid
        self.shared: SharedPages | None = None
        """The template it was forked from."""
        self._loop = asyncio.get_running_loop()
        self._on_data = on_data
        self._reap = reap
        self._pipes = {name: os.fdopen(fd, "rb", buffering=0) for name, fd in pipes.items()}
        for pipe in self._pipes.values():
            os.set_blocking(pipe.fileno(), False)
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._gone)

    def listen(self) -> None:
        """Begin to read the pipes."""
        for name, pipe in self._pipes.items():
            self._loop.add_reader(pipe.fileno(), self._readable, name)

    async def speaks(self, patience_s: float, give_up: asyncio.Event) -> bool:
        """Whether a record has come, before `listen`. Waits for one, until the worker ends or somebody gives up."""
        pipe = self._pipes["records"].fileno()
        woken = asyncio.Event()
        self._loop.add_reader(pipe, woken.set)
        waits = [asyncio.ensure_future(wait) for wait in (woken.wait(), give_up.wait(), self.exit_code())]
        try:
            await asyncio.wait(waits, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._loop.remove_reader(pipe)
            for wait in waits:
                wait.cancel()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        return any(event & select.POLLIN for _, event in poll.poll(0))

    async def exit_code(self) -> int:
        """Wait for the end; negative: the signal it died of."""
        return await asyncio.shield(self._exit)

    def send(self, number: signal.Signals) -> None:
        """Signal the worker; nothing happens when it is gone."""
        if not self._exit.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def drain(self) -> None:
        """Take what is still in the pipes and close them. After the end only."""
        for name in list(self._pipes):
            while self._readable(name):
                pass
            self._close(name)

    def discard(self) -> bytes:
        """Close the pipes; only what stands in standard error is of use. -> that. After the end only."""
        left = (self._pipes["stderr"].read(_ERROR_PIPE_BYTES) or b"") if "stderr" in self._pipes else b""
        for name in list(self._pipes):
            self._close(name)
        return left

    def _gone(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._exit.set_result(self._reap())

    def _readable(self, name: str) -> bool:
        """Read a chunk. -> whether there may be more."""
        pipe = self._pipes.get(name)
        if pipe is None:
            return False
        data = pipe.read(_CHUNK)
        if data is None:
            return False
        if not data:
            self._close(name)
            return False
        self._on_data(name, data)
        return True

    def _close(self, name: str) -> None:
        pipe = self._pipes.pop(name, None)
        if pipe is not None:
            self._loop.remove_reader(pipe.fileno())
            pipe.close()


def start_plainly(command: Sequence[str], wanted: WorkerOrder, on_data: OnData) -> WorkerProcess:
    """A worker in an interpreter of its own. Raises OSError when the system gives no process."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("workers are started from the main thread only")
    bounds = {
        "parent": os.getpid(),
        "processors": wanted.share.processors,
        "address_space_bytes": wanted.address_space_bytes,
    }
    reading, writing = _make_pipes()
    try:
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", str(_LAUNCH), msgspec.json.encode(bounds).decode()),
                *(*command, *wanted.arguments, "--records", str(writing["records"])),
            ],
            stdin=subprocess.DEVNULL,
            stdout=writing["stdout"],
            stderr=writing["stderr"],
            pass_fds=(writing["records"],),
            start_new_session=True,
            cwd=wanted.folder,
            env=dict(wanted.environment),
        )
    except OSError:
        _close_all(reading.values())
        raise
    finally:
        _close_all(writing.values())
    return WorkerProcess(process.pid, reading, process.wait, on_data)


async def fork_from(template: Template, wanted: WorkerOrder, on_data: OnData) -> WorkerProcess:
    """A worker forked from a template: a child of this process all the same. Raises `NoTemplate`, OSError."""
    reading, writing = _make_pipes()
    request = ForkRequest(
        arguments=wanted.arguments,
        folder=str(wanted.folder),
        environment=dict(wanted.changes),
        address_space_bytes=wanted.address_space_bytes,
    )
    try:
        said = await template.fork(request, [writing[name] for name in _PIPES])
        worker = WorkerProcess(said.pid, reading, lambda: _wait_for(said.pid), on_data)
        worker.shared = SharedPages(template.pid, said.pss_bytes)
        return worker
    except BaseException:
        _close_all(reading.values())
        raise
    finally:
        _close_all(writing.values())


def _make_pipes() -> tuple[dict[str, int], dict[str, int]]:
    """-> descriptors by pipe to read from and to write to."""
    pairs = {name: os.pipe2(os.O_CLOEXEC) for name in _PIPES}
    with contextlib.suppress(OSError):  # a smaller pipe works too: the worker then waits for us more often
        fcntl.fcntl(pairs["records"][0], fcntl.F_SETPIPE_SZ, _RECORD_PIPE_BYTES)
    return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _wait_for(pid: int) -> int:
    """Reap a child that no `Popen` knows. -> exit code, negative: the signal it died of"""
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:
        return 1
    return os.waitstatus_to_exitcode(status)
