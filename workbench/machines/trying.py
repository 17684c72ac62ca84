"""Trying a machine, step by step: is it who it was, does it let us in, has it what trials need. Blocking.

Each step needs the one before; the first that fails ends it and says what to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.messages import Probe, ProbeResult, Welcome
from engines.protocol.places import Places
from workbench.machines.host_keys import HostKey, host_key
from workbench.machines.links import connector
from workbench.machines.machine import Local, Machine, Slurm, Ssh
from workbench.machines.setup.shell import Shell, plain
from workbench.machines.setup.target import python_of, shell_of
from workbench.machines.setup.wheel import engines_wheel
from workbench.units import format_bytes, format_duration

StepId = Literal["host_key", "login", "python", "engines", "runner", "clock", "probe"]
TITLES: dict[StepId, str] = {
    "host_key": "Host key",
    "login": "Login",
    "python": "Python",
    "engines": "Engines",
    "runner": "Runner",
    "clock": "Clock",
    "probe": "Devices",
}
_CLOCK_S = 1.0
"""A difference that a reader of times would notice."""


@dataclass(frozen=True)
class Tried:
    """One step. `state` "note" works, and is worth knowing. `key` where a host key is to be decided about."""

    id: StepId
    state: Literal["ok", "note", "failed"]
    said: str
    advice: str = ""
    key: HostKey | None = None

    @property
    def title(self) -> str:
        return TITLES[self.id]


def try_machine(machine: Machine, places: Places, tell: Callable[[Tried], None] = lambda _: None) -> tuple[Tried, ...]:
    """Every step that was tried, each also told as it ends."""
    done: list[Tried] = []
    for tried in _steps(machine, places):
        done.append(tried)
        tell(tried)
        if tried.state == "failed":
            break
    return tuple(done)


def _steps(machine: Machine, places: Places) -> Iterator[Tried]:
    reach = machine.reach.login if isinstance(machine.reach, Slurm) else machine.reach
    if isinstance(reach, Ssh):
        yield _tried("host_key", lambda: _known_key(reach))
    if not isinstance(machine.reach, Local):
        shell, python = shell_of(machine, places), python_of(machine)
        yield _tried("login", lambda: _login(shell))
        yield _tried("python", lambda: _python(shell, python))
        yield _tried("engines", lambda: _engines(shell, python))
    made: list[RunnerClient] = []

    def connected() -> Tried:
        made.append(connector(machine, places, "test")())
        return _runner(made[0].welcome, machine, places)

    yield _tried("runner", connected)
    with made[0] as client:
        yield _tried("clock", lambda: _clock(client))
        yield _tried("probe", lambda: _probe(client))


def _tried(step: StepId, try_it: Callable[[], Tried]) -> Tried:
    try:
        return try_it()
    except RunnerError as error:
        return Tried(step, "failed", str(error), error.advice)


def _known_key(reach: Ssh) -> Tried:
    key = host_key(reach)
    if key.state == "known":
        return Tried("host_key", "ok", "known")
    fingerprint = key.fingerprints[0] if key.fingerprints else ""
    ask = f"Compare it with what the computer's owner says, then: --accept {fingerprint}"
    if key.state == "unknown":
        return Tried("host_key", "failed", f"unknown: {fingerprint} ({key.host})", ask, key)
    known = ", ".join(key.expected) or "another"
    said = f"changed: {fingerprint} ({key.host}); known was {known}"
    return Tried("host_key", "failed", said, f"Perhaps another computer poses as it. {ask}", key)


def _login(shell: Shell) -> Tried:
    begun = time.monotonic()
    shell.run(["true"])
    return Tried("login", "ok", f"in {format_duration(time.monotonic() - begun)}")


def _python(shell: Shell, python: str) -> Tried:
    if not python:
        return Tried("python", "failed", "not set up: it has no engines yet", "Set it up first.")
    ended = shell.run([python, "-I", "-c", "import platform; print(platform.python_version())"])
    if ended.code:
        return Tried("python", "failed", f"{python} does not run there: {_last(ended.err)}", "Set it up again.")
    return Tried("python", "ok", f"{_last(ended.out)} ({python})")


def _engines(shell: Shell, python: str) -> Tried:
    asked = "import engines.cli; from importlib.metadata import version; print(version('llm-workbench'))"
    ended = shell.run([python, "-c", asked])
    if ended.code:
        said = f"cannot be imported: {_last(ended.err)}"
        return Tried("engines", "failed", said, "Set it up again, for a damaged environment with --anew.")
    here, there = engines_wheel().version, _last(ended.out)
    if there == here:
        return Tried("engines", "ok", f"this version, {there}")
    advice = f"Set it up again for the version here, {here}."
    return Tried("engines", "note", f"another version than here: {there}", advice)


def _runner(welcome: Welcome, machine: Machine, places: Places) -> Tried:
    said = f"answers on {plain(welcome.machine)}"
    if isinstance(machine.reach, Ssh):
        ended = shell_of(machine, places).run(["cat", f"/proc/{welcome.pid}/cmdline"])
        started = plain(ended.out.partition("\0")[0])
        if started and ended.code == 0 and started != machine.reach.python:
            advice = "It continues while it has trials, and ends when it has been idle for ten minutes."
            return Tried("runner", "note", f"{said}, with other engines: {started}", advice)
    return Tried("runner", "ok", said)


def _clock(client: RunnerClient) -> Tried:
    client.measure_clock()
    clock = client.clock
    if clock is None:
        return Tried("clock", "failed", "the runner did not say its time", "Set it up again.")
    bound = format_duration(max(clock.within_s, 0.001))
    if abs(clock.ahead_s) <= max(_CLOCK_S, clock.within_s):
        return Tried("clock", "ok", f"the same within {bound}")
    way = "ahead" if clock.ahead_s > 0 else "behind"
    said = f"{format_duration(abs(clock.ahead_s))} {way} of this computer's, within {bound}"
    return Tried("clock", "note", said, "Times of its trials are its own; durations do not depend on it.")


def _probe(client: RunnerClient) -> Tried:
    found = client.call(Probe(), timeout=60.0)
    if not isinstance(found, ProbeResult):
        return Tried("probe", "failed", "the runner did not say what it has", "Set it up again.")
    devices = ", ".join(f"{plain(d.title)} ({format_bytes(d.memory_total_bytes)})" for d in found.devices)
    return Tried("probe", "ok", devices)


def _last(text: str) -> str:
    lines = [plain(line) for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
