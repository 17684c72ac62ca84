"""Which packages an environment of engines has: the versions installed here, so that machines differ in what they are
and not in what they run. Reads packages' metadata; any thread.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from engines.catalogue import EngineInfo, engines
from engines.protocol.problems import Problem, ProblemsFound

APPLICATION = "llm-workbench"
RUNNER = ("msgspec", "nvidia-ml-py", "platformdirs")
"""What runner, telemetry and protocol need; nothing else is installed where no engine is ticked."""
COMPILED = {"llama-cpp-python": "engines.llama.install"}
"""Packages that a module of the engines' own installs."""
_WITH_ENGINES = ("numpy", "pyarrow")
"""What engines read data and write checkpoints with, beside what their own extras name."""
_INDEX = re.compile(r"https?://[!-~]+")
_SHORT = 16
_MB = 1_000_000
_RUNNER_BYTES = 60 * _MB
_CUDA_BYTES = 6000 * _MB
"""What the NVIDIA build of torch takes on top."""


@dataclass(frozen=True)
class Lock:
    """`text` is a requirements file for pip; `hash` names the environment. `loose` are not installed here: pip chooses
    among the versions that this application takes. `compiled` are modules that install what pip alone would not."""

    text: str
    hash: str
    engines: tuple[str, ...]
    loose: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()
    has_torch: bool = False
    needed_bytes: int = 0
    """About, while it is made."""


def engines_to_tick() -> tuple[EngineInfo, ...]:
    """Engines that can be installed with the runner."""
    return tuple(engine for engine in engines() if engine.extra)


def lock(wanted: Sequence[str], python: str, machine: str, *, nvidia: bool = False, index: str = "") -> Lock:
    """The lock of the runner and these engines (their ids) for an interpreter ("3.11") and a processor ("x86_64"), as
    packages are built for both. `index`: a further package index, for another build of torch. Raises
    `ProblemsFound`."""
    known = {engine.id: engine for engine in engines_to_tick()}
    unknown = next((name for name in wanted if name not in known), None)
    if unknown is not None:
        raise _problem(f"There is no engine {unknown!r}.", f"There are: {', '.join(known)}.")
    if index and not _INDEX.fullmatch(index):
        raise _problem(f"{index!r} is no address of a package index.", "It begins with https:// and has no spaces.")
    chosen = tuple(engine for engine in known.values() if engine.id in wanted)
    extras = frozenset(engine.extra for engine in chosen)
    roots = [Requirement(name) for name in RUNNER]
    if chosen:
        own = _own_requirements()
        of_extras = {r.name for r in own if r.marker and any(r.marker.evaluate({"extra": e}) for e in extras)}
        roots += [r for r in own if r.name in {*of_extras, *_WITH_ENGINES}]
    found = _closure(roots)
    compiled = tuple(module for name, module in COMPILED.items() if name in found)
    lines = [f"# Python {python}, {machine}", *(f"# {module}" for module in compiled)]
    lines += [f"--extra-index-url {index}"] if index else []
    lines += sorted(line for name, line in found.items() if name not in COMPILED)
    text = "\n".join(lines) + "\n"
    needed = _RUNNER_BYTES + sum(e.installed_bytes for e in chosen)
    needed += _CUDA_BYTES if nvidia and "torch" in found else 0
    return Lock(
        text,
        hashlib.sha256(text.encode()).hexdigest()[:_SHORT],
        tuple(engine.id for engine in chosen),
        tuple(sorted(line for name, line in found.items() if "==" not in line and name not in COMPILED)),
        compiled,
        "torch" in found,
        needed,
    )


def _own_requirements() -> list[Requirement]:
    try:
        return [Requirement(text) for text in metadata.requires(APPLICATION) or ()]
    except metadata.PackageNotFoundError:
        raise _problem(
            "This application is not installed but runs from its source: which packages its engines need is not known.",
            "Install it here: pip install -e .",
        ) from None


def _problem(message: str, hint: str) -> ProblemsFound:
    return ProblemsFound((Problem(severity="error", place="Set up", message=message, hint=hint),))


def _closure(roots: Iterable[Requirement]) -> dict[str, str]:
    """Every package that these need -> its line: the version here, else the range that is asked for. A local label of a
    version ("+cpu") is left out: which build of torch fits is the other machine's to say."""
    lines: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        if name in lines:
            continue
        try:
            here = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            lines[name] = f"{name}{asked.specifier}"
            continue
        lines[name] = f"{name}=={Version(here.version).public}"
        for text in here.requires or ():
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in ("", *asked.extras)):
                waiting.append(need)
    return lines
