"""After a machine was set up: the runner there is one of the new engines. Blocking; any thread."""

from __future__ import annotations

from engines.protocol.client import RunnerError
from engines.protocol.messages import GetQueue, QueueState, Shutdown
from engines.protocol.places import Places
from workbench.machines.links import connector
from workbench.machines.machine import Machine, Ssh

_WORKS = "The runner there has trials to run and continues with the engines it was started with; it ends when idle."


def renew_runner(machine: Machine, places: Places) -> str:
    """End a runner that has nothing to do, whatever engines it was started with: the next connection starts one of
    those that `machine` names. A runner with trials is left alone. -> what to say of it, else ""; raises nothing: the
    machine is set up, and trying it says what does not work."""
    if not isinstance(machine.reach, Ssh):
        return ""  # a cluster's runners live as long as their allocations
    try:
        with connector(machine, places, "setup")() as client:
            queue = client.call(GetQueue())
            if not isinstance(queue, QueueState) or queue.in_state("running") or queue.in_state("waiting"):
                return _WORKS
            client.call(Shutdown())
    except RunnerError as error:
        return "" if error.code == "link" else f"{error} {error.advice}".strip()
    return ""
