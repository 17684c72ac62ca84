"""What the tests of the self-check share: short runs, and results with known figures."""

from __future__ import annotations

import math
from typing import Any

from workbench.selfcheck.load import TurnPlan
from workbench.selfcheck.result import Effect, SelfCheck, Share
from workbench.selfcheck.run import Options, Progress

SHORT_TURNS = TurnPlan(turns=4, each_s=0.4)


FAST = Options(blocks=2, window=False, sensor_s=0.2, window_s=0.4, turns=SHORT_TURNS)


def quiet(_progress: Progress) -> None:
    """Nobody listens."""


def result(**changes: Any) -> SelfCheck:
    """A self-check that passed, with these fields in place of its own."""
    fields: dict[str, Any] = {
        "id": "c-1",
        "machine": "here",
        "device": "cpu",
        "started_at": "2026-03-01T14:02:00+00:00",
        "duration_s": 1080.0,
        "quick": False,
        "ended": "answered",
        "blocks": 31,
        "trials": 124,
        "method": "turns",
        "telemetry": Effect(ratio=0.998, low=0.994, high=1.002, blocks=31),
        "again": Effect(ratio=1.001, low=0.996, high=1.006, blocks=31),
        "runner": Share(mean=0.0092, low=0.0069, high=0.0115, trials=62),
    }
    return SelfCheck(**(fields | changes))


def ratio(low: float | None, high: float | None) -> Effect:
    """An effect with this interval over ten blocks."""
    middle = math.sqrt(low * high) if low is not None and high is not None else 1.0
    return Effect(ratio=middle, low=low, high=high, blocks=10)
