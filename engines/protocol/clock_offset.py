"""How far another machine's wall clock is ahead of this computer's, from one question and its answer. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClockOffset:
    """The true value is at most `within_s` from `ahead_s`: half a round trip, of which one way may have taken all."""

    ahead_s: float
    within_s: float
    far_mono_ns: int
    """The machine's monotonic clock at that moment, which its records have."""


def clock_offset(asked_wall_ns: int, round_trip_ns: int, far_wall_ns: int, far_mono_ns: int) -> ClockOffset:
    """`asked_wall_ns`: this computer's wall clock when it asked. The answer is taken to be from the middle."""
    half_ns = round_trip_ns / 2
    return ClockOffset((far_wall_ns - asked_wall_ns - half_ns) / 1e9, half_ns / 1e9, far_mono_ns)
