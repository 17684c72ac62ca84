"""How good the instruments of a machine are: its clocks and its sensors. Values only; msgspec.

Measured by `engines.host.instruments`, printed by `python -m engines instruments --json`, read by the self-check.
"""

from __future__ import annotations

import msgspec


class ClockFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The clock every time of a trial comes from, and what one token's stamp costs."""

    name: str
    """Where the kernel takes the time from: "tsc", "kvm-clock", "hpet"; "" where it does not say."""
    resolution_ns: float
    """As the system states it."""
    step_ns: int
    """Smallest step seen between two readings that differ."""
    read_ns: float
    """One reading: median over batches."""
    stamp_ns: float
    """One token's stamp in the worker's ring, clock reading included: median over batches."""


class QuantityRate(msgspec.Struct, frozen=True, kw_only=True):
    quantity: str
    title: str
    changes: int
    """How often the value differed from the reading before."""
    updates_hz: float | None
    """Changes a second; None where it changed too seldom to say."""
    at_least: bool = False
    """Nearly every reading brought another value: it changes at least as fast as it was read."""
    call_us: float | None = None
    """One reading of this quantity alone (median), where the source asks for each by itself (NVML)."""


class SourceRate(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    period_s: float
    """How often trials read it."""
    reads: int
    span_s: float
    read_us: float
    """One reading of the whole source: median."""
    read_us_most: float
    quantities: tuple[QuantityRate, ...]

    @property
    def share(self) -> float:
        """Of one core, at the rate at which trials read it."""
        return self.read_us / 1e6 / self.period_s


class Instruments(msgspec.Struct, frozen=True, kw_only=True):
    clock: ClockFigures
    sources: tuple[SourceRate, ...]
