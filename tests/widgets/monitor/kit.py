"""What the tests of the Monitor page share: a workbench that remembers what it was asked, queues, a trial's records."""

from __future__ import annotations

import time

from engines.protocol.messages import QueueState
from engines.protocol.records import Record
from tests.widgets.fake_workbench import Remembering
from tests.widgets.queue_kit import entry, queue
from tests.workbench.synthetic import FakeTrial, records
from widgets.monitor.page import MonitorPage
from workbench.store.operations import StoreError


class FakeWorkbench(Remembering):
    """Remembers what the page asks of the runner; retried trials get new ids."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse = False

    def pause(self, paused: bool, machine: str = "this") -> None:
        self.asked.append(("pause", paused) if machine == "this" else ("pause", paused, machine))

    def stop(self, trial: str, *, kill: bool = False) -> None:
        if self.refuse:
            raise StoreError("The runner does not answer.", "The trial goes on; nothing is lost.")
        self.asked.append(("stop", trial, kill))

    def reorder(self, trials: tuple[str, ...], machine: str = "this") -> None:
        self.asked.append(("reorder", trials) if machine == "this" else ("reorder", trials, machine))

    def title_of(self, machine: str) -> str:
        return {"lab": "gpu-box"}[machine]


def full_queue(now: float | None = None) -> QueueState:
    """`now`: wall time (s) at which the running trial has run for 20 s."""
    started = (time.time() if now is None else now) - 20
    return queue(
        entry("t-1", "running", 1, fraction=0.5, started_wall_ns=int(started * 1e9)),
        entry("t-2", "waiting", 2),
        entry("t-3", "waiting", 3, block=1),
        entry("t-4", "waiting", 4, block=1),
        entry("t-0", "ended", 0, outcome="failed", failure="out_of_memory"),
    )


def stream(trial: str = "t-1", part: float = 1.0) -> tuple[Record, ...]:
    """The records of a whole trial, or of its first part."""
    told = records(FakeTrial(trial=trial, new_tokens=16))
    return told[: max(1, round(len(told) * part))]


def arrive(page: MonitorPage, state: QueueState) -> None:
    """The runner tells of a queue."""
    page.services.bridge.queue = state
    page.services.bridge.queue_changed.emit(state)
