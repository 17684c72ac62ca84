"""The near end of `remote_helper.py`: it is sent to a machine and asked to run commands there, one at a time.
Blocking; one thread, but for `close`, which any thread may call. What the machine answers is data: decoded strictly,
never run.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from types import TracebackType
from typing import Annotated, TypeVar

import msgspec

from engines.protocol.client import RunnerError
from workbench.machines.setup.remote_helper import GREETING
from workbench.machines.setup.shell import Shell, plain

_START = "import sys; exec(sys.stdin.buffer.read(int(sys.argv[1])))"
_BANNER_LINES = 200
_LONGEST_BYTES = 1 << 20
_END_S = 15.0
_UNREACHED = 255
"""The exit code of ssh where it is not the command's."""

Path_ = Annotated[str, msgspec.Meta(max_length=1000, pattern=r"^/[^\x00-\x1f\x7f]*$")]
Word = Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[A-Za-z0-9_.+-]*$")]
T = TypeVar("T")


class Python(msgspec.Struct, frozen=True, kw_only=True):
    """An interpreter there."""

    path: Path_
    version: tuple[int, int, int]
    venv: bool
    ensurepip: bool

    @property
    def minor(self) -> str:
        """ "3.11"."""
        return f"{self.version[0]}.{self.version[1]}"


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What was found there. `base` is the folder of environments, which may not exist yet."""

    base: Path_
    system: Word
    machine: Word
    free_bytes: int
    writable: bool
    uv: Annotated[str, msgspec.Meta(max_length=1000, pattern=r"^(/[^\x00-\x1f\x7f]*)?$")]
    nvidia: bool
    pythons: Annotated[tuple[Python, ...], msgspec.Meta(max_length=50)]
    environments: Annotated[dict[str, tuple[str, ...]], msgspec.Meta(max_length=10_000)]
    """Their names -> the names of the versions of the engines in them."""


class _Answer(msgspec.Struct, frozen=True):
    line: str | None = None
    code: int | None = None


class _Sizes(msgspec.Struct, frozen=True):
    sizes: dict[str, int | None]


class HelperEnded(RunnerError):
    """The link broke, or what was started there does not speak as `remote_helper.py`; `said` are its last lines."""

    def __init__(self, message: str, said: Sequence[str], code: int) -> None:
        super().__init__(message)
        self.said = tuple(said)
        self.exit_code = code


class RemoteHelper:
    """A context manager. Leaving it ends what runs there, and removes there what is half made."""

    def __init__(self, shell: Shell, python: str = "python3") -> None:
        """Raises `RunnerError`: of the shell, or `HelperEnded`."""
        script = files("workbench.machines.setup").joinpath("remote_helper.py").read_bytes()
        self._process = shell.start([python, "-I", "-c", _START, str(len(script))])
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._input, self._output, self._errors = self._process.stdin, self._process.stdout, self._process.stderr
        self._said: deque[str] = deque(maxlen=20)
        self._drain = threading.Thread(target=self._read_errors, name="setup-stderr", daemon=True)
        self._drain.start()
        self._closing = threading.Lock()
        try:
            with contextlib.suppress(OSError):  # it ended already; its words say why
                self._input.write(script)
                self._input.flush()
            for _ in range(_BANNER_LINES):  # a login banner, or what a start file prints
                line = self._line()
                if line == GREETING.encode():
                    return
                self._said.append(plain(line.decode("utf-8", "replace")))
            raise self._ended()
        except HelperEnded as error:
            self._finish()
            if error.exit_code == _UNREACHED:
                shell.run(["true"])  # raises what says why
            raise

    def look(self, base: str, python: str) -> Looked:
        """Look around there. `python`: the interpreter that is wanted; "" finds those with usual names."""
        self._ask({"do": "look", "base": base, "python": python})
        return self._decode(Looked)

    def sizes(self, paths: Mapping[str, str]) -> Mapping[str, int | None]:
        """Bytes on disk of folders by their names here; None where there is no such folder."""
        self._ask({"do": "sizes", "paths": dict(paths)})
        found = self._decode(_Sizes).sizes
        return {name: found.get(name) for name in paths}

    def begin(self, folder: str, on_line: Callable[[str], None]) -> int:
        """Make a folder that is removed at the end where it was not renamed. -> exit code"""
        self._ask({"do": "begin", "path": folder})
        return self._follow(on_line)

    def write(self, path: str, data: bytes, on_line: Callable[[str], None]) -> int:
        self._ask({"do": "write", "path": path, "bytes": len(data)})
        self._send(data)
        return self._follow(on_line)

    def run(self, argv: Sequence[str], on_line: Callable[[str], None], environment: Mapping[str, str] = {}) -> int:
        """Run a command without a shell. -> exit code"""
        self._ask({"do": "run", "argv": list(argv), "environment": dict(environment)})
        return self._follow(on_line)

    def close(self) -> None:
        """From any thread, also while a command runs."""
        with self._closing:
            with contextlib.suppress(OSError):  # it ended already, with something unsent
                self._input.close()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> RemoteHelper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()

    # --- inside -------------------------------------------------------------------------------------

    def _finish(self) -> None:
        self.close()
        self._drain.join(_END_S)
        for stream in (self._output, self._errors):
            stream.close()

    def _ask(self, request: dict[str, object]) -> None:
        self._send(msgspec.json.encode(request) + b"\n")

    def _send(self, data: bytes) -> None:
        try:
            self._input.write(data)
            self._input.flush()
        except (OSError, ValueError):  # ValueError: closed by another thread
            raise self._ended() from None

    def _line(self) -> bytes:
        line = self._output.readline(_LONGEST_BYTES)
        if not line.endswith(b"\n"):
            raise self._ended()
        return line.rstrip()

    def _decode(self, kind: type[T]) -> T:
        line = self._line()
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.MsgspecError as error:
            self._said.append(plain(line.decode("utf-8", "replace")))
            raise HelperEnded(f"The machine's answer makes no sense: {error}", tuple(self._said), 0) from error

    def _follow(self, on_line: Callable[[str], None]) -> int:
        while True:
            answer = self._decode(_Answer)
            if answer.line is not None:
                on_line(plain(answer.line))
            if answer.code is not None:
                return answer.code

    def _read_errors(self) -> None:
        while line := self._errors.readline(4096):
            self._said.append(plain(line.decode("utf-8", "replace")))

    def _ended(self) -> HelperEnded:
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            code = -1
        self._drain.join(1.0)
        return HelperEnded("The connection ended.", tuple(self._said), code)
