"""Restarting the runner of a machine: after an update, or after it was set up anew. Blocking; any thread."""

from __future__ import annotations

import time
from collections.abc import Callable

from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.messages import GetQueue, QueueState, SetPaused, Shutdown
from engines.protocol.places import Places
from workbench.machines.links import Connector, connector
from workbench.machines.machine import Machine, Ssh

_BUSY = "busy"
_LOOK_S = 0.5
_PATIENCE_S = 60.0
_WORKS = "The runner there has trials to run and continues with the engines it was started with; it ends when idle."


def restart_runner(machine: Machine, places: Places, wait: Callable[[QueueState], None] | None = None) -> int:
    """End the runner and start another, which takes over the queue. While trials run it is left alone; with `wait`,
    which is then given the queue again and again, they end first and no others start. -> process id of the new runner.
    Raises `RunnerError`, code "busy" for running trials."""
    connect = connector(machine, places, "restart")
    with connect() as client:
        state, ended = _queue(client), False
        # a paused queue stays paused, and one that waits to be asked continues to wait
        pauses = not state.paused and not state.nothing_starts
        if pauses:
            client.call(SetPaused(paused=True))
        try:
            while (state := _queue(client)).in_state("running"):
                if wait is None:
                    raise _busy(machine, state)
                wait(state)
                time.sleep(_LOOK_S)
            client.call(Shutdown())
            ended = True
        finally:
            if pauses and not ended:
                client.call(SetPaused(paused=False))
        old = client.welcome.pid
    return _started(connect, machine, old, resume=pauses)


def _queue(client: RunnerClient) -> QueueState:
    state = client.call(GetQueue())
    if not isinstance(state, QueueState):
        raise RunnerError("The runner's answer is not a queue.", code="version")
    return state


def _busy(machine: Machine, state: QueueState) -> RunnerError:
    running = state.in_state("running")
    what = f"{running[0].title} is" if len(running) == 1 else f"{len(running)} trials are"
    return RunnerError(
        f"{what} running on {machine.title}. The runner was not restarted.",
        f"Try again when nothing runs there, or let it wait: llm-workbench machines restart {machine.id} --wait",
        code=_BUSY,
    )


def _started(connect: Connector, machine: Machine, old: int, *, resume: bool) -> int:
    """Connecting starts a runner where none is left."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with connect() as client:
                if client.welcome.pid != old:
                    if resume:
                        client.call(SetPaused(paused=False))
                    return client.welcome.pid
        except RunnerError as error:
            if error.code != "link" or time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise RunnerError(
                f"The runner on {machine.title} has not ended within {_PATIENCE_S:g} s.",
                "Its queue is safe. Try again: llm-workbench queue shows what it does.",
            )
        time.sleep(_LOOK_S)


def renew_runner(machine: Machine, places: Places) -> str:
    """After a machine was set up: restart a runner there that runs nothing, so that it is one of the engines that
    `machine` names. -> what to say of it, else ""; raises nothing: trying the machine says what does not work."""
    if not isinstance(machine.reach, Ssh):
        return ""  # a cluster's runners live as long as their allocations
    try:
        restart_runner(machine, places)
    except RunnerError as error:
        if error.code == _BUSY:
            return _WORKS
        return "" if error.code == "link" else f"{error} {error.advice}".strip()
    return ""
