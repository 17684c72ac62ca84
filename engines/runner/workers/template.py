"""The template process: kept while it is of use, asked for workers, ended and replaced. On the runner's loop.

A template belongs to one block of one experiment, so that what its forks share (address layout, hash seed) differs
between blocks. It is ended when another is needed, when nothing has run for a minute, and with the runner. Whatever
goes wrong with it, a trial is started plainly instead and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.host.processors import Share
from engines.protocol.orders import EnvironmentOrder, TrialOrder
from engines.protocol.records import Record
from engines.runner.settings import RunnerSettings
from engines.worker.forks import DESCRIPTORS, MESSAGE_BYTES, ForkRequest, Key, Ready, Said

_log = logging.getLogger(__name__)
_LAUNCH = Path(__file__).with_name("launch.py")
_FORK_PATIENCE_S = 10.0


class NoTemplate(Exception):
    """There is no worker from a template to be had; the text says why."""

    def __init__(self, why: str, errors: tuple[Record, ...] = ()) -> None:
        """`errors`: what the worker that failed wrote to standard error."""
        super().__init__(why)
        self.errors = errors


@dataclass(frozen=True)
class Block:
    """What a template is for. `key` and `environment` are what libraries see; the rest renews it."""

    key: Key
    environment: EnvironmentOrder | None
    processors: tuple[int, ...]
    experiment: str
    block: int

    @property
    def kind(self) -> bytes:
        """What decides whether a template can be made at all."""
        return msgspec.json.encode((self.key, self.environment))


def block_of(order: TrialOrder, share: Share) -> Block:
    """The template that a trial with these threads and processors needs."""
    key = Key(order.engine.id, share.threads, order.devices, order.allow_network)
    return Block(key, order.environment, share.processors, order.experiment, order.block)


class Template:
    """One template process. Made on the main thread: its parent-death signal belongs to the thread."""

    def __init__(self, block: Block, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Raises OSError."""
        self.block = block
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._socket = ours
        self._answer: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        bounds = {"parent": os.getpid(), "processors": block.processors, "address_space_bytes": None}
        options = ["--control", str(theirs.fileno()), "--runner", str(os.getpid())]
        options += ["--key", msgspec.json.encode(block.key).decode()]
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [
                        *(sys.executable, "-I", "-S", str(_LAUNCH), msgspec.json.encode(bounds).decode()),
                        *command,
                        *options,
                    ],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    env=dict(environment),
                )
            except OSError:
                ours.close()
                raise
        self.pid = self._process.pid
        self._gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._socket.fileno(), self._readable)
        self._pidfd = os.pidfd_open(self.pid)
        loop.add_reader(self._pidfd, self._reap)

    @property
    def is_alive(self) -> bool:
        return not self._gone.is_set()

    async def ready(self, patience_s: float) -> Ready:
        """Wait for its first word. Raises `NoTemplate`."""
        said = await self._next(patience_s, "get ready")
        if said.ready is None:
            raise NoTemplate(said.refused or "it said something else than that it is ready")
        return said.ready

    async def fork(self, request: ForkRequest, descriptors: Sequence[int]) -> Said:
        """A worker with these pipes. -> its process id: a child of this process. Raises `NoTemplate`."""
        assert len(descriptors) == DESCRIPTORS
        self._answer = asyncio.get_running_loop().create_future()
        try:
            socket.send_fds(self._socket, [msgspec.json.encode(request)], descriptors)
        except OSError as error:
            raise NoTemplate(f"it has gone ({error.strerror})") from error
        said = await self._next(_FORK_PATIENCE_S, "fork")
        if not said.pid:
            raise NoTemplate(said.refused or "it said something else than the worker's process id")
        return said

    async def end(self) -> None:
        """Kill it and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            if self.is_alive:
                os.kill(self.pid, signal.SIGKILL)
        await self._gone.wait()

    async def _next(self, patience_s: float, doing: str) -> Said:
        try:
            return await asyncio.wait_for(asyncio.shield(self._answer), patience_s)
        except TimeoutError:
            raise NoTemplate(f"it did not {doing} within {patience_s:g} s") from None

    def _readable(self) -> None:
        try:
            data = self._socket.recv(MESSAGE_BYTES)
            said = msgspec.json.decode(data, type=Said) if data else Said(refused="it ended")
        except BlockingIOError:
            return
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            data, said = b"", Said(refused=f"it cannot be understood ({error})")
        if not data:
            self._hang_up()
        if not self._answer.done():
            self._answer.set_result(said)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()
        self._gone.set()
        self._hang_up()
        if not self._answer.done():
            self._answer.set_result(Said(refused="it ended"))

    def _hang_up(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()


class Templates:
    """The one template of a runner, or none."""

    def __init__(
        self, settings: RunnerSettings, environment: Callable[[EnvironmentOrder | None], Mapping[str, str]]
    ) -> None:
        """`environment`: of a template process for such an order, the runner's mark included."""
        self._settings = settings
        self._environment = environment
        self._now: Template | None = None
        self._ending: dict[int, asyncio.Task[None]] = {}
        self._hopeless: dict[bytes, str] = {}
        self._idle: asyncio.TimerHandle | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def pids(self) -> list[int]:
        """Processes of this runner that are no trial's."""
        return [*([self._now.pid] if self._now is not None else []), *self._ending]

    async def get(self, block: Block) -> Template:
        """The template of a block, made where there is none. Raises `NoTemplate`; a kind that once refused, or did not
        get ready, is not tried again by this runner."""
        async with self._one_at_a_time:
            self.busy()
            if self._now is not None and (self._now.block != block or not self._now.is_alive):
                self.drop()
            if self._now is None:
                await self._make(block)
            assert self._now is not None
            return self._now

    async def _make(self, block: Block) -> None:
        if not self._settings.template_command:
            raise NoTemplate("this runner has none")
        if block.kind in self._hopeless:
            raise NoTemplate(self._hopeless[block.kind])
        try:
            self._now = Template(block, self._settings.template_command, self._environment(block.environment))
        except OSError as error:
            raise NoTemplate(f"it could not be started ({error})") from error
        try:
            ready = await self._now.ready(self._settings.template_ready_s)
        except NoTemplate as why:
            self.give_up(block, str(why))
            raise
        except asyncio.CancelledError:
            self.drop()
            raise
        _log.info("template %d is ready after %.1f s", self._now.pid, ready.import_s)

    def give_up(self, block: Block, why: str) -> None:
        """End the template and try none of its kind again."""
        _log.warning("no more templates for %s: %s", block.key, why)
        self._hopeless[block.kind] = why
        self.drop()

    def drop(self) -> None:
        """End the template, without waiting."""
        if self._now is not None:
            template, self._now = self._now, None
            task = asyncio.create_task(template.end())
            self._ending[template.pid] = task
            task.add_done_callback(lambda _: self._ending.pop(template.pid, None))

    def busy(self) -> None:
        """Something runs: nothing is ended for idleness."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def idle(self) -> None:
        """Nothing runs: end the template after a while."""
        if self._now is not None and self._idle is None:
            self._idle = asyncio.get_running_loop().call_later(self._settings.template_idle_s, self._expire)

    def _expire(self) -> None:
        self._idle = None
        self.drop()

    async def close(self) -> None:
        """End it and wait until it is gone."""
        self.busy()
        self.drop()
        await asyncio.gather(*self._ending.values())
