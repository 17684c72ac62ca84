"""Where the engines of a machine are set up: on it, or on the login node of its cluster. Any thread."""

from __future__ import annotations

import msgspec

from engines.protocol.places import Places
from workbench.machines.machine import Local, Machine, MachinesError, Slurm, Ssh
from workbench.machines.setup.shell import LocalShell, Shell
from workbench.machines.ssh import Remote


def shell_of(machine: Machine, places: Places) -> Shell:
    """Raises `MachinesError` for this computer itself."""
    reach = _login(machine)
    if isinstance(reach, Ssh):
        return Remote(reach, places, machine.title)
    if isinstance(machine.reach, Local):
        raise MachinesError(
            f"{machine.title} runs the engines of this application; there is nothing to set up.",
            "What an engine lacks: llm-workbench doctor --install NAME",
        )
    return LocalShell()


def python_of(machine: Machine) -> str:
    """The interpreter there that has the engines; "" before it is set up, and for this computer."""
    reach = _login(machine)
    return "" if isinstance(reach, Local) else reach.python


def home_of(machine: Machine) -> str:
    """`LLM_WORKBENCH_HOME` there; "" for the user's own folders."""
    reach = _login(machine)
    return "" if isinstance(reach, Local) else reach.home


def with_python(machine: Machine, python: str) -> Machine:
    """The machine once its engines are there."""
    replace = msgspec.structs.replace
    reach = machine.reach
    if isinstance(reach, Local):
        return machine
    if isinstance(reach, Slurm) and reach.login is not None:
        return replace(machine, reach=replace(reach, login=replace(reach.login, python=python)))
    return replace(machine, reach=replace(reach, python=python))


def _login(machine: Machine) -> Local | Ssh | Slurm:
    reach = machine.reach
    return reach.login if isinstance(reach, Slurm) and reach.login is not None else reach
