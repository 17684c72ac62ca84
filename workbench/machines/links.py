"""How a connection to a machine's runner is made: the one place that asks what kind of machine it is."""

from __future__ import annotations

from collections.abc import Callable

from engines.protocol.client import RunnerClient, RunnerError, connect_local
from engines.protocol.places import Places
from workbench.machines.machine import Local, Machine, Ssh
from workbench.machines.ssh import Remote


def connector(machine: Machine, places: Places, client: str) -> Callable[[], RunnerClient]:
    """The function that makes a new connection; it blocks, and raises `RunnerError`."""
    if isinstance(machine.reach, Local):
        return lambda: connect_local(places, client=client)
    if isinstance(machine.reach, Ssh):
        remote = Remote(machine.reach, places, machine.title)
        return lambda: remote.connect(client)
    raise RunnerError(f"{machine.title} cannot be reached.", code="start")
