"""How a connection to a machine's runner is made: the one place that asks what kind of machine it is."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engines.protocol.client import RunnerClient, RunnerError, connect_local, engine_environment
from engines.protocol.places import HOME_VARIABLE, Places
from workbench.machines.machine import THIS, THIS_COMPUTER, Local, Machine, MachinesError, Slurm, Ssh, find
from workbench.machines.slurm import connect_front, front_words
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
    """How a client of that name connects to the machine's runner."""
    if isinstance(machine.reach, Local):
        return Connector(lambda: connect_local(places, client=client))
    if isinstance(machine.reach, Ssh):
        remote = Remote(machine.reach, places, machine.title)
        return Connector(lambda: remote.connect(client), remote.give_up)
    words = front_words(machine.id, machine.reach)
    if machine.reach.login is not None:
        remote = Remote(machine.reach.login, places, machine.title)
        return Connector(lambda: remote.connect(client, words), remote.give_up)
    engines = engines_on(machine, places)
    return Connector(lambda: connect_front(engines(words), machine.title, client))


def known(places: Places, machine: str) -> Machine:
    """This computer, or a machine as `machines.toml` names it now. Raises `RunnerError` where there is none."""
    if machine == THIS:
        return THIS_COMPUTER
    try:
        return find(places, machine)
    except MachinesError as error:
        raise RunnerError(str(error), error.advice, code="unknown_machine") from error


def lasting_connector(machine: Machine, places: Places, client: str) -> Connector:
    """As `connector`, of the machine as it is reached when a connection is made: one that another process has set up
    meanwhile starts its new engines."""
    last = _Last(machine, connector(machine, places, client))

    def connect() -> RunnerClient:
        now = known(places, machine.id)
        if now != last.machine:
            last.machine, last.connector = now, connector(now, places, client)
        return last.connector()

    return Connector(connect, lambda: last.connector.give_up())


@dataclass
class _Last:
    machine: Machine
    connector: Connector


def engines_on(machine: Machine, places: Places) -> Callable[[Sequence[str]], subprocess.Popen[bytes]]:
    """The function that starts `python -m engines ARGUMENTS` on a machine, of a cluster on its login node, its three
    streams as pipes; it raises `RunnerError`."""
    reach = machine.reach
    if isinstance(reach, Local):
        return lambda arguments: local_engines(places, arguments)
    login = reach.login if isinstance(reach, Slurm) else reach
    if login is None:
        return lambda arguments: local_engines(places, arguments, python=reach.python, home=reach.home)
    return Remote(login, places, machine.title).engines


def local_engines(
    places: Places, arguments: Sequence[str], *, python: str = "", home: str = ""
) -> subprocess.Popen[bytes]:
    """The same on this computer. Raises `RunnerError` where `python` cannot be started."""
    environment = engine_environment(places)
    try:
        return subprocess.Popen(
            [python or sys.executable, "-m", "engines", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={**environment, HOME_VARIABLE: home} if home else environment,
        )
    except OSError as error:
        raise RunnerError(f"{python or sys.executable} cannot be started: {error.strerror}", code="start") from error
