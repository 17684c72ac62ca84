"""What nobody measures and the user sets: prices, grid intensity, a processor's watts, a device's peak. Values only."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


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
    """Dense peak of the device in the precision used (FLOP/s), from its data sheet."""

    def __post_init__(self) -> None:
        """Raises `ValueError` for a figure that is not positive (price and grid intensity may be 0)."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "currency" or value is None:
                continue
            zero_allowed = field.name in ("price_per_kwh", "carbon_grams_per_kwh")
            if not math.isfinite(value) or value < 0 or (value == 0 and not zero_allowed):
                least = "0 or more" if zero_allowed else "more than 0"
                raise ValueError(f"{field.name} must be {least}, not {value}")


NOTHING_ASSUMED = Assumptions()
