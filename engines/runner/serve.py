"""A runner's life: one per user, started by hand or detached, ended when idle, by command, or by a signal.

`serve` is the whole process. It must be called on the main thread before any other thread exists.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import stat
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from engines.protocol.file_errors import what_happened, what_to_do
from engines.protocol.places import Places
from engines.protocol.private import private_folder
from engines.protocol.unix_socket import connect
from engines.runner.executor import Executor
from engines.runner.runner import Runner
from engines.runner.server import Server, identity
from engines.runner.settings import RunnerSettings
from engines.runner.workers.leftovers import become_subreaper, kill_marked, mark_of

Beside = Callable[[Runner], Coroutine[None, None, None]]
_log = logging.getLogger(__name__)
_LOCK_PATIENCE_S = 30.0
_RETRY_S = 0.05


class AlreadyRunning(Exception):
    """Another runner of this user answers on the socket."""


class CannotServe(Exception):
    """The runner cannot start; the text says why and what to do."""


def serve(
    places: Places,
    settings: RunnerSettings,
    *,
    ready: Callable[[], None],
    executor: Executor | None = None,
    beside: Beside | None = None,
) -> None:
    """Be the runner until the end; `ready` is called when clients can connect, and `beside` runs beside it.

    Raises `AlreadyRunning`, `CannotServe`.
    """
    try:
        private_folder(places.state)
        make_private(places.runner_socket.parent)
        lock = _take_lock(places)
    except OSError as error:
        raise _cannot_serve(error, places.state) from error
    try:
        become_subreaper()
        kill_marked(mark_of(places.state))
        asyncio.run(_Life(places, settings, lock, executor).live(ready, beside))
    except OSError as error:
        raise _cannot_serve(error, places.runner_socket) from error
    finally:
        os.close(lock)


def _cannot_serve(error: OSError, where: Path) -> CannotServe:
    return CannotServe(f"{what_happened(error, where)} Nothing was changed. {what_to_do(error, where)}")


def make_private(folder: Path) -> None:
    """A folder only this user can look into. Raises OSError; `CannotServe` where it belongs to somebody else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise CannotServe(f"{folder} is not a folder of this user's own. Remove it, or set XDG_RUNTIME_DIR.")
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


def answers(path: Path) -> bool:
    """Whether somebody listens on a socket."""
    try:
        connect(path, 1.0).close()
    except OSError:
        return False
    return True


def _take_lock(places: Places) -> int:
    """The lock of the one runner, held as long as the descriptor is open; the system frees it however we end. While a
    runner that ends still holds it, wait."""
    fd = os.open(places.runner_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if answers(places.runner_socket):
                os.close(fd)
                raise AlreadyRunning("A runner is already running.") from None
            if time.monotonic() > deadline:
                os.close(fd)
                raise CannotServe(
                    f"Another runner holds {places.runner_lock} and does not answer. End it (its process id is in that "
                    "file), then try again; trials that it runs will be marked as lost."
                ) from None
            time.sleep(_RETRY_S)
            continue
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        return fd


class _Life:
    def __init__(self, places: Places, settings: RunnerSettings, lock: int, executor: Executor | None) -> None:
        self._places = places
        self._executor = executor
        held = os.fstat(lock)
        self._lock = (held.st_dev, held.st_ino)
        self._settings = settings
        self._over = asyncio.Event()
        self._idle: asyncio.TimerHandle | None = None

    async def live(self, ready: Callable[[], None], beside: Beside | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._over.set)
        runner = Runner(self._places, self._settings, self._executor)
        server = Server(runner, client_count_changed=lambda: self._look(runner, server), shutdown=self._over.set)
        runner.start()
        await server.listen(self._places.runner_socket)
        _log.info("runner %d listens on %s", os.getpid(), self._places.runner_socket)
        ready()
        tasks = [asyncio.create_task(self._watch(runner, server)), asyncio.create_task(self._stay_reachable(server))]
        if beside is not None:
            tasks.append(asyncio.create_task(beside(runner)))
        await self._over.wait()
        for task in tasks:
            task.cancel()
        if server.is_at(self._places.runner_socket):  # a home that was removed and made anew has another runner's
            self._places.runner_socket.unlink(missing_ok=True)
        await runner.shut_down()
        await server.close()
        _log.info("runner %d ends", os.getpid())
        if runner.is_probing:  # a driver that hangs: the interpreter would wait for its thread for ever
            os._exit(0)

    async def _watch(self, runner: Runner, server: Server) -> None:
        while True:
            change = runner.changed.next_change()
            self._look(runner, server)
            await change.wait()

    async def _stay_reachable(self, server: Server) -> None:
        """Put the socket back where somebody swept it away (cleaners of temporary folders do), and end where the whole
        home was removed: its queue belongs to whoever made it anew."""
        while True:
            await asyncio.sleep(self._settings.look_s)
            if identity(self._places.runner_lock) != self._lock:
                _log.warning("the folder %s was removed or replaced: this runner ends", self._places.state)
                self._over.set()
            elif not server.is_at(self._places.runner_socket):
                _log.warning("the socket was removed: listening again")
                try:
                    make_private(self._places.runner_socket.parent)
                    await server.listen(self._places.runner_socket)
                except (OSError, CannotServe) as error:  # whoever sweeps may not be done yet: the next look tries again
                    _log.error("cannot listen: %s", error)

    def _look(self, runner: Runner, server: Server) -> None:
        """Begin to count when the runner has become idle, stop counting when it is not."""
        idle = runner.is_idle and server.clients == 0
        if idle and self._idle is None:
            self._idle = asyncio.get_running_loop().call_later(self._settings.idle_s, self._over.set)
        elif not idle and self._idle is not None:
            self._idle.cancel()
            self._idle = None
