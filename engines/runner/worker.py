"""A worker process: started with its bounds, its pipes read as they fill, its end awaited. On the runner's loop.

Must be started from the process's main thread: the parent-death signal belongs to the thread that started the child.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from engines.runner.processors import Share

OnData = Callable[[str, bytes], None]
"""Called with the pipe's name ("records", "stdout", "stderr") and what came."""

_LAUNCH = Path(__file__).with_name("launch.py")
_CHUNK = 1 << 16
_RECORD_PIPE_BYTES = 1 << 20


class WorkerProcess:
    """Started when made. Raises OSError when the system gives no process."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        order: Path,
        ring: Path,
        share: Share,
        address_space_bytes: int | None,
        environment: Mapping[str, str],
        on_data: OnData,
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("workers are started from the main thread only")
        self._loop = asyncio.get_running_loop()
        self._on_data = on_data
        bounds = {
            "parent": os.getpid(),
            "processors": share.processors,
            "address_space_bytes": address_space_bytes,
        }
        records, records_end = os.pipe2(os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a smaller pipe works too: the worker then waits for us more often
            fcntl.fcntl(records, fcntl.F_SETPIPE_SZ, _RECORD_PIPE_BYTES)
        options = ["--order", str(order), "--records", str(records_end), "--ring", str(ring)]
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(_LAUNCH), msgspec.json.encode(bounds).decode()),
                    *command,
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(records_end,),
                start_new_session=True,
                cwd=folder,
                env=dict(environment),
            )
        except OSError:
            os.close(records)
            raise
        finally:
            os.close(records_end)
        self.pid = self._process.pid
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._pipes = {"records": os.fdopen(records, "rb", buffering=0)}
        self._pipes["stdout"], self._pipes["stderr"] = self._process.stdout, self._process.stderr  # type: ignore[assignment]
        for name, pipe in self._pipes.items():
            os.set_blocking(pipe.fileno(), False)
            self._loop.add_reader(pipe.fileno(), self._readable, name)
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._gone)

    async def exit_code(self) -> int:
        """Wait for the end; negative: the signal it died of."""
        return await asyncio.shield(self._exit)

    def send(self, number: signal.Signals) -> None:
        """Signal the worker; nothing happens when it is gone."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def drain(self) -> None:
        """Take what is still in the pipes and close them. After the end only."""
        for name in list(self._pipes):
            while self._readable(name):
                pass
            self._close(name)

    def _gone(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._exit.set_result(self._process.wait())

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
