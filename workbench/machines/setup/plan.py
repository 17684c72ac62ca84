"""What setting up does on a machine, as data: every command before it runs. Pure.

    BASE/LOCK/                     an environment with the packages of one lock, shared by versions of the engines
    BASE/LOCK/versions/VERSION/    an environment with one version of the engines, and a path file to the shared one

Both are made beside their place under another name and renamed when their imports have worked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from engines.catalogue import engines
from engines.protocol.problems import Problem
from workbench.machines.installing import shown_command
from workbench.machines.setup.link import Looked, Python
from workbench.machines.setup.lock import Lock
from workbench.machines.setup.remote_helper import VERSIONS
from workbench.machines.setup.wheel import EnginesWheel
from workbench.units import format_bytes

OLDEST = (3, 11)
"""Python that the engines run on."""
BASE = "~/.local/share/llm-workbench/engines"
_SHARED = "../../../../../lib/python{minor}/site-packages\n"
"""From a version's packages to the shared ones: relative, as an environment is renamed when it is complete."""

Kind = Literal["run", "folder", "file"]
StepId = Literal["remove", "folder", "file", "environment", "packages", "compile", "unpack", "check", "rename"]


@dataclass(frozen=True)
class Choice:
    """What the user decides. `engines` are ids; `python` an interpreter there, "" for the one that fits best; `home` as
    `Ssh.home`; `index` a further package index; `anew` makes the environment again where it is there."""

    engines: tuple[str, ...] = ()
    python: str = ""
    home: str = ""
    index: str = ""
    anew: bool = False

    @property
    def base(self) -> str:
        """The folder of environments, as it is written: `~` is the home there."""
        return f"{self.home.rstrip('/')}/data/engines" if self.home else BASE


@dataclass(frozen=True)
class Step:
    """`argv` is what runs, or names what is done without a command (a folder made, a file written)."""

    id: StepId
    title: str
    argv: tuple[str, ...]
    kind: Kind = "run"
    needs: str = ""
    data: bytes = field(default=b"", repr=False)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """As a line for a shell."""
        if self.kind == "file":
            return f"write {format_bytes(len(self.data))} to {self.argv[-1]}"
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return shown_command([*(["env", *variables] if variables else []), *self.argv])


@dataclass(frozen=True)
class SetUpPlan:
    """`python` is the interpreter with the engines, once the steps are done. With an error among `problems` there are
    no steps."""

    steps: tuple[Step, ...]
    problems: tuple[Problem, ...]
    cautions: tuple[str, ...]
    python: str
    environment: str
    lock: Lock | None
    looked: Looked

    @property
    def can_start(self) -> bool:
        return not any(p.severity == "error" for p in self.problems)


def fitting(looked: Looked) -> Python | None:
    """The interpreter that is used: of the version that runs here where there is one, else the newest."""
    able = [p for p in looked.pythons if p.version[:2] >= OLDEST]
    same = [p for p in able if p.version[:2] == sys.version_info[:2]]
    return next(iter(same), max(able, key=lambda p: p.version, default=None))


def steps(
    looked: Looked, python: Python, lock: Lock, wheel: EnginesWheel, *, token: str, anew: bool = False
) -> tuple[Step, ...]:
    """What is missing, in order. `token` makes the names of what is half made unique."""
    environment = f"{looked.base}/{lock.hash}"
    there = looked.environments.get(lock.hash)
    found: list[Step] = []
    if there is not None and anew:
        found.append(Step("remove", "Remove the environment that is there", ("rm", "-rf", environment)))
        there = None
    if there is None:
        found += _environment(looked, python, lock, wheel, f"{looked.base}/.making-{token}", environment)
    version = f"{environment}/{VERSIONS}/{wheel.content}"
    if wheel.content not in (there or ()):
        found += _version(python, wheel, environment, f"{environment}/{VERSIONS}/.making-{token}", version)
    else:
        found.append(_check(f"{version}/bin/python", "engines.cli, engines.runner.serve"))
    return tuple(found)


def python_of(looked: Looked, lock: Lock, wheel: EnginesWheel) -> str:
    """The interpreter that has the engines when all steps are done."""
    return f"{looked.base}/{lock.hash}/{VERSIONS}/{wheel.content}/bin/python"


def _environment(
    looked: Looked, python: Python, lock: Lock, wheel: EnginesWheel, making: str, place: str
) -> Iterator[Step]:
    """Its packages, by pip; by uv where this Python cannot make an environment with pip."""
    own = f"{making}/bin/python"
    listed = f"{making}/lock.txt"
    yield Step("folder", "Make a folder to work in", ("mkdir", "-m", "700", making), "folder")
    yield Step("file", "Write the list of packages", ("write", listed), "file", data=lock.text.encode())
    if python.ensurepip:
        create: Sequence[str] = (python.path, "-m", "venv", making)
        install: Sequence[str] = (own, "-m", "pip", "install", "--no-input", "--disable-pip-version-check")
        install = (*install, "--progress-bar", "off")
    else:
        create = (looked.uv, "venv", "--seed", "--allow-existing", "--no-python-downloads", "-p", python.path, making)
        install = (looked.uv, "pip", "install", "--python", own)
    yield Step("environment", f"Make an environment of Python {python.minor}", tuple(create))
    size = f"about {format_bytes(lock.needed_bytes)} of disk, and a package index"
    yield Step("packages", "Install the packages", (*install, "-r", listed), needs=size)
    if lock.compiled:
        packed, unpacked = f"{making}/{wheel.name}", f"{making}/engines"
        yield Step("file", "Copy the engines", ("write", packed), "file", data=wheel.data)
        yield Step("unpack", "Unpack them", (own, "-m", "zipfile", "-e", packed, unpacked))
    for module in lock.compiled:
        command = (own, "-m", module)
        yield Step(
            "compile", "Compile llama.cpp", command, needs="a C++ compiler; 8 to 15 minutes on two cores, once",
            environment={"PYTHONPATH": unpacked},
        )  # fmt: skip
    imports = ", ".join(
        ("msgspec, platformdirs, pynvml", *(m for e in engines() if e.id in lock.engines for m in e.modules))
    )
    yield _check(own, imports)
    yield Step("rename", "Put the environment in its place", ("mv", "-T", making, place))


def _version(python: Python, wheel: EnginesWheel, environment: str, making: str, place: str) -> Iterator[Step]:
    """The engines themselves, in an environment of their own that sees the shared one: two versions of this application
    use one machine and disturb no running trial of each other."""
    packed, packages = f"{making}/{wheel.name}", f"{making}/lib/python{python.minor}/site-packages"
    own = f"{making}/bin/python"
    yield Step("folder", "Make a folder for the engines", ("mkdir", "-m", "700", making), "folder")
    create = (f"{environment}/bin/python", "-m", "venv", "--without-pip", making)
    yield Step("environment", "Make an environment for the engines", create)
    yield Step("file", "Copy the engines", ("write", packed), "file", data=wheel.data)
    yield Step("unpack", "Unpack them", (own, "-m", "zipfile", "-e", packed, packages))
    shared = _SHARED.format(minor=python.minor).encode()
    yield Step("file", "Let them see the packages", ("write", f"{packages}/shared.pth"), "file", data=shared)
    yield _check(own, "engines.cli, engines.runner.serve")
    yield Step("rename", "Put them in their place", ("mv", "-T", making, place))


def _check(python: str, modules: str) -> Step:
    return Step("check", "Check that they can be imported", (python, "-I", "-c", f"import {modules}"))
