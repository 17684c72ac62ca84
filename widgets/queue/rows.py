"""What the queue's rows say, as plain values from the runner's queue. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.protocol.messages import QueueEntry, QueueState
from widgets.parts.phrases import span
from widgets.queue.strip_view import (
    about,
    correction,
    expected_seconds,
    learned_durations,
    seconds_left,
    trial_seconds_left,
)

SEPARATOR = " · "
_FAILED = ("failed", "lost")
_ICONS = {
    "running": "play",
    "waiting": "drag",
    "completed": "check",
    "stopped": "stop",
    "failed": "error",
    "lost": "error",
}


@dataclass(frozen=True)
class QueueRow:
    """One trial. `left` is the last column: time left, expected time, or the outcome."""

    trial: str
    name: str
    technique: str
    color: int
    state: str
    outcome: str
    icon: str
    block: str
    left: str
    tone: str
    """Text tone of the last column: "primary" (runs), "secondary", "error"."""
    tip: str

    @property
    def sentence(self) -> str:
        """The row for a screen reader."""
        return ", ".join(p for p in (self.name, self.technique, f"block {self.block}", self.state, self.left) if p)


def queue_rows(state: QueueState, now_s: float) -> tuple[QueueRow, ...]:
    """Rows in the queue's order: running, waiting, ended. `now_s` is the wall clock (seconds since 1970)."""
    learned = learned_durations(state)
    factor = correction(state, learned)
    blocks: dict[str, int] = {}
    for entry in state.entries:
        blocks[entry.experiment] = max(blocks.get(entry.experiment, 0), entry.block + 1)
    rows = []
    for entry in state.entries:
        name, _, technique = entry.title.partition(SEPARATOR)
        whole = expected_seconds(entry, learned, factor)
        left, tone = _last_column(entry, whole, now_s)
        rows.append(
            QueueRow(
                trial=entry.trial,
                name=name,
                technique=technique,
                color=entry.color,
                state=entry.state,
                outcome=entry.outcome,
                icon=_ICONS.get(entry.outcome if entry.state == "ended" else entry.state, "info"),
                block=f"{entry.block + 1} of {blocks[entry.experiment]}",
                left=left,
                tone=tone,
                tip=" ".join(p for p in (entry.title, f"({entry.experiment_title})", entry.message) if p),
            )
        )
    return tuple(rows)


def _last_column(entry: QueueEntry, whole: float | None, now_s: float) -> tuple[str, str]:
    if entry.state == "running" and entry.phase == "convert":
        return "making file", "primary"
    if entry.state == "running":
        left = trial_seconds_left(entry, whole, now_s)
        return ("running" if left is None else f"{span(left)} left"), "primary"
    if entry.state == "waiting":
        return ("waiting" if whole is None else span(whole)), "secondary"
    if entry.outcome in _FAILED:
        return (entry.failure or entry.outcome).replace("_", " "), "error"
    if entry.outcome == "completed" and entry.ended_wall_ns > entry.started_wall_ns > 0:
        return f"took {span((entry.ended_wall_ns - entry.started_wall_ns) / 1e9)}", "secondary"
    return entry.outcome or "ended", "secondary"


def entry_seconds_left(state: QueueState, entry: QueueEntry, now_s: float) -> float | None:
    """The same for an entry of a queue, with what its finished trials have taught."""
    learned = learned_durations(state)
    return trial_seconds_left(entry, expected_seconds(entry, learned, correction(state, learned)), now_s)


def heading(state: QueueState, now_s: float) -> str:
    """ "22 waiting, about 12 min", "paused, 3 waiting"."""
    waiting = len(state.in_state("waiting"))
    left = seconds_left(state, now_s)
    parts = ["paused"] if state.paused else []
    parts += [f"{waiting} waiting"] if waiting else []
    parts += [f"about {about(left)}"] if left else []
    return ", ".join(parts)


def failed_trials(state: QueueState) -> tuple[str, ...]:
    """Trials that failed or were lost and can be tried again."""
    return tuple(e.trial for e in state.in_state("ended") if e.outcome in _FAILED)


def moved(waiting: Sequence[str], chosen: Sequence[str], step: int) -> tuple[str, ...]:
    """`waiting` with the chosen trials one place up (-1) or down (+1), keeping their order among themselves."""
    order = list(waiting)
    picked = [t for t in order if t in set(chosen)]
    for trial in picked if step < 0 else reversed(picked):
        at = order.index(trial)
        to = at + step
        if 0 <= to < len(order) and order[to] not in picked:
            order[at], order[to] = order[to], order[at]
    return tuple(order)


def dropped(waiting: Sequence[str], chosen: Sequence[str], before: str | None) -> tuple[str, ...]:
    """`waiting` with the chosen trials put before another one, or at the end for None."""
    picked = [t for t in waiting if t in set(chosen)]
    rest = [t for t in waiting if t not in set(chosen)]
    at = rest.index(before) if before in rest else len(rest)
    return tuple(rest[:at] + picked + rest[at:])
