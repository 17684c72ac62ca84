"""The runner's Unix socket: connections, calls and streams. On the runner's loop.

A stream is a task of its own that reads the spool file as fast as its client takes it: a slow client waits for itself
alone. A client that sends what is no call gets the reason and is disconnected.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec

from engines.protocol import LONGEST_LINE, MAGIC, PROTOCOL_VERSION, messages
from engines.protocol.codec import decode_call, decoded, encode_answer
from engines.protocol.messages import Answer, Call, Done, Failure, RecordLine, Reply, SpoolList, StreamEnded, Welcome
from engines.protocol.unix_socket import closed_on_failure, listen, same_user
from engines.runner.looking_up import looked_up
from engines.runner.runner import Refused, Runner
from engines.runner.spools.spool import boot_id

_log = logging.getLogger(__name__)
_HIGH_WATER = 1 << 18
_WATCH_PERIOD_S = 0.25
"""At most four queue states a second go to a watcher."""
_LAST_WORDS_S = 0.2
_LAST_WORDS_TURNS = 20

Send = Callable[[Reply], Coroutine[None, None, None]]


class _IdOnly(msgspec.Struct):
    id: int = 0


_id_decoder = msgspec.json.Decoder(_IdOnly)


def identity(path: Path) -> tuple[int, int] | None:
    """Device and number of a file, whatever its name; None where there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Server:
    """Listens until `close`. `client_count_changed` is called when a client comes or goes."""

    def __init__(
        self, runner: Runner, *, client_count_changed: Callable[[], None], shutdown: Callable[[], None]
    ) -> None:
        self._runner = runner
        self._client_count_changed = client_count_changed
        self._shutdown = shutdown
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._file: tuple[int, int] | None = None

    @property
    def clients(self) -> int:
        return len(self._connections)

    async def listen(self, path: Path) -> None:
        """Open the socket. The caller holds the lock. Raises OSError.

        Again after the file was removed: those connected stay connected.
        """
        if self._server is not None:
            self._server.close()
        with closed_on_failure(listen(path)) as listening:
            self._server = await asyncio.start_unix_server(self._connected, sock=listening, limit=LONGEST_LINE)
        self._file = identity(path)

    def is_at(self, path: Path) -> bool:
        """Whether the socket at that path is this server's: somebody may have removed it, or put another there."""
        return self._file is not None and identity(path) == self._file

    async def close(self) -> None:
        """Nobody new; those connected are cut off, after a moment for what is under way to them."""
        if self._server is not None:
            self._server.close()
        if self._connections:
            # Streams send the ends of the trials that were just stopped. In turns of the loop, not in one sleep: a
            # suspended machine would sleep through it, and the streams would have had no turn.
            for _ in range(_LAST_WORDS_TURNS):
                await asyncio.sleep(_LAST_WORDS_S / _LAST_WORDS_TURNS)
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=2.0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self._client_count_changed()
        try:
            if same_user(writer.get_extra_info("socket")):
                await _Connection(self._runner, reader, writer, self._shutdown).serve()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client went, or the runner goes
        finally:
            self._connections.discard(task)
            self._client_count_changed()
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 1.0)


