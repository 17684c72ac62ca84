"""A connection to a runner: local (starting one if none runs) or through any pair of byte streams.

Blocking calls and blocking streams over one connection; a reader thread sorts answers by call id. Safe from any thread.
A stream holds what has come and was not yet taken, up to a limit; then the link waits. Whatever a runner sends takes a
bounded amount of memory (docs/security.md).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from engines.protocol import LONGEST_LINE, MAGIC, PROTOCOL_VERSION
from engines.protocol.clock_offset import ClockOffset, clock_offset
from engines.protocol.codec import decode_answer, encode_call
from engines.protocol.messages import Call, Cancel, Failure, Hello, Reply, Request, StreamEnded, Welcome
from engines.protocol.places import HOME_VARIABLE, Places
from engines.protocol.private import narrow, open_private, private_folder
from engines.protocol.problems import Advised
from engines.protocol.unix_socket import connect, hang_up

_Answers = queue.SimpleQueue["tuple[Reply | RunnerError, int]"]
"""Of one call, each with its size in bytes."""

_BANNER_LINES = 200
_BACKLOG_BYTES = 32 << 20
"""Of streams, come and not yet taken. Beyond it nothing more is read, unless a call waits for its answer."""
_LARGEST_BACKLOG_BYTES = 256 << 20
"""Where more than this comes before the answer to a call, the link ends; what was not taken can be asked for again."""
_LOG_TAIL_LINES = 12
_LOG_LARGEST_BYTES = 4 << 20
_CLOCK_READINGS = 5
_LEAST_S = 5.0
"""What a runner has for its greeting however late it is by then: it may have taken long to start."""


class RunnerError(Advised):
    """The runner refused a call, or cannot be reached. `code` as `Failure.code`, or "link", "start", "version",
    "not_running"; for a machine far away also those of `workbench.machines.ssh_failures`."""

    def __init__(self, message: str, advice: str = "", *, code: str = "link") -> None:
        super().__init__(message, advice)
        self.code = code


class RunnerClient:
    """One connection. Use as a context manager, or `close()` it; closing ends its streams.

    `reader` and `writer` are the byte streams (unbuffered writes, buffered reads); `hang_up` makes a blocked read on
    `reader` return, and is called once. Waits up to `timeout` seconds for the runner's greeting. Raises `RunnerError`.
    """

    welcome: Welcome
    """What the runner said of itself."""

    def __init__(
        self,
        reader: IO[bytes],
        writer: IO[bytes],
        *,
        hang_up: Callable[[], None],
        client: str = "client",
        timeout: float = 10.0,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._hang_up = hang_up
        self._name = client
        self._sending = threading.Lock()
        """Held while a call is written, which can take as long as the other side does not read."""
        self._changed = threading.Condition()
        """Guards what follows."""
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Answers] = {}
        self._calls = 0
        self._backlog_bytes = 0
        self._lost: RunnerError | None = None
        self._greeted = threading.Event()
        self._closed = False
        self.over = threading.Event()
        """Set when the connection has ended."""
        self.clock: ClockOffset | None = None
        """How far the clock there is ahead; None where it was not measured, as on this computer."""
        self.heard_at = time.monotonic()
        """When the last line came."""
        self.received_bytes = 0
        self.sent_bytes = 0
        self._thread = threading.Thread(target=self._read, name="runner-client", daemon=True)
        self._thread.start()
        try:
            self.welcome = self._greet(timeout)
        except RunnerError:
            self.close()
            raise

    def call(self, request: Request, *, timeout: float = 30.0) -> Reply:
        """Send one request and wait for its answer. A `Failure` answer raises `RunnerError`."""
        with self._changed:
            self._calls += 1
            self._changed.notify_all()
        try:
            number, answers = self._send(request)
            try:
                return _next(answers, timeout, self._take)
            finally:
                self._forget(number)
        finally:
            with self._changed:
                self._calls -= 1

    def stream(self, request: Request) -> Iterator[Reply]:
        """Send `Attach` or `Watch` and yield answers until the stream or the link ends (`RunnerError` code "link").
        Closing the iterator cancels the stream at the runner."""
        number, answers = self._send(request)
        ended = False
        try:
            while True:
                try:
                    reply = _next(answers, None, self._take)
                except RunnerError:
                    ended = True
                    raise
                if isinstance(reply, StreamEnded):
                    ended = True
                    return
                yield reply
        finally:
            self._forget(number)
            if not ended:
                with contextlib.suppress(RunnerError):
                    self._post(Call(next(self._numbers), Cancel(call=number)))

    def close(self) -> None:
        """End the connection and its streams; from any thread, more than once too."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._hang_up()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5.0)
        for end in (self._writer, self._reader):
            with contextlib.suppress(OSError, ValueError):
                end.close()

    def measure_clock(self) -> None:
        """Ask for the time there a few times, and keep what the quickest answer says (`clock`)."""
        found = []
        for _ in range(_CLOCK_READINGS):
            wall_ns, asked_ns = time.time_ns(), time.monotonic_ns()
            told = self._hello(10.0)
            found.append(clock_offset(wall_ns, time.monotonic_ns() - asked_ns, told.clock_wall_ns, told.clock_mono_ns))
        self.clock = min(found, key=lambda one: one.within_s)

    def answers(self, within_s: float) -> bool:
        """Ask, and say whether anything came within that time: an answer may wait behind other lines."""
        asked_at = time.monotonic()
        try:
            self._hello(within_s)
        except RunnerError:
            return self.heard_at > asked_at
        return True

    @property
    def waits(self) -> bool:
        """Whether a call or a stream is open."""
        with self._changed:
            return bool(self._waiting)

    def __enter__(self) -> RunnerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside -------------------------------------------------------------------------------------

    def _greet(self, timeout: float) -> Welcome:
        if not self._greeted.wait(timeout):
            raise RunnerError(f"No greeting came from the runner within {timeout:g} s.", "Try again; it may be busy.")
        return self._hello(timeout)

    def _hello(self, timeout: float) -> Welcome:
        reply = self.call(Hello(version=PROTOCOL_VERSION, client=self._name), timeout=timeout)
        if not isinstance(reply, Welcome):
            raise RunnerError("The runner did not answer as one.", code="version")
        return reply

    def _send(self, request: Request) -> tuple[int, _Answers]:
        answers: _Answers = queue.SimpleQueue()
        number = next(self._numbers)
        with self._changed:
            if self._lost is not None:
                raise self._lost
            self._waiting[number] = answers
        self._post(Call(number, request))
        return number, answers

    def _post(self, call: Call) -> None:
        try:
            data = encode_call(call) + b"\n"
            with self._sending:
                self._writer.write(data)
                self._writer.flush()
                self.sent_bytes += len(data)
        except UnicodeEncodeError as error:
            self._forget(call.id)
            raise RunnerError(f"{error.object!a} is not UTF-8: no trial can have it.", code="bad_request") from error
        except (OSError, ValueError) as error:
            self._forget(call.id)
            raise _link_lost() from error

    def _forget(self, number: int) -> None:
        with self._changed:
            answers = self._waiting.pop(number, None)
            while answers is not None and not answers.empty():
                self._backlog_bytes -= answers.get_nowait()[1]
            self._changed.notify_all()

    def _take(self, size_bytes: int) -> None:
        with self._changed:
            self._backlog_bytes -= size_bytes
            self._changed.notify_all()

    def _read(self) -> None:
        lost = _link_lost()
        try:
            self._read_greeting()
            self._greeted.set()
            while line := self._reader.readline(LONGEST_LINE):
                self.heard_at = time.monotonic()
                self.received_bytes += len(line)
                if len(line) == LONGEST_LINE:
                    raise RunnerError(f"The runner sent a line of more than {LONGEST_LINE >> 20} MiB: it is none.")
                self._sort(line)
        except RunnerError as error:
            lost = error
        except (OSError, ValueError):
            pass  # the connection broke or was closed: reported below as a lost link
        with self._changed:
            self._lost = lost
            for answers in self._waiting.values():
                answers.put((lost, 0))
        self._greeted.set()
        self.over.set()

    def _read_greeting(self) -> None:
        """Pass over a login banner. Raises `RunnerError`."""
        for _ in range(_BANNER_LINES):
            line = self._reader.readline(4096)
            if not line:
                raise _link_lost()
            word, _, version = line.decode("utf-8", "replace").strip().partition(" ")
            if word == MAGIC:
                if version != str(PROTOCOL_VERSION):
                    raise RunnerError(
                        f"The runner speaks protocol version {version}, this program version {PROTOCOL_VERSION}.",
                        "Update the older of the two.",
                        code="version",
                    )
                return
        raise RunnerError(
            "What answers there is not a runner.",
            "A login there prints too much; it should print nothing where there is no terminal.",
            code="not_a_runner",
        )

    def _sort(self, line: bytes) -> None:
        try:
            answer = decode_answer(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RunnerError(f"The runner's answer could not be read: {error}") from error
        if answer.id == 0 and isinstance(answer.body, Failure):
            raise _error_of(answer.body)
        with self._changed:
            answers = self._waiting.get(answer.id)
            if answers is None:
                return
            answers.put((answer.body, len(line)))
            self._backlog_bytes += len(line)
            self._changed.wait_for(lambda: self._backlog_bytes <= _BACKLOG_BYTES or self._calls or self._closed)
            if self._backlog_bytes > _LARGEST_BACKLOG_BYTES:
                raise RunnerError("The runner sends more than is taken here, and no answer to a call.")


def connect_local(
    places: Places,
    *,
    start: bool = True,
    hold: bool = True,
    timeout: float = 10.0,
    client: str = "client",
    options: Sequence[str] = (),
) -> RunnerClient:
    """Connect to this user's runner. With `start`, one is started detached where none answers (its output goes to
    `places.runner_log`); two clients starting one at the same time end up with one. Raises `RunnerError`.

    One that is started on `hold` begins with its queue when somebody submits, resumes or watches: not for a look.
    `options`: further ones of `serve`."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return _connect(places.runner_socket, client, max(_LEAST_S, deadline - time.monotonic()))
        except OSError as error:
            if not start:
                raise RunnerError(
                    "No runner is running here.", "It starts by itself with the first trial.", code="not_running"
                ) from error
        except RunnerError as error:
            # one that was just ending answered and went: start another
            if not start or error.code != "link" or time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise _not_started(places, f"No runner answered within {timeout:g} s.")
        _start_detached(places, max(_LEAST_S, deadline - time.monotonic()), hold=hold, options=options)


def _connect(path: Path, client: str, timeout: float) -> RunnerClient:
    """Raises OSError where nobody listens, `RunnerError`."""
    link = connect(path, timeout)
    link.settimeout(None)
    reader, writer = link.makefile("rb"), link.makefile("wb")

    def end() -> None:
        hang_up(link)
        link.close()

    return RunnerClient(reader, writer, hang_up=end, client=client, timeout=timeout)


def _start_detached(places: Places, timeout: float, *, hold: bool, options: Sequence[str]) -> None:
    """Start a runner that outlives this process and return when it listens (or another one does).

    The command detaches itself and ends when the runner is ready: nothing of it stays a child of this process, and none
    of this process's files stay open in it. Raises `RunnerError` with the end of the runner's log.
    """
    try:
        private_folder(places.state)
        _rotate(places.runner_log)
        narrow(places.runner_log)
        with open(open_private(places.runner_log, os.O_WRONLY | os.O_APPEND), "ab") as log:  # noqa: PTH123
            ended = subprocess.run(
                [
                    *(sys.executable, "-m", "engines", "serve", "--detach", "--every-processor"),
                    *["--hold"] * hold,
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=engine_environment(places),
                start_new_session=True,
                timeout=timeout,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise _not_started(places, f"The runner was not ready within {timeout:.0f} s.") from error
    except OSError as error:
        raise RunnerError(f"The runner could not be started: {error}", code="start") from error
    if ended.returncode != 0:
        raise _not_started(places, "The runner could not be started.")


def engine_environment(places: Places) -> dict[str, str]:
    """The environment of a child process of the house: it finds these packages and these places from any folder."""
    environment = dict(os.environ)
    root = places.data.parent
    if places == Places(root / "data", root / "state", root / "cache", root / "config", root / "run"):
        environment[HOME_VARIABLE] = str(root)
    source = str(Path(__file__).resolve().parents[2])
    if source not in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = source if not inherited else os.pathsep.join((source, inherited))
    return environment


def _rotate(log: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > _LOG_LARGEST_BYTES:
            log.replace(log.with_name(log.name + ".1"))


def _not_started(places: Places, what: str) -> RunnerError:
    try:
        tail = places.runner_log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    except OSError:
        tail = []
    said = "\n".join(tail)
    return RunnerError(
        f"{what} Its last words:\n{said}" if said else what,
        f"Nothing is lost. The whole log is {places.runner_log}.",
        code="start",
    )


def _next(answers: _Answers, timeout: float | None, take: Callable[[int], None]) -> Reply:
    """The next answer; `take` is called with its size."""
    try:
        reply, size_bytes = answers.get(timeout=timeout)
    except queue.Empty:
        raise RunnerError(f"The runner did not answer within {timeout:g} s.", "It may be busy; try again.") from None
    take(size_bytes)
    if isinstance(reply, RunnerError):
        raise reply
    if isinstance(reply, Failure):
        raise _error_of(reply)
    return reply


def _error_of(failure: Failure) -> RunnerError:
    return RunnerError(failure.message, failure.advice, code=failure.code)


def _link_lost() -> RunnerError:
    return RunnerError("The link to the runner is lost.", "Trials continue; connect again to follow them.")
