"""Commands on a computer that the user's OpenSSH client reaches, and the connection to its runner. Any thread; blocks.

Configuration, keys, agent and jump hosts are the user's own; nothing ever asks for a password. One login serves every
command for a minute (ControlMaster), on a socket that only this user can open.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.places import HOME_VARIABLE, Places
from engines.protocol.private import private_folder
from workbench.machines.keep_alive import keep_alive
from workbench.machines.machine import Ssh
from workbench.machines.ssh_config import arguments, details, variables
from workbench.machines.ssh_failures import ended_early, failure, no_ssh

_OPTIONS = {
    "BatchMode": "yes",
    "ClearAllForwardings": "yes",
    "ConnectTimeout": "10",
    "EscapeChar": "none",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    # a network that is gone shows within three seconds
    "ServerAliveInterval": "1",
    "ServerAliveCountMax": "2",
    "VisualHostKey": "no",
}
_PERSIST_S = 60
_LONGEST_SOCKET = 80
"""sockaddr_un holds 108 bytes, and while ssh opens a socket it adds 17 to its name."""
_GREETING_S = 30.0
_SAID_LINES = 40
_HANG_UP_S = 2.0
_TOO_LONG_S = 60.0
_LONGEST_OUT = 16 << 20
_SHOWN = 200
"""Characters of a command that a message names."""
_BEGINS = "llm-workbench-begins"
_PLAIN = re.compile(r"[A-Za-z0-9_./:,@+-][A-Za-z0-9_./:,@+=-]*")
_QUOTE = re.compile(r"['\\]")
_BARE = {"'": '"\'"', "\\": r'"\\"'}


@dataclass(frozen=True)
class Ended:
    """A command that ended on the far side, with its own exit code."""

    code: int
    out: str
    err: str


class Remote:
    """One far computer. `run` and `start` take argument lists: no argument is ever read by a shell."""

    def __init__(self, reach: Ssh, places: Places, title: str = "") -> None:
        self.reach = reach
        self.title = title or reach.host
        self._places = places
        self._lock = threading.Lock()
        self._connecting: set[subprocess.Popen[bytes]] = set()

    def run(
        self,
        argv: Sequence[str],
        *,
        input: bytes = b"",
        timeout: float = _TOO_LONG_S,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run a command there and wait for its end; what a login there prints before is passed over. Raises
        `RunnerError` where the computer cannot be reached, or the command takes longer than `timeout` seconds or prints
        without end."""
        process = self._begin(f"echo {_BEGINS}; {self._text(argv, environment)}")
        assert process.stdin is not None
        assert process.stdout is not None
        said = _Said(process)
        late = threading.Event()

        def give_up() -> None:
            late.set()
            end(process)

        patience = threading.Timer(timeout, give_up)
        patience.daemon = True
        feeding = threading.Thread(target=_feed, args=(process.stdin, input), name="ssh-stdin", daemon=True)
        for thread in (patience, feeding):
            thread.start()
        with process.stdout as stream:
            out = stream.read(_LONGEST_OUT + 1)
        if len(out) > _LONGEST_OUT:
            end(process)
        code = process.wait()
        patience.cancel()
        feeding.join()
        shown = far_text(argv)[:_SHOWN]
        if late.is_set():
            raise RunnerError(
                f"{self.title} did not finish a command within {timeout:g} s: {shown}",
                "Try again; it may be busy.",
                code="slow",
            )
        if len(out) > _LONGEST_OUT:
            raise RunnerError(
                f"{self.title} prints more than a command should: {shown}", "Try it in a terminal.", code="too_long"
            )
        if code == 255:  # ssh's own
            raise failure(self.reach, self.title, said.text())
        login, begins, printed = out.decode("utf-8", "replace").partition(f"{_BEGINS}\n")
        return Ended(code, printed if begins else login, said.text())

    def start(self, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Begin a command there, its three streams as pipes. The caller ends it (`end`). Raises `RunnerError` where
        this computer has no ssh."""
        return self._begin(self._text(argv, environment))

    def _begin(self, text: str) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                arguments(self.reach, self._options(), text),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=variables(),
                start_new_session=True,  # an interrupt of the terminal is this program's to handle
            )
        except OSError as error:
            raise no_ssh(error) from error

    def _text(self, argv: Sequence[str], environment: Mapping[str, str] | None) -> str:
        there = {HOME_VARIABLE: self.reach.home} if self.reach.home else {}
        there.update(environment or {})
        setting = ["env", *(f"{name}={value}" for name, value in there.items())] if there else []
        return far_text([*setting, *argv])

    def engines(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Begin `python -m engines ARGUMENTS` there. Raises `RunnerError`, also before the computer is set up."""
        if not self.reach.python:
            raise RunnerError(
                f"{self.title} is not set up: it has no engines yet.", "Set it up on the Machines page.", code="setup"
            )
        return self.start([self.reach.python, "-m", "engines", *arguments])

    def connect(self, client: str, words: Sequence[str] = ("connect",)) -> RunnerClient:
        """A connection to the runner there, which is started if none answers. `words`: of `python -m engines`, which
        then joins its streams to the runner. Raises `RunnerError`."""
        process = self.engines(words)
        with self._lock:
            self._connecting.add(process)
        try:
            return self._greeted(process, client)
        finally:
            with self._lock:
                self._connecting.discard(process)

    def give_up(self) -> None:
        """Make every `connect` that is under way fail at once."""
        with self._lock:
            waiting = tuple(self._connecting)
        for process in waiting:
            process.kill()

    def _greeted(self, process: subprocess.Popen[bytes], client: str) -> RunnerClient:
        assert process.stdin is not None
        assert process.stdout is not None
        said = _Said(process)
        codes: list[int | None] = []

        def hang_up() -> None:
            if not codes:  # no greeting yet: it may have ended by itself
                codes.append(_own_end(process))
            end(process)

        try:
            made = RunnerClient(process.stdout, process.stdin, hang_up=hang_up, client=client, timeout=_GREETING_S)
        except RunnerError as error:
            code = codes[0] if codes and error.code == "link" else None
            reason = None if code is None else ended_early(self.reach, self.title, code, said.text())
            raise reason or error from error
        codes.append(None)
        keep_alive(made)
        try:
            made.measure_clock()
        except RunnerError:
            made.close()
            raise
        return made

    def _options(self) -> dict[str, str]:
        known = details(self.reach)
        if known.get("controlpath", ["none"]) != ["none"]:  # the user's own, perhaps opened with a one-time code
            return _OPTIONS
        digest = hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()[:16]
        folder = _socket_folder(self._places)
        if folder is None:
            return {**_OPTIONS, "ControlMaster": "no", "ControlPath": "none"}
        path = str(folder / digest).replace("%", "%%")
        return {**_OPTIONS, "ControlMaster": "auto", "ControlPath": path, "ControlPersist": str(_PERSIST_S)}


def far_text(argv: Sequence[str]) -> str:
    """One line that a POSIX shell, or fish, over there takes apart into exactly these arguments."""
    return " ".join(_quoted(part) for part in argv)


def _quoted(part: str) -> str:
    if _PLAIN.fullmatch(part):
        return part
    # a backslash stands in double quotes: fish reads one in single quotes, too
    return "'" + _QUOTE.sub(lambda found: f"'{_BARE[found[0]]}'", part) + "'"


def end(process: subprocess.Popen[bytes]) -> None:
    """End an ssh client and what it started, as far as the far side notices; no zombie stays. Twice is once."""
    process.terminate()
    try:
        process.wait(_HANG_UP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _feed(stream: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(OSError), stream:
        stream.write(data)


def _own_end(process: subprocess.Popen[bytes]) -> int | None:
    """The exit code of a client whose output has ended; None where it runs."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(_HANG_UP_S)
    return None


def _socket_folder(places: Places) -> Path | None:
    """A folder with a short path that is this user's alone; None where there is none to be had."""
    for folder in (places.runtime / "ssh", Path("/tmp") / f"llm-workbench-{os.getuid()}"):
        if len(os.fsencode(folder)) + 17 > _LONGEST_SOCKET:
            continue
        with contextlib.suppress(OSError):
            private_folder(folder)
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
                return folder
    return None


class _Said:
    """The last lines of a process's standard error, read as they come so that it never waits."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._lines: deque[bytes] = deque(maxlen=_SAID_LINES)
        self._process = process
        self._thread = threading.Thread(target=self._read, name="ssh-stderr", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            while line := stream.readline(4096):
                self._lines.append(line)

    def text(self) -> str:
        """All of it, once the process has ended."""
        self._thread.join(_HANG_UP_S)
        return b"".join(self._lines).decode("utf-8", "replace")
