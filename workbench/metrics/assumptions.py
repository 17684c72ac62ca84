"""What nobody measures and the user sets: prices, grid intensity, a processor's watts, a device's peak. Values only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

_MAY_BE_ZERO = ("price_per_kwh", "carbon_grams_per_kwh")


@dataclass(frozen=True)
class Assumptions:
    """None leaves the figures that rest on it blank. Every figure that uses one is an estimate and says so."""

    watts_per_core: float | None = None
    """Power of one busy processor core (W), for an energy estimate where no sensor measures power."""
    price_per_kwh: float | None = None
    """Of electrical energy, in `currency`."""
    currency: str = "EUR"
    carbon_grams_per_kwh: float | None = None
    """CO2e of the grid (g/kWh)."""
    peak_flops: float | None = None
    """Dense peak (FLOP/s), from the data sheet, of every device and precision that has none of its own."""
    device_peaks: tuple[tuple[str, float], ...] = ()
    """Peaks (FLOP/s) of single devices: "NVIDIA H200", or "NVIDIA H200/bfloat16" for one precision of it."""

    def __post_init__(self) -> None:
        """Raises `ValueError` for a figure that is not positive (price and grid intensity may be 0)."""
        for name, value in self._figures():
            zero_allowed = name in _MAY_BE_ZERO
            if not math.isfinite(value) or value < 0 or (value == 0 and not zero_allowed):
                least = "0 or more" if zero_allowed else "more than 0"
                raise ValueError(f"{name} must be {least}, not {value}")

    def _figures(self) -> Iterator[tuple[str, float]]:
        for name in ("watts_per_core", *_MAY_BE_ZERO, "peak_flops"):
            value: float | None = getattr(self, name)
            if value is not None:
                yield name, value
        yield from self.device_peaks

    def peak_of(self, device: str, precision: str) -> tuple[float, str] | None:
        """The peak (FLOP/s) of a device in a precision and what it was set for; the most particular one that is set.
        Names are compared without case. None where nothing is set."""
        peaks = {name.casefold(): (value, name) for name, value in self.device_peaks}
        for name in (f"{device}/{precision}", device):
            if device and name.casefold() in peaks:
                return peaks[name.casefold()]
        return (self.peak_flops, "any device and precision") if self.peak_flops is not None else None


NOTHING_ASSUMED = Assumptions()
