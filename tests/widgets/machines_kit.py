"""Machines as the window's tests need them: links that come and go as a test says, probes from memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from engines.protocol.client import RunnerError
from engines.protocol.messages import Device, ProbeResult
from engines.protocol.places import Places
from workbench.machines.machine import THIS, Machine, Ssh, find, keep
from workbench.running.events import Event, ProbeFinished, RunnerLink

LAB = Machine(id="lab", title="gpu-box", reach=Ssh(host="bench@gpu-box", python="/opt/engines/bin/python"))
HERE = ProbeResult(
    machine="desk",
    devices=(Device(id="cpu", title="CPU", memory_total_bytes=8 << 30, memory_free_bytes=6 << 30),),
    sensors=(),
    packages=(),
    facts={},
)
THERE = ProbeResult(
    machine="gpu-box",
    devices=(
        Device(
            id="cpu", title="Xeon", memory_total_bytes=126 << 30, memory_free_bytes=100 << 30, details={"cores": "16"}
        ),
        Device(id="cuda:GPU-1", title="NVIDIA H200", memory_total_bytes=140 << 30, memory_free_bytes=135 << 30),
    ),
    sensors=(),
    packages=(),
    facts={},
)


class FakeLink:
    def __init__(self, workbench: FarWorkbench, machine: Machine) -> None:
        self.machine = machine
        self._workbench = workbench

    def follow(self) -> None:
        self._workbench.did.append(("follow", self.machine.id))

    def retry(self) -> None:
        self._workbench.did.append(("retry", self.machine.id))


class FarWorkbench:
    """As much of `Workbench` as pages ask for where there are several machines."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.did: list[tuple[str, str]] = []
        self.probes = {THIS: HERE, "lab": THERE}
        self.refuses: RunnerError | None = None
        self.answers = threading.Event()
        """Probes of other machines wait for it."""
        self.answers.set()
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def say(self, *events: Event) -> None:
        for event in events:
            for listener in tuple(self._listeners):
                listener(event)

    def link(self, machine: str = THIS) -> FakeLink:
        if self.refuses is not None:
            raise self.refuses
        return FakeLink(self, find(self.places, machine))

    def title_of(self, machine: str) -> str:
        return find(self.places, machine).title

    def forget(self, machine: str) -> None:
        self.did.append(("forget", machine))

    def probe(self, machine: str = THIS, *, refresh: bool = False) -> ProbeResult:
        self.did.append(("probe", machine))
        if machine != THIS:
            assert self.answers.wait(60)
        result = self.probes[machine]
        self.say(ProbeFinished(result, machine))
        return result

    def submit_operation(self, _operation: object) -> Future[object]:
        done: Future[object] = Future()
        done.set_result(())
        return done


def connected(machine: str) -> RunnerLink:
    return RunnerLink("connected", machine=machine)


def lost(machine: str, code: str = "unreachable", retry_s: float | None = 8.0) -> RunnerLink:
    return RunnerLink("lost", "The link to gpu-box broke. Stored figures are safe.", machine, code, retry_s)


def added(places: Places, *machines: Machine) -> None:
    for machine in machines:
        keep(places, machine)
