"""What a self-check found: one frozen value, stored as JSON beside the machine's name. Pure; any thread."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from engines.protocol.instruments import Instruments

LOSS_BAR = 0.01
"""Throughput that telemetry may cost: the interval's upper end."""
SAMPLER_BAR = 0.02
"""Of one core, that the runner with its sampler may use at 10 Hz: the interval's upper end."""
TARGET = 0.003
"""Half-width of the interval of the telemetry's effect at which the blocks end: with it a loss of up to 0.7 % is known
to be within the bar."""

Verdict = Literal["passed", "missed", "inconclusive"]
Ended = Literal["answered", "blocks", "time", "stopped"]
Method = Literal["trials", "turns"]
"""How telemetry was compared with none: between trials of their own, or in turns within one trial."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """Ratio of a rate with something to the same rate without it: 0.99 is 1 % slower with it."""

    ratio: float
    low: float | None
    """Of the 95 % interval; None where the blocks cannot carry one."""
    high: float | None
    blocks: int
    method: str = ""

    @property
    def half_width(self) -> float | None:
        """Half of the interval's width, as a ratio: 0.02 is ±2 %."""
        if self.low is None or self.high is None:
            return None
        return math.sqrt(self.high / self.low) - 1


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """Processor time over elapsed time, 1.0 = one core: mean over trials with its 95 % t interval."""

    mean: float
    low: float | None
    high: float | None
    trials: int


class SelfCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One self-check. Parts that were not run, or could not be, are None; `notes` say why."""

    id: str
    machine: str
    device: str
    started_at: str
    """ISO 8601, UTC."""
    duration_s: float
    quick: bool
    ended: Ended
    blocks: int
    trials: int
    """Completed."""
    failed: int = 0
    experiment: str = ""
    """Where its trials are stored."""
    target: float = TARGET
    method: Method = "trials"
    """Not named in those that were stored before there were turns."""
    version: str = ""
    """Of the application."""
    instruments: Instruments | None = None
    telemetry: Effect | None = None
    """Tokens per second with telemetry / without; by turns: while decoding."""
    telemetry_processor: Effect | None = None
    """Tokens per second of the worker's processor time, with / without; by turns it is not known."""
    window: Effect | None = None
    """Tokens per second with a window on Monitor / without, telemetry in both."""
    window_processor: Effect | None = None
    again: Effect | None = None
    """A/A: two arms that are the same."""
    again_processor: Effect | None = None
    runner: Share | None = None
    """The runner with its sampler while a trial is measured; by turns: while telemetry is on."""
    runner_bare: Share | None = None
    """The same with telemetry off."""
    window_process: Share | None = None
    """The window's own process while a trial is measured."""
    window_shown: Literal["offscreen", "on the display", ""] = ""
    other_window: bool = False
    """Another window had the database open throughout."""
    foreign_cores: float | None = None
    """Mean cores used by others during the trials."""
    notes: tuple[str, ...] = ()


def cannot_be(effect: Effect, bar: float = LOSS_BAR) -> bool:
    """A gain of more than the bar, with its whole interval: watching makes nothing faster, so what shows is something
    else that is as large as what is looked for."""
    return effect.low is not None and effect.low > 1 + bar


def loss_verdict(effect: Effect | None, bar: float = LOSS_BAR) -> Verdict | None:
    """Whether the loss is within the bar: the whole interval, part of it, or none. None without an effect."""
    if effect is None:
        return None
    if effect.low is None or effect.high is None or cannot_be(effect, bar):
        return "inconclusive"
    if effect.low >= 1 - bar:
        return "passed"
    return "missed" if effect.high < 1 - bar else "inconclusive"


def share_verdict(share: Share | None, bar: float = SAMPLER_BAR) -> Verdict | None:
    if share is None:
        return None
    if share.low is None or share.high is None:
        return "inconclusive"
    if share.high <= bar:
        return "passed"
    return "missed" if share.low > bar else "inconclusive"


def same_verdict(effect: Effect | None) -> Verdict | None:
    """Whether two arms that are the same came out as such. One time in twenty they do not, by chance alone."""
    if effect is None:
        return None
    if effect.low is None or effect.high is None:
        return "inconclusive"
    return "passed" if effect.low <= 1 <= effect.high else "missed"
