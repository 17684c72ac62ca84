"""Phases of a trial as spans of the time axis: one list for the lane and for the bands of every plot. No Qt widgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.series import Phase

TITLES = {
    "start": "start",
    "load": "load",
    "warmup": "warm-up",
    "prefill": "prefill",
    "decode": "decode",
    "step": "step",
    "evaluate": "evaluate",
    "idle": "idle",
    "unload": "unload",
}
COLORS = {"start": "idle", "unload": "idle"}
"""Phases that are drawn in the colours of another."""


@dataclass(frozen=True)
class Span:
    """A block of the lane, seconds since the trial's start."""

    phase: str
    index: int
    start: float
    end: float

    @property
    def title(self) -> str:
        return TITLES.get(self.phase, self.phase)

    @property
    def color(self) -> str:
        """Name of the phase in the colour tokens."""
        return COLORS.get(self.phase, self.phase)


def spans(phases: Sequence[Phase], now: float) -> list[Span]:
    """What the lane shows, in order of start: `measure` is drawn through its prefills and decodes, those of the
    warm-up are drawn as the warm-up. A phase that lasts ends at `now`."""
    warm = [(p.start_s, now if p.end_s is None else p.end_s) for p in phases if p.name == "warmup"]
    shown = []
    for phase in phases:
        if phase.name == "measure":
            continue
        end = max(now if phase.end_s is None else phase.end_s, phase.start_s)
        if phase.name in ("prefill", "decode") and any(a <= phase.start_s and end <= b for a, b in warm):
            continue
        shown.append(Span(phase.name, phase.index, phase.start_s, end))
    return sorted(shown, key=lambda s: (s.start, -s.end))


def visible(shown: Sequence[Span], start: float, end: float, width: float) -> list[tuple[float, float, Span]]:
    """Spans within [start, end] as (left, right, span) in pixels of a plot `width` wide.

    Of those narrower than a pixel only one a pixel is kept, so that thousands of requests cost no more than a few.
    """
    scale = width / (end - start) if end > start else 0.0
    placed: list[tuple[float, float, Span]] = []
    last = -1.0
    for span in shown:
        if span.end < start or span.start > end:
            continue
        left = max((span.start - start) * scale, 0.0)
        right = min((span.end - start) * scale, width)
        if right - left < 1.0 and int(right) == int(last):
            continue
        placed.append((left, max(right, left + 1.0), span))
        last = right
    return placed
