"""How a connection to a machine's runner is made: the one place that asks what kind of machine it is."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engines.protocol.client import RunnerClient, RunnerError, connect_local, engine_environment
from engines.protocol.places import Places
from workbench.machines.machine import Local, Machine, Ssh
from workbench.machines.ssh import Remote


@dataclass(frozen=True)
class Connector:
    """Calling it makes a new connection: it blocks, and raises `RunnerError`."""

    connect: Callable[[], RunnerClient]
    give_up: Callable[[], None] = lambda: None
    """Makes every call that is under way fail soon, from any thread."""

    def __call__(self) -> RunnerClient:
        return self.connect()

    def within(self, seconds: float) -> RunnerClient:
        """The same for who does not wait long for a machine that may be off."""
        patience = threading.Timer(seconds, self.give_up)
        patience.start()
        try:
            return self.connect()
        finally:
            patience.cancel()


def connector(machine: Machine, places: Places, client: str) -> Connector:
    """Raises `RunnerError` for a kind of machine that this version does not know."""
    if isinstance(machine.reach, Local):
        return Connector(lambda: connect_local(places, client=client))
    if isinstance(machine.reach, Ssh):
        remote = Remote(machine.reach, places, machine.title)
        return Connector(lambda: remote.connect(client), remote.give_up)
    raise RunnerError(f"{machine.title} cannot be reached.", code="start")


def engines_on(machine: Machine, places: Places) -> Callable[[Sequence[str]], subprocess.Popen[bytes]]:
    """The function that starts `python -m engines ARGUMENTS` on a machine, its three streams as pipes; it raises
    `RunnerError`."""
    if isinstance(machine.reach, Ssh):
        return Remote(machine.reach, places, machine.title).engines
    if isinstance(machine.reach, Local):
        return lambda arguments: local_engines(places, arguments)
    raise RunnerError(f"{machine.title} cannot be reached.", code="start")


def local_engines(places: Places, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """The same on this computer."""
    return subprocess.Popen(
        [sys.executable, "-m", "engines", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env=engine_environment(places),
    )
