"""What the trial header says, as plain values from a trial's records and its queue entry. No Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engines.protocol.messages import QueueEntry
from widgets.parts.phrases import span
from workbench.charts.phases import doing, phase_title
from workbench.charts.series import Phase, TrialData

_ORDER = ("convert", "load", "warmup", "measure", "evaluate", "unload")
_RARE = frozenset({"convert"})
"""Phases that most trials do not have: shown once they begin, never announced."""
_SHARES = {"convert": 1.0, "load": 1.0, "warmup": 1.2, "measure": 2.0, "evaluate": 1.0, "unload": 0.6}


@dataclass(frozen=True)
class Segment:
    """A piece of the phase bar. `share` is its part of the width, `fill` how much of it is done (0..1)."""

    name: str
    text: str
    state: Literal["done", "now", "to come"]
    share: float
    fill: float
    short: str = ""
    """Shown where `text` does not fit."""
    marks: tuple[float, ...] = ()
    """Where in it the trial stood still for an evaluation (0..1)."""


@dataclass(frozen=True)
class HeaderView:
    title: str
    color: int
    line: str
    """What is done or how the trial ended, place in the experiment, machine."""
    status: str
    """"", or the tone of the line where a trial ended badly: "error", "warn"."""
    segments: tuple[Segment, ...]
    left: str
    so_far: str
    running: bool


def header_view(
    data: TrialData | None,
    entry: QueueEntry | None,
    left_s: float | None,
    now_s: float,
    device: str = "",
    *,
    at_s: float | None = None,
) -> HeaderView:
    """The header of a trial that is in the queue, in the store, or both. `left_s` until its end, None where not known;
    `now_s` seconds since its start, `at_s` since that of its records, where that is later."""
    at_s = now_s if at_s is None else at_s
    title = entry.title if entry is not None else data.title if data is not None else ""
    color = entry.color if entry is not None else data.color if data is not None else 0
    running = entry is not None and entry.state == "running" and (data is None or data.ended is None)
    ended = None if data is None else data.ended
    # the news first: the end of the line is what a narrow window cuts
    parts = [doing(entry.text, entry.phase)] if entry is not None and running else []
    status = ""
    if ended is not None:
        parts.append(
            ended.outcome if not ended.message else f"{ended.outcome}: {ended.message} {ended.advice}".rstrip()
        )
        status = "error" if ended.outcome in ("failed", "lost") else ""
    if entry is not None:
        parts.append(f"trial {entry.position + 1} of {entry.total}")
    parts.append(device or (entry.device if entry is not None else ""))
    phases = [] if data is None else data.phases
    fraction = entry.fraction if entry is not None and running else None
    trains = data is not None and data.planned_steps is not None
    return HeaderView(
        title=title,
        color=color,
        line=" · ".join(p for p in parts if p),
        status=status,
        segments=training_segments(data, at_s, running)
        if data is not None and trains
        else segments(phases, at_s, fraction, running),
        left=f"{span(left_s)} left" if running and left_s is not None else "",
        so_far=f"{span(now_s)} so far" if running else f"took {span(now_s)}" if now_s > 0 else "",
        running=running,
    )


def segments(
    phases: Sequence[Phase], now_s: float, fraction: float | None = None, running: bool = True
) -> tuple[Segment, ...]:
    """The phases a trial goes through, those behind it with how long they took, the one it is in with how far."""
    by_name = {p.name: p for p in phases if p.name in _ORDER}
    order = tuple(name for name in _ORDER if name in by_name or name not in _RARE)
    requests = sum(1 for p in phases if p.name == "decode" and _within(p, by_name.get("measure")))
    reached = max((i for i, name in enumerate(order) if name in by_name), default=-1)
    made = []
    for i, name in enumerate(order):
        phase, title = by_name.get(name), phase_title(name)
        if phase is None:
            if running or i < reached:
                made.append(Segment(name, title, "to come", _SHARES[name], 0.0, title))
            continue
        if phase.end_s is None and running:
            text = f"{title} {span(now_s - phase.start_s)}"
            if name == "measure" and requests:
                text = f"{title}, request {requests}"
            made.append(Segment(name, text, "now", _SHARES[name], _part_of(name, fraction, order), title))
        else:
            end = now_s if phase.end_s is None else phase.end_s
            text = f"{title} {span(end - phase.start_s)}"
            made.append(Segment(name, text, "done", _SHARES[name], 1.0, title))
    return tuple(made)


def training_segments(data: TrialData, now_s: float, running: bool) -> tuple[Segment, ...]:
    """The same of a training trial: evaluations before and after are phases, those in between marks on the steps."""
    steps, planned, training = data.axis("step"), data.planned_steps or 1, data.training
    stretches = [p for p in data.phases if p.name == "measure"]
    first = min((p.start_s for p in data.phases if p.name in ("warmup", "measure")), default=math.inf)
    # a budget may end the steps before the planned one
    over = not running or steps.latest >= planned or any(p.name == "unload" for p in data.phases)
    last = stretches[-1].start_s if stretches and over else math.inf
    evaluations = [p for p in data.phases if p.name == "evaluate"]
    row = {
        "convert": [p for p in data.phases if p.name == "convert"],
        "load": [p for p in data.phases if p.name == "load"],
        "evaluate": [p for p in evaluations if p.start_s < first],
        "warmup": [p for p in data.phases if p.name == "warmup"],
        "measure": stretches,
        "evaluate after": [p for p in evaluations if p.start_s > last],
        "unload": [p for p in data.phases if p.name == "unload"],
    }
    between = [p for p in evaluations if first <= p.start_s <= last]
    announced = {"load", "warmup", "measure", "unload"}
    if training is not None and training.evaluation_tokens > 0:
        announced |= {"evaluate", "evaluate after"}
    reached = max((i for i, phases in enumerate(row.values()) if phases), default=-1)
    made = []
    for i, (key, phases) in enumerate(row.items()):
        name = key.removesuffix(" after")
        title, share = "steps" if name == "measure" else phase_title(name), _TRAINING_SHARES.get(name, _SHARES[name])
        if not phases:
            if key in announced and (running or i < reached):
                made.append(Segment(name, title, "to come", share, 0.0, title))
            continue
        now = running and (not over if name == "measure" else phases[-1].end_s is None)
        text = f"{title} {span(sum((now_s if p.end_s is None else p.end_s) - p.start_s for p in phases))}"
        if name == "measure":
            start = steps.at(phases[0].start_s)
            whole = max((planned if now else steps.latest) - start, 1.0)
            places = ((steps.at(p.start_s) - start) / whole for p in between)
            marks = tuple(place for place in places if place >= 0)  # those of the warm-up lie before
            text = f"step {steps.latest:.0f} of {planned}" if now else f"{steps.latest - start:.0f} {text}"
            fill = (steps.latest - start) / whole
            made.append(Segment(name, text, "now" if now else "done", share, fill, title, marks))
        else:
            made.append(Segment(name, text, "now" if now else "done", share, 0.5 if now else 1.0, title))
    return tuple(made)


_TRAINING_SHARES = {"measure": 5.0, "warmup": 0.8}
"""Steps take most of a trial."""


def _within(phase: Phase, outer: Phase | None) -> bool:
    return outer is not None and phase.start_s >= outer.start_s


def _part_of(name: str, fraction: float | None, order: Sequence[str]) -> float:
    """How far a phase is, from how far the trial is; half where that is not known."""
    if fraction is None:
        return 0.5
    total = sum(_SHARES[n] for n in order)
    before = sum(_SHARES[n] for n in order[: order.index(name)]) / total
    return min(1.0, max(0.1, (fraction - before) / (_SHARES[name] / total)))
