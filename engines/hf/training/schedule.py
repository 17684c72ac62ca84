"""The learning rate over training: a linear warm-up, then half a cosine down to 0 or to a floor. Pure."""

from __future__ import annotations

import math


def rate_factor(step: int, total: int, warmup: int, spent: float = 0.0, floor: float = 0.0) -> float:
    """Share of the learning rate at a step, from 0: a line up to 1 over `warmup` steps, then half a cosine down, which
    would reach `floor` at step `total`, or where a budget is spent, if that comes first (`spent`: its share so far)."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    by_steps = (step - warmup) / max(1, total - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, max(by_steps, spent))))