class _Connection:
    def __init__(
        self,
        runner: Runner,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        shutdown: Callable[[], None],
    ) -> None:
        self._runner = runner
        self._reader = reader
        self._writer = writer
        self._shutdown = shutdown
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._greeted = False

    async def serve(self) -> None:
        """Answer calls until the client goes."""
        self._writer.transport.set_write_buffer_limits(high=_HIGH_WATER)
        self._writer.write(f"{MAGIC} {PROTOCOL_VERSION}\n".encode())
        try:
            while (line := await self._next_line()) is not None:
                call = await self._understood(line)
                if call is None:
                    break
                if isinstance(call.body, messages.Cancel):
                    await self._cancel(call)
                    continue
                if call.id in self._tasks:
                    await self._answer(call.id, Failure(code="bad_request", message=f"Call {call.id} is still open."))
                    continue
                task = asyncio.create_task(self._handle(call))
                self._tasks[call.id] = task
                await asyncio.sleep(0)  # calls that need not wait are answered in their order
        finally:
            for task in self._tasks.values():
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks.values())

    async def _next_line(self) -> bytes | None:
        """None at the end."""
        try:
            line = await self._reader.readline()
        except ValueError:
            await self._answer(0, Failure(code="bad_request", message="A call was longer than 64 MiB."))
            return None
        return line if line.endswith(b"\n") else None

    async def _understood(self, line: bytes) -> Call | None:
        """The call of a line; None (after an answer) where the connection is to be closed."""
        try:
            call = decode_call(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            number = 0
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                number = decoded(_id_decoder, line).id
            await self._answer(number, _not_understood(error))
            return None
        if isinstance(call.body, messages.Hello):
            if call.body.version != PROTOCOL_VERSION:
                await self._answer(call.id, _wrong_version(call.body.version))
                return None
            self._greeted = True
        elif not self._greeted:
            await self._answer(call.id, Failure(code="bad_request", message="The first call must be hello."))
            return None
        return call

    async def _answer(self, number: int, reply: Reply) -> None:
        self._writer.write(encode_answer(Answer(number, reply)) + b"\n")
        await self._writer.drain()

    async def _cancel(self, call: Call) -> None:
        assert isinstance(call.body, messages.Cancel)
        task = self._tasks.get(call.body.call)
        if task is not None:
            task.cancel()
        await self._answer(call.id, Done())

    async def _handle(self, call: Call) -> None:
        async def send(reply: Reply) -> None:
            await self._answer(call.id, reply)

        try:
            failure = await self._fulfil(call, send)
            if failure is not None:
                await send(failure)
        except ConnectionError:
            pass  # the client has gone; the reading side notices and ends the connection
        finally:
            self._tasks.pop(call.id, None)

    async def _fulfil(self, call: Call, send: Send) -> Failure | None:
        try:
            match call.body:
                case messages.Attach(trial=trial, after=after):
                    await self._attach(trial, after, send)
                case messages.Watch():
                    await self._watch(send)
                case messages.LookUp():
                    async with contextlib.aclosing(looked_up(call.body)) as answers:
                        async for answer in answers:
                            await send(answer)
                    await send(StreamEnded(reason="ended"))
                case _:
                    await send(await self._reply(call.body))
        except Refused as refused:
            return Failure(code=refused.code, message=str(refused), advice=refused.advice)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001
            # a mistake of ours in one call must not take the runner, its trials and the other clients down
            _log.exception("a call failed")
            return Failure(code="internal", message=f"The runner made a mistake: {error!r}")
        return None

    async def _reply(self, request: messages.Request) -> Reply:
        runner = self._runner
        match request:
            case messages.Hello():
                return _welcome()
            case messages.Submit(orders=orders, secrets=secrets):
                return Done(text=runner.submit(orders, secrets))
            case messages.Stop(trial=trial, how=how):
                return Done(text=runner.stop(trial, kill=how == "kill"))
            case messages.GetQueue():
                return runner.queue_state()
            case messages.SetPaused(paused=paused):
                runner.set_paused(paused)
            case messages.Reorder(trials=trials):
                runner.reorder(trials)
            case messages.ListSpools(store=store):
                return SpoolList(spools=runner.archive.spools(store))
            case messages.Acknowledge(trial=trial, seq=seq):
                runner.acknowledge(trial, seq)
            case messages.Bury(trials=trials):
                await runner.bury(trials)
            case messages.Probe():
                return await self._probe()
            case messages.Shutdown():
                asyncio.get_running_loop().call_soon(self._shutdown)
            case _:
                return Failure(code="bad_request", message="This request cannot be answered alone.")
        return Done()

    async def _probe(self) -> Reply:
        try:
            return await self._runner.probe()
        except Exception as error:  # noqa: BLE001
            # drivers and their libraries raise what they like; a client needs the reason, the runner keeps running
            _log.exception("the probe failed")
            return Failure(code="internal", message=f"This machine could not be looked at: {error}")

    async def _attach(self, trial: str, after: int, send: Send) -> None:
        """Send what the spool has after `after`, then what comes, up to the trial's end."""
        runner = self._runner
        if not runner.knows(trial):
            raise runner.unknown(trial)
        reader = None
        read_from = None
        try:
            while True:
                change = runner.grown(trial).next_change()
                entry = runner.archive.get(trial)
                if reader is not None and entry is not read_from:  # a trial that was put back has a new spool
                    reader.close()
                    reader = None
                read_from = entry
                reader = reader or runner.read_spool(trial, after)
                if entry is not None and reader is not None:
                    lines = reader.read(entry.writer)
                    if lines is not None:
                        await self._send_lines(trial, lines, send)
                        continue
                    if entry.writer.complete:
                        return await send(StreamEnded(reason="ended"))
                if entry is None and not runner.may_come(trial):
                    return await send(StreamEnded(reason="no records of this trial are kept here"))
                await change.wait()
        finally:
            if reader is not None:
                reader.close()

    async def _send_lines(self, trial: str, lines: list[tuple[int, bytes]], send: Send) -> None:
        for seq, line in lines:
            await send(RecordLine(trial=trial, seq=seq, line=line.decode()))
        await asyncio.sleep(0)  # a long spool and a fast client must not hold up the others

    async def _watch(self, send: Send) -> None:
        self._runner.release()  # somebody follows
        last: messages.QueueState | None = None
        while True:
            change = self._runner.changed.next_change()
            state = self._runner.queue_state()
            if state != last:
                await send(state)
                last = state
                await asyncio.sleep(_WATCH_PERIOD_S)
            await change.wait()


def _welcome() -> Welcome:
    return Welcome(
        version=PROTOCOL_VERSION,
        pid=os.getpid(),
        boot=boot_id(),
        machine=platform.node(),
        clock_wall_ns=time.time_ns(),
        clock_mono_ns=time.monotonic_ns(),
    )


def _not_understood(error: Exception) -> Failure:
    return Failure(
        code="bad_request",
        message=f"This machine's runner does not understand the call: {error}",
        advice="It knows only what was installed when it started. While no trial runs, "
        f"`kill {os.getpid()}` there ends it; the next call starts a new one.",
    )


def _wrong_version(theirs: int) -> Failure:
    return Failure(
        code="version",
        message=f"This machine's runner speaks protocol version {PROTOCOL_VERSION}, the client version {theirs}.",
        advice="Update the older of the two. A runner ends by itself when it has nothing to do for ten minutes.",
    )
