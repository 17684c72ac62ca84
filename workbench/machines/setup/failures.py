"""Why a step of setting up failed, from what it printed, as a sentence and what to do. Pure."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

from engines.protocol.file_errors import error_in, what_happened, what_to_do
from engines.protocol.problems import Problem
from workbench.machines.setup.link import Looked, Python
from workbench.machines.setup.lock import Lock
from workbench.machines.setup.plan import OLDEST, Step
from workbench.units import format_bytes

_NO_VERSION = re.compile(r"No matching distribution found for ([A-Za-z0-9_.,<>=!~+-]{1,200})")
_NETWORK = (
    *(
        "Temporary failure in name resolution",
        "Name or service not known",
        "Connection refused",
        "Network is unreachable",
    ),
    *("Connection timed out", "Read timed out", "ConnectTimeoutError", "NewConnectionError", "ProxyError"),
    *("error sending request", "dns error"),
)
_CERTIFICATE = ("CERTIFICATE_VERIFY_FAILED", "invalid peer certificate")
_KILLED = 128 + 9
_FULL_BYTES = 20_000_000
"""Less is too little for any step; who fails may have tidied up a little."""
_NEEDED = ".".join(map(str, OLDEST))
_NO_PYTHON = (
    f"Install Python {_NEEDED} or newer there, or name an interpreter that is there: --python PATH. "
    "Without root: install uv there, then `uv python install`."
)


def before(looked: Looked, python: Python | None, lock: Lock | None, asked: str) -> tuple[Problem, ...]:
    """What stands against it before anything has been changed. `asked`: the interpreter that was chosen."""
    found: list[Problem] = []
    if looked.system != "Linux":
        found.append(_error("system", f"It runs {looked.system}; the engines measure on Linux only.", ""))
    if python is None:
        oldest = max((p.version for p in looked.pythons), default=None)
        if asked and oldest is None:
            found.append(_error("Python", f"{asked} is no Python there.", "Give the path of an interpreter there."))
        elif oldest is None:
            found.append(_error("Python", "No Python was found there.", _NO_PYTHON))
        else:
            newest = ".".join(map(str, oldest))
            found.append(_error("Python", f"Its Python is {newest}; the engines need {_NEEDED} or newer.", _NO_PYTHON))
    elif not python.ensurepip and not looked.uv:
        found.append(
            _error(
                "Python",
                f"{python.path} cannot make an environment: it has no ensurepip, and there is no uv.",
                f"sudo apt-get install python{python.minor}-venv, or without root: install uv there.",
            )
        )
    if not looked.writable:
        found.append(
            _error("disk", f"You may not write to {looked.base} there.", "Choose another folder for its home.")
        )
    if lock is not None and lock.hash not in looked.environments and looked.free_bytes < lock.needed_bytes:
        free, needed = format_bytes(looked.free_bytes), format_bytes(lock.needed_bytes)
        found.append(
            _error(
                "disk",
                f"The disk of {looked.base} there has {free} free; about {needed} are needed.",
                "Free some space there, or choose a folder on another disk as its home.",
            )
        )
    return tuple(found)


def explained(step: Step, code: int, said: Sequence[str], base: str, free_bytes: int) -> Problem:
    """Of a step that ended with this exit code. `said`: its last lines. `free_bytes`: of the disk of `base` now."""
    text = "\n".join(said)
    missing = _NO_VERSION.search(text)
    error = error_in(text)
    where = Path(base)
    if error is not None:
        message, hint = what_happened(error, where), what_to_do(error, where)
    elif free_bytes < _FULL_BYTES:  # venv keeps to itself what its pip said
        message, hint = f"The disk of {base} is full ({format_bytes(free_bytes)} free).", "Free some space there."
    elif any(words in text for words in _CERTIFICATE):
        message = "The package index shows a certificate that the machine does not trust."
        hint = "Set PIP_CERT there to your organisation's certificates."
    elif any(words in text for words in _NETWORK):
        message = "The machine cannot reach the package index."
        hint = "Check its network and proxy (pip config list there), or set PIP_INDEX_URL there to an index it reaches."
    elif missing is not None:
        message = f"The package index has no {missing[1]} for the machine's Python and processor."
        hint = "Choose another interpreter there (--python), with the version that runs here where possible."
    elif code == _KILLED:
        message, hint = (
            "The command was killed: most likely the machine's memory was full.",
            "Try when less runs there.",
        )
    elif step.id == "check":
        message = "The packages are installed and cannot be imported."
        hint = "Set up again with --anew; if it fails again, choose another interpreter there (--python)."
    else:
        message, hint = f"The command ended with code {code}.", "Its last lines say why."
    return _error(step.title, f"{message} Nothing half-made is left there.", hint)


def is_there(step: Step, said: Sequence[str]) -> bool:
    """Whether a step that failed found its work done: what another setup has put in place under this name is the same,
    and complete."""
    return step.id == "rename" and any(os.strerror(n) in line for n in (errno.ENOTEMPTY, errno.EEXIST) for line in said)


def not_spoken(code: int, said: Sequence[str], python: str) -> Problem:
    """The interpreter that was started there did not answer as one does."""
    if code in (126, 127):
        return _error("Python", f"There is no {python} there.", _NO_PYTHON)
    last = next((line for line in reversed(said) if line.strip()), "")
    words = f" Its last words: {last}" if last else ""
    return _error("Python", f"{python} there did not answer as Python does (code {code}).{words}", _NO_PYTHON)


def _error(place: str, message: str, hint: str) -> Problem:
    return Problem(severity="error", place=place, message=message, hint=hint)
