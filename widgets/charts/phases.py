"""Phases of a trial as spans of its axis: one list for the lane and for the bands of every plot. No Qt."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.charts.phases import phase_title
from workbench.charts.series import Phase
from workbench.charts.x_axis import Axis

COLORS = {"start": "idle", "unload": "idle", "adapt": "load", "prefill_energy": "prefill", "measure": "step"}
"""Phases that are drawn in the colours of another."""


@dataclass(frozen=True)
class Span:
    """A block of the lane, in seconds since the trial's start."""

    phase: str
    index: int
    start: float
    end: float
    is_mark: bool = False
    """It takes no room on the axis: what the trial did between two steps."""
    place: tuple[float, float] | None = None
    """Where it lies on an axis that is not the clock."""

    @property
    def left(self) -> float:
        return self.start if self.place is None else self.place[0]

    @property
    def right(self) -> float:
        return self.end if self.place is None else self.place[1]

    @property
    def title(self) -> str:
        return "training" if self.phase == "measure" else phase_title(self.phase)

    @property
    def color(self) -> str:
        """Name of the phase in the colour tokens."""
        return COLORS.get(self.phase, self.phase)


Placed = list[tuple[float, float, Span]]
"""(left, right, span) in pixels of a plot."""


class Spans:
    """What the lane shows of a growing list of phases, in order of their starts.

    `measure` is drawn through its prefills and decodes, of a training trial as itself; those of the warm-up are drawn
    as the warm-up. Phases that have ended are looked at once: a repaint costs what is new and what is visible, not what
    has been.
    """

    def __init__(self, *, trains: bool = False) -> None:
        self.trains = trains
        self._spans: list[Span] = []
        self._starts: list[float] = []
        self._latest_ends: list[float] = []
        self._settled = 0
        self._settled_spans = 0
        self._last: Phase | None = None
        self._warm_end = float("-inf")

    def update(self, phases: Sequence[Phase], now: float) -> None:
        """Take in what began or ended since; a phase that lasts ends at `now` (s)."""
        before = phases[self._settled - 1] if 0 < self._settled <= len(phases) else None
        if self._settled and before != self._last:
            # another trial, or a phase that arrived late: from the beginning
            self._settled = self._settled_spans = 0
            self._warm_end = float("-inf")
        for kept in (self._spans, self._starts, self._latest_ends):
            del kept[self._settled_spans :]
        all_ended = True
        warm_end = self._warm_end
        for place in range(self._settled, len(phases)):
            phase = phases[place]
            end = max(now if phase.end_s is None else phase.end_s, phase.start_s)
            if phase.name == "warmup":
                warm_end = end
            whole = phase.name == "measure" and not self.trains
            hidden = whole or (phase.name in ("prefill", "decode") and end <= warm_end)
            if not hidden:
                self._append(Span(phase.name, phase.index, phase.start_s, end))
            # `measure` lasts as long as its requests and shows nothing: it holds nothing up
            all_ended = all_ended and (phase.end_s is not None or whole)
            if all_ended and not whole:
                self._settled, self._last = place + 1, phase
                self._settled_spans, self._warm_end = len(self._spans), warm_end

    def _append(self, span: Span) -> None:
        self._spans.append(span)
        self._starts.append(span.left)
        self._latest_ends.append(max(span.right, self._latest_ends[-1] if self._latest_ends else span.right))

    @property
    def all(self) -> Sequence[Span]:
        return self._spans

    def on_axis(self, axis: Axis) -> Spans:
        """The same on an axis of steps: blocks of steps, and a mark for each evaluation between them."""
        blocks: list[Span] = []
        marks: list[Span] = []
        for span in self._spans:
            start, end = axis.at(span.start), axis.at(span.end)
            if span.phase == "evaluate":
                marks.append(replace(span, is_mark=True, place=(start, end)))
            elif blocks and blocks[-1].phase == span.phase and blocks[-1].right == start:
                blocks[-1] = replace(blocks[-1], end=span.end, place=(blocks[-1].left, end))
            elif end > start:
                blocks.append(replace(span, place=(start, end)))
        found = Spans(trains=self.trains)
        for span in sorted(blocks + marks, key=lambda s: s.left):
            found._append(span)
        return found

    def visible(self, start: float, end: float, width: float) -> Placed:
        """Spans within [start, end] on a plot `width` pixels wide.

        Of those narrower than a pixel only one a pixel is kept, so that thousands of requests cost no more than a few.
        """
        scale = width / (end - start) if end > start else 0.0
        placed: Placed = []
        last = -1
        first, beyond = bisect_left(self._latest_ends, start), bisect_right(self._starts, end)
        for span in self._spans[first:beyond]:
            if span.right < start:
                continue
            left = max((span.left - start) * scale, 0.0)
            right = min((span.right - start) * scale, width)
            narrow = right - left < 1.0
            if narrow and int(left) == last:
                continue
            placed.append((left, max(right, left + 1.0), span))
            last = int(left) if narrow else -1
        return placed
