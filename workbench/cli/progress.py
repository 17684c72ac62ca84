"""Follows an experiment in a terminal: one bar that moves when something happened, a line for every ended trial.

On something that is not a terminal (a log file, CI) there is no bar, only lines.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterable
from typing import TextIO

from engines.protocol.messages import QueueEntry, QueueState
from workbench.charts.phases import doing
from workbench.running.events import Event, Notice, QueueChanged, RunnerLink, StoreChanged
from workbench.running.queues import joined
from workbench.running.workbench import Workbench
from workbench.store.operations import ExperimentRow, GetExperiment, TrialRow
from workbench.units import format_duration

HOW_TO_RESUME = "`llm-workbench queue --resume` resumes it."
_BAR = 24


class Bar:
    """One line that is written over, and gone at the end of a `with`. Only on a terminal; `line` prints above it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._shown = ""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, fraction: float | None, text: str) -> None:
        if not self._live:
            return
        filled = 0 if fraction is None else round(_BAR * min(max(fraction, 0.0), 1.0))
        percent = "     " if fraction is None else f"{100 * fraction:3.0f} %"
        width = shutil.get_terminal_size().columns - 1
        line = f"[{'#' * filled}{'.' * (_BAR - filled)}] {percent}  {text}"[:width]
        if line != self._shown:
            self._stream.write(f"\r\x1b[K{line}")
            self._stream.flush()
            self._shown = line

    def line(self, text: str) -> None:
        self.clear()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def clear(self) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = ""


class ExperimentFollower:
    """Waits until every trial of an experiment has ended and its figures are stored."""

    def __init__(self, workbench: Workbench, experiment: str, expected_s: float, reported: Iterable[str] = ()) -> None:
        """`reported`: trials that are not reported again."""
        self._workbench = workbench
        self._experiment = experiment
        self._expected_s = expected_s
        self._changed = threading.Condition()
        self._queues: dict[str, QueueState] = {}
        self._queue: tuple[QueueEntry, ...] = ()
        self._dirty = True
        self._messages: list[str] = []
        self._reported = set(reported)
        self._said: list[str] = []
        self._note = ""
        self._paused_for = ""
        self._links: dict[str, str] = {}
        """What was last said of each machine's link."""
        self._bar = Bar()

    def wait(self) -> tuple[TrialRow, ...]:
        """Returns the ended trials, in running order. KeyboardInterrupt passes through."""
        end_listening = self._workbench.listen(self._take)
        started = time.monotonic()
        try:
            while True:
                with self._changed:
                    # a guest hears of the store only by asking, so never wait for ever
                    self._changed.wait_for(lambda: self._dirty or bool(self._messages), timeout=1.0)
                    self._dirty = False
                    messages, self._messages = self._messages, []
                for message in messages:
                    self._bar.line(message)
                self._said += messages
                detail = self._workbench.store.execute(GetExperiment(experiment=self._experiment))
                self._tell_note(detail.experiment)
                trials = detail.trials
                ended = [t for t in trials if (t.state == "ended" and t.verdict is not None) or t.outcome == "lost"]
                self._report(ended, len(trials))
                if len(ended) == len(trials):
                    return tuple(sorted(trials, key=lambda t: t.position))
                self._show(trials, time.monotonic() - started)
        finally:
            end_listening()
            self._bar.clear()

    def _take(self, event: Event) -> None:
        with self._changed:
            if isinstance(event, QueueChanged):
                self._queues[event.machine] = event.state
                self._queue = joined(self._queues).entries
                self._dirty = True
                if event.state.pause_reason not in ("", self._paused_for):
                    self._messages.append(f"The queue is paused. {event.state.pause_reason} {HOW_TO_RESUME}")
                self._paused_for = event.state.pause_reason
            elif isinstance(event, StoreChanged):
                self._dirty = True
            elif isinstance(event, Notice):
                self._messages.append(f"{event.severity}: {event.message} {event.advice}".rstrip())
            elif isinstance(event, RunnerLink):
                self._take_link(event)
            self._changed.notify_all()

    def _take_link(self, link: RunnerLink) -> None:
        """Each reason once, however often the link is tried again."""
        before, self._links[link.machine] = self._links.get(link.machine), link.message
        if link.state == "lost" and link.message != before:
            self._messages.append(link.message)

    def _tell_note(self, row: ExperimentRow) -> None:
        """Why it ends early: the store says it also where another process owns the store and decided."""
        if row.note and row.note != self._note:
            self._note = row.note
            if not any(row.note in message for message in self._said):
                self._bar.line(row.note)

    def _report(self, ended: list[TrialRow], total: int) -> None:
        for row in sorted(ended, key=lambda t: t.position):
            if row.trial in self._reported:
                continue
            self._reported.add(row.trial)
            outcome = row.outcome or ""
            if outcome == "completed" and row.duration_s is not None:
                outcome = f"completed in {format_duration(row.duration_s)}"
            verdict = f", {row.verdict}" if row.verdict not in (None, "valid") else ""
            self._bar.line(
                f"{len(self._reported):>3} of {total}  block {row.block + 1}  {row.title}: {outcome}{verdict}"
            )
            if row.outcome not in ("completed", "stopped") and row.message:
                self._bar.line(f"          {row.message} {row.advice or ''}".rstrip())

    def _show(self, trials: tuple[TrialRow, ...], elapsed_s: float) -> None:
        mine = [e for e in self._queue if e.experiment == self._experiment]
        running = next((e for e in mine if e.state == "running"), None)
        done = sum(t.state == "ended" for t in trials)
        part = running.fraction or 0.0 if running is not None else 0.0
        fraction = (done + part) / len(trials) if trials else None
        left = ""
        if fraction and done:
            left = f"about {format_duration(elapsed_s * (1 - fraction) / fraction)} left  "
        elif self._expected_s:
            left = f"about {format_duration(max(self._expected_s - elapsed_s, 0))} left  "
        what = (
            f"{running.title}: {doing(running.text, running.phase)}"
            if running is not None
            else "waiting for the runner"
        )
        self._bar.show(fraction, f"{left}{what}")
