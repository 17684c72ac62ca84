"""What the queue strip says, as plain values from the runner's queue. No Qt.

Time left is the sum of what the trials are expected to take, corrected by how long the finished ones of the same
configuration really took ("about", always).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engines.protocol.messages import QueueEntry, QueueState
from widgets.queue.allocations import waiting_text, why_nothing_starts
from workbench.charts.phases import doing
from workbench.units import format_duration

_NS = 1e-9
_TELLS = 0.05
"""Progress from which on a trial's own pace says how long it takes."""


@dataclass(frozen=True)
class StripView:
    """The strip's texts and its one bar."""

    paused: bool
    pause_reason: str
    """Why the runner paused by itself, "" where the user did."""
    running: str
    """Title of the trial that runs, "" where none does."""
    detail: str
    color: int | None
    """Run colour of the running trial."""
    fraction: float | None
    """0..1 over everything that runs or waits in its experiment, None where nothing is known."""
    left: str
    """"about 12 min left", "" where nothing is known."""
    next: str
    waiting: int
    failed: int
    idle: str
    """The sentence shown when nothing runs, "" otherwise."""

    @property
    def summary(self) -> str:
        """All of it in a sentence, for a screen reader."""
        parts = [self.running or self.idle, self.detail, self.left, f"{self.waiting} waiting" if self.waiting else ""]
        parts.append(f"{self.failed} failed" if self.failed else "")
        return ", ".join(p for p in parts if p)


def learned_durations(state: QueueState) -> dict[str, float]:
    """Mean real duration (s) of completed trials by configuration, from what the queue still remembers."""
    times: dict[str, list[float]] = {}
    for entry in state.in_state("ended"):
        if entry.outcome == "completed" and entry.started_wall_ns and entry.ended_wall_ns > entry.started_wall_ns:
            seconds = (entry.ended_wall_ns - entry.started_wall_ns) * _NS
            times.setdefault(entry.configuration, []).append(seconds)
    return {key: sum(values) / len(values) for key, values in times.items()}


def correction(state: QueueState, learned: Mapping[str, float]) -> float:
    """How much longer trials take than expected, over those of which both is known; 1 where nothing is."""
    pairs = [(learned[e.configuration], e.expected_s) for e in state.entries if e.configuration in learned]
    known = [(real, expected) for real, expected in pairs if expected > 0]
    total = sum(expected for _, expected in known)
    return sum(real for real, _ in known) / total if total else 1.0


def expected_seconds(entry: QueueEntry, learned: Mapping[str, float], factor: float) -> float | None:
    """What one trial will take as a whole, None where there is no estimate."""
    if entry.configuration in learned:
        return learned[entry.configuration]
    return entry.expected_s * factor if entry.expected_s > 0 else None


def trial_seconds_left(entry: QueueEntry, whole: float | None, now_s: float) -> float | None:
    """Seconds until a running trial ends, from its own progress where that says enough; None where nothing is known:
    without progress, once it has taken the `whole` time that was expected."""
    done = max(0.0, now_s - entry.started_wall_ns * _NS)
    if entry.fraction is not None and entry.fraction >= _TELLS:
        own = done / entry.fraction * (1 - entry.fraction)
        return own if whole is None or done >= whole else min(own, whole * (1 - entry.fraction))
    return None if whole is None or done >= whole else whole - done


def seconds_left(state: QueueState, now_s: float) -> float | None:
    """Seconds until everything that runs or waits has ended; None as soon as one trial has no estimate.

    Devices run side by side: the busiest one decides."""
    learned = learned_durations(state)
    factor = correction(state, learned)
    by_device: dict[tuple[str, str], float] = {}
    for entry in (*state.in_state("running"), *state.in_state("waiting")):
        whole = expected_seconds(entry, learned, factor)
        if whole is None:
            return None
        rest = whole
        if entry.state == "running":
            rest = trial_seconds_left(entry, whole, now_s) or 0.0
        device = (entry.machine, entry.device)
        by_device[device] = by_device.get(device, 0.0) + rest
    return max(by_device.values(), default=None)


def about(seconds: float) -> str:
    """A coarse span for people, no finer than anyone can know: "35 s", "12 min", "1 h 36 min"."""
    step = 1 if seconds < 20 else 5 if seconds < 90 else 60
    return format_duration(max(1, round(seconds / step) * step))


def strip_view(state: QueueState | None, now_s: float, note: str = "") -> StripView:
    """The strip for a queue. `now_s` is the wall clock (seconds since 1970), `note` what else is to be said of it."""
    if state is None:
        return StripView(False, "", "", "", None, None, "", "", 0, 0, "Waiting for the runner.")
    running, waiting = state.in_state("running"), state.in_state("waiting")
    current = {e.experiment for e in (*running, *waiting)}
    ended = [e for e in state.in_state("ended") if not current or e.experiment in current]
    failed = sum(1 for e in ended if e.outcome in ("failed", "lost"))
    left = seconds_left(state, now_s)
    following = waiting[0].title if waiting else ""
    if not running:
        if not waiting:
            idle = "No trials running or queued."
        elif state.paused:
            idle = state.pause_reason or "The queue is paused; no trial starts until it is resumed."
        else:
            idle = why_nothing_starts(state) or "The next trial is about to start."
        return StripView(
            state.paused, state.pause_reason, "", "", None, None, "", following, len(waiting), failed, idle
        )
    first = running[0]
    detail = [first.experiment_title, f"trial {first.position + 1} of {first.total}", doing(first.text, first.phase)]
    if len(running) > 1:
        detail.append(f"and {len(running) - 1} more")
    detail += [note, waiting_text(state.allocations)]
    own = [e for e in state.entries if e.experiment == first.experiment]
    done = sum(1.0 if e.state == "ended" else (e.fraction or 0.0) if e.state == "running" else 0.0 for e in own)
    # trials that ended long ago have left the queue's memory: the experiment's own count is the better denominator
    forgotten = max(0, first.total - len(own))
    fraction = min(1.0, (done + forgotten) / max(1, first.total))
    return StripView(
        paused=state.paused,
        pause_reason=state.pause_reason,
        running=first.title,
        detail=" · ".join(d for d in detail if d),
        color=first.color,
        fraction=fraction,
        left=f"about {about(left)} left" if left is not None else "",
        next=following,
        waiting=len(waiting),
        failed=failed,
        idle="",
    )
