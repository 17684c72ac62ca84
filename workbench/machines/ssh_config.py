"""The user's OpenSSH configuration: the computers it names, and what it says of one. Any thread; reads shortly."""

from __future__ import annotations

import glob
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from engines.protocol.client import RunnerError
from workbench.machines.machine import Ssh
from workbench.machines.ssh_failures import failure, no_ssh

CONFIG_VARIABLE = "LLM_WORKBENCH_SSH_CONFIG"
"""A configuration in place of the user's and the system's, as `ssh -F` takes it (tests)."""
_DEEPEST = 16
"""As OpenSSH."""
_SAYS_S = 10.0
_LINE = re.compile(r"(\w+)(?:\s*=\s*|\s+)(.*)")


def config_options() -> list[str]:
    """The options of ssh that name the configuration: none for the user's own."""
    path = os.environ.get(CONFIG_VARIABLE)
    return ["-F", path] if path else []


def arguments(reach: Ssh, options: Mapping[str, str], command: str = "") -> list[str]:
    """The command line of ssh. Raises `RunnerError` for a computer's name that ssh could take for something else."""
    given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    return ["ssh", *config_options(), *given, *_to(reach), *([command] if command else [])]


def variables() -> dict[str, str]:
    """The environment of ssh: also a jump host's ssh must not ask anybody in a window of its own."""
    return {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}


def names() -> tuple[str, ...]:
    """The computers that the user's configuration names, in its order: patterns are none. What cannot be read is
    passed over."""
    user = Path("~/.ssh").expanduser()
    given = os.environ.get(CONFIG_VARIABLE)
    return tuple(dict.fromkeys(_names(Path(given) if given else user / "config", user, 0)))


def _names(path: Path, user: Path, depth: int) -> Iterator[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        keyword, values = _taken_apart(line)
        if keyword == "host":
            yield from (name for name in values if not any(c in name for c in "*?!"))
        elif keyword == "include" and depth < _DEEPEST:
            for value in values:
                pattern = user / Path(value).expanduser()
                for found in sorted(glob.glob(os.fspath(pattern))):  # noqa: PTH207  an absolute pattern
                    yield from _names(Path(found), user, depth + 1)


def _taken_apart(line: str) -> tuple[str, list[str]]:
    """-> keyword in lower case, values"""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        return "", []
    try:
        return found[1].lower(), shlex.split(found[2], comments=True)
    except ValueError:  # a quote without its second
        return "", []


def _to(reach: Ssh) -> list[str]:
    if not reach.host or reach.host.startswith("-") or any(c.isspace() or not c.isprintable() for c in reach.host):
        raise RunnerError(
            f"{reach.host!r} cannot be a computer's name.", "Change it on the Machines page.", code="name"
        )
    return [*(["-p", str(reach.port)] if reach.port else []), "--", reach.host]


def details(reach: Ssh) -> dict[str, list[str]]:
    """What OpenSSH would do for this computer (`ssh -G`): "hostname", "user", "port", "identityfile", "proxyjump", ...,
    each with its values. Raises `RunnerError`."""
    try:
        said = subprocess.run(
            ["ssh", "-G", *config_options(), *_to(reach)],
            stdin=subprocess.DEVNULL,
            env=variables(),
            capture_output=True,
            timeout=_SAYS_S,
            check=False,
        )
    except OSError as error:
        raise no_ssh(error) from error
    except subprocess.TimeoutExpired as error:
        raise RunnerError("OpenSSH did not read its configuration within 10 s.", code="slow") from error
    if said.returncode != 0:
        raise failure(reach, reach.host, said.stderr.decode("utf-8", "replace"))
    found: dict[str, list[str]] = {}
    for line in said.stdout.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return found
