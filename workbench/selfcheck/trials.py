"""Runs the trials of a self-check one after another and reads their figures.

This process sleeps while a trial runs: no stream is open, nothing is taken in. It looks at the window's processor time
twice, at times when the trial is known to measure, and asks the runner when the trial should be over.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from engines.protocol.client import RunnerClient
from engines.protocol.client_environment import submission
from engines.protocol.codec import read_record
from engines.protocol.messages import Attach, GetQueue, QueueState, RecordLine, Stop
from engines.protocol.orders import TrialOrder
from engines.protocol.records import PhaseEnded, Record
from workbench.metrics.model import Value
from workbench.metrics.speed import throughput
from workbench.metrics.trial import TrialRecords, arrange
from workbench.selfcheck.blocks import TrialFigures
from workbench.selfcheck.load import Arm
from workbench.selfcheck.processor_time import processor_seconds
from workbench.selfcheck.turns import in_turns

_POLL_S = 0.1
_MARGIN_S = 0.2
"""From the start and the end of the measured window: the trial's phases do not come at the same moment each time."""
_PATIENCE_S = 300.0
_FOREIGN = ("proc.host", "foreign_cpu_ratio")


class TrialFailed(Exception):
    """A trial did not complete, or showed no figure; the text says why."""


@dataclass
class Looks:
    """Processor time of a process at two moments."""

    pid: int
    seconds: list[tuple[int, float]] = field(default_factory=list)

    def look(self) -> None:
        with contextlib.suppress(OSError):
            self.seconds.append((time.monotonic_ns(), processor_seconds(self.pid)))

    def share(self, start_ns: int, end_ns: int) -> float | None:
        """Over the looks, where both lie within a span."""
        if len(self.seconds) != 2:
            return None
        (first_ns, first_s), (last_ns, last_s) = self.seconds
        if not (start_ns <= first_ns < last_ns <= end_ns):
            return None
        return max(0.0, last_s - first_s) / ((last_ns - first_ns) / 1e9)


class Trials:
    """One runner, used by nobody else meanwhile. Main thread of the self-check."""

    def __init__(self, client: RunnerClient, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._sleep = sleep
        self._starts_s: list[float] = []
        """From submission to the measured window, of late: a block's first trial also makes a template."""
        self.running = ""

    def run(self, order: TrialOrder, arm: Arm, window_pid: int | None = None) -> TrialFigures:
        """Submit a trial, wait for its end, read it. Raises `TrialFailed`, `RunnerError`."""
        submitted_ns = time.monotonic_ns()
        self._client.call(submission([order]))
        self.running = order.trial
        look = None if window_pid is None else Looks(window_pid)
        self._sleep_through(submitted_ns, order.inference.window_s, look)
        self._wait(order.trial)
        self.running = ""
        records = self._records(order.trial)
        arranged = arrange(records)
        measured = next((r for r in records if isinstance(r, PhaseEnded) and r.name == "measure"), None)
        rate = throughput(arranged)
        if (
            arranged.ended is None
            or arranged.ended.outcome != "completed"
            or measured is None
            or not isinstance(rate, Value)
        ):
            raise TrialFailed(_why(arranged))
        turns = in_turns(arranged) if arm.turns else None
        if arm.turns and turns is None:
            raise TrialFailed("No two turns of a trial could be compared: too few tokens in them, or no readings.")
        self._starts_s = [*self._starts_s[-6:], (measured.start_ns - submitted_ns) / 1e9]
        tokens = sum(r.generated_tokens for r in arranged.measured)
        return TrialFigures(
            arm=arm.name,
            block=order.block,
            tokens_per_second=rate.value,
            tokens_per_processor_second=tokens / measured.cpu_seconds if measured.cpu_seconds else None,
            turns=turns,
            window_share=None if look is None else look.share(measured.start_ns, measured.t_ns),
            foreign_cores=_foreign(arranged),
        )

    def stop(self) -> None:
        """End the trial that runs, if one does."""
        if self.running:
            self._client.call(Stop(trial=self.running, how="kill"))
            self.running = ""

    def _sleep_through(self, submitted_ns: int, window_s: float, look: Looks | None) -> None:
        """Sleep until the trial should be over, and look twice on the way, once it is known how long trials take to
        start."""
        start_s = statistics.median(self._starts_s) if self._starts_s else 0.0
        if look is not None and len(self._starts_s) >= 2:
            for moment_s in (start_s + _MARGIN_S, start_s + window_s - _MARGIN_S):
                self._sleep_until(submitted_ns, moment_s)
                look.look()
        self._sleep_until(submitted_ns, start_s + window_s)

    def _sleep_until(self, since_ns: int, seconds: float) -> None:
        left_s = seconds - (time.monotonic_ns() - since_ns) / 1e9
        if left_s > 0:
            self._sleep(left_s)

    def _wait(self, trial: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            state = self._client.call(GetQueue())
            assert isinstance(state, QueueState)
            entry = next((e for e in state.entries if e.trial == trial), None)
            if entry is None or entry.state == "ended":
                return
            if state.paused and entry.state == "waiting":
                raise TrialFailed(f"The queue was paused. {state.pause_reason}".strip())
            if time.monotonic() > deadline:
                raise TrialFailed(f"A trial that should be over has not ended after {_PATIENCE_S:.0f} s more.")
            self._sleep(_POLL_S)

    def _records(self, trial: str) -> list[Record]:
        replies = self._client.stream(Attach(trial=trial))
        records = (read_record(reply.line) for reply in replies if isinstance(reply, RecordLine))
        return [record for record in records if record is not None]


def _foreign(arranged: TrialRecords) -> float | None:
    series = arranged.samples.get(_FOREIGN)
    window = arranged.window()
    if series is None or window is None:
        return None
    inside = [v for t, v in zip(series.times_ns, series.values, strict=True) if window[0] <= t <= window[1] and v == v]
    return float(sum(inside) / len(inside)) if inside else None


def _why(arranged: TrialRecords) -> str:
    if arranged.ended is None:
        return "A trial left no end: the runner may have been stopped."
    if arranged.ended.outcome != "completed":
        return f"A trial {arranged.ended.outcome}: {arranged.ended.message}".rstrip(": ")
    return "A trial completed without a measured request."
