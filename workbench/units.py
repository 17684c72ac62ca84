"""How figures are written for people: practical units, two to four significant digits, honest durations. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

KIB, MIB, GIB, TIB = 1024.0, 1024.0**2, 1024.0**3, 1024.0**4

_FACTORS: dict[tuple[str, str], float] = {
    ("B", "KiB"): KIB,
    ("B", "MiB"): MIB,
    ("B", "GiB"): GIB,
    ("B", "TiB"): TIB,
    ("s", "ms"): 1e-3,
    ("s", "µs"): 1e-6,
    ("s", "min"): 60.0,
    ("J", "mJ"): 1e-3,
    ("J", "kJ"): 1e3,
    ("J/token", "mJ/token"): 1e-3,
    ("W", "mW"): 1e-3,
    ("W", "kW"): 1e3,
    ("ratio", "%"): 0.01,
    ("B/token", "KiB/token"): KIB,
    ("FLOP/s", "GFLOP/s"): 1e9,
    ("FLOP/s", "TFLOP/s"): 1e12,
    ("Hz", "MHz"): 1e6,
    ("Hz", "GHz"): 1e9,
}

_LADDERS: dict[str, tuple[tuple[float, str], ...]] = {
    "B": ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")),
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "J": ((1e3, "kJ"), (1.0, "J"), (1e-3, "mJ")),
    "W": ((1e3, "kW"), (1.0, "W"), (1e-3, "mW")),
    "Hz": ((1e9, "GHz"), (1e6, "MHz")),
}
"""Smallest value for a unit, largest first, used where a metric names no shown unit."""


@dataclass(frozen=True)
class Shown:
    """A figure as it is shown: `text` without unit, and the unit ("" for a plain ratio)."""

    text: str
    unit: str

    def __str__(self) -> str:
        if not self.unit:
            return self.text
        return f"{self.text} {self.unit}"


def scale(unit: str, shown_unit: str) -> float:
    """How many base units one shown unit is: value_shown = value / scale. Raises `ValueError` for an unknown pair."""
    if not shown_unit or unit == shown_unit:
        return 1.0
    if (unit, shown_unit) not in _FACTORS:
        raise ValueError(f"no way from {unit} to {shown_unit}")
    return _FACTORS[unit, shown_unit]


def practical_unit(value: float, unit: str) -> str:
    """The unit a person would choose for a value in base units: "GiB" for 3e9 B."""
    ladder = _LADDERS.get(unit)
    if ladder is None or value == 0 or not math.isfinite(value):
        return unit
    # 999.6 ms rounds to 1000: the next unit up reads better
    size = abs(value) * (1 + 5e-4)
    return next((name for least, name in ladder if size >= least), ladder[-1][1] if unit != "B" else "B")


def significant(value: float, digits: int = 3) -> str:
    """A number with about `digits` significant digits, never in exponent form between 1e-4 and 1e9, thousands grouped.

    Whole parts are written out: 2131 stays "2,131" because rounding it to three digits would hide a figure.
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e9 or size < 1e-4:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    rounded = round(value, decimals)
    if rounded != 0:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{value:,.{decimals}f}".replace("-", "−")


def show(value: float, unit: str, shown_unit: str = "", digits: int = 3) -> Shown:
    """A figure of `unit` in `shown_unit`, or in the practical unit for its size where none is named."""
    chosen = shown_unit or practical_unit(value, unit)
    if chosen == "count" and value == round(value):
        return Shown(f"{value:,.0f}", "")
    return Shown(significant(value / scale(unit, chosen), digits), "" if chosen in ("ratio", "count") else chosen)


def format_value(value: float, unit: str, shown_unit: str = "", digits: int = 3) -> str:
    """ "0.99 GiB", "41.7 ms", "24.1 tokens/s", "21.4"."""
    return str(show(value, unit, shown_unit, digits))


def format_range(low: float, high: float, unit: str, shown_unit: str = "", digits: int = 3) -> str:
    """ "[0.182, 0.197]": both ends to the same number of decimals, in the shown unit, without it."""
    return f"[{', '.join(range_ends(low, high, unit, shown_unit, digits))}]"


def range_ends(low: float, high: float, unit: str = "", shown_unit: str = "", digits: int = 3) -> tuple[str, str]:
    """The two ends of `format_range`."""
    chosen = shown_unit or practical_unit(max(abs(low), abs(high)), unit)
    factor = scale(unit, chosen)
    return _alike(low / factor, high / factor, digits)


def format_estimate(value: float, low: float, high: float, unit: str, shown_unit: str = "", digits: int = 3) -> str:
    """ "20.1 [19.5, 20.8]": a value and its interval, all to the same decimals, in the shown unit, without it."""
    chosen = shown_unit or practical_unit(max(abs(low), abs(high)), unit)
    factor = scale(unit, chosen)
    middle, first, last = value / factor, low / factor, high / factor
    largest = max(abs(first), abs(last))
    if largest == 0 or not math.isfinite(largest) or largest >= 1e9 or largest < 1e-4:
        return f"{significant(middle, digits)} [{significant(first, digits)}, {significant(last, digits)}]"
    decimals = max(0, digits - 1 - math.floor(math.log10(largest)))
    if low != high and last - first < 10.0**-decimals:
        decimals += 1
    return f"{middle:,.{decimals}f} [{first:,.{decimals}f}, {last:,.{decimals}f}]".replace("-", "−")


def _alike(low: float, high: float, digits: int) -> tuple[str, str]:
    """Two numbers with the decimals that the larger needs, more where they would otherwise look the same."""
    largest = max(abs(low), abs(high))
    if largest == 0 or not math.isfinite(largest) or largest >= 1e9 or largest < 1e-4:
        return significant(low, digits), significant(high, digits)
    decimals = max(0, digits - 1 - math.floor(math.log10(largest)))
    if low != high and high - low < 10.0**-decimals:
        decimals += 1
    return f"{low:,.{decimals}f}".replace("-", "−"), f"{high:,.{decimals}f}".replace("-", "−")


def format_ratio(ratio: float, low: float | None = None, high: float | None = None) -> str:
    """ "0.76× [0.74, 0.78]", or "0.76×" without an interval. Two decimals, three where a difference or an
    interval would not show otherwise."""
    return " ".join(part for part in ratio_parts(ratio, low, high) if part)


def ratio_parts(ratio: float, low: float | None = None, high: float | None = None) -> tuple[str, str]:
    """The ratio and the interval ("" for none) of `format_ratio`."""
    if low is None or high is None:
        return f"{_times(ratio, 3 if 0 < abs(ratio - 1) < 0.01 else 2)}×", ""
    decimals = 3 if high - low < 0.01 and ratio < 100 else 2
    return f"{_times(ratio, decimals)}×", f"[{_times(low, decimals)}, {_times(high, decimals)}]"


def _times(value: float, decimals: int) -> str:
    if value >= 1000 or (0 < value < 0.01):
        return significant(value, 3)
    return f"{value:.{1 if value >= 100 else decimals}f}"


def format_share(share: float, decimals: int = 0, sign: str = "") -> str:
    """A share of a whole, "13 %"; `sign` "+" puts one before gains too."""
    return f"{share:{sign}.{decimals}%}".replace("%", " %")


def format_duration(seconds: float) -> str:
    """ "1 h 36 min", "36 s", "4 min 5 s", "3 days 2 h", "0.4 s". Whole seconds from ten on, minutes from an hour on."""
    if not math.isfinite(seconds) or seconds < 0:
        return "unknown"
    if 0 < seconds < 0.05:
        return "under 0.1 s"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def format_bytes(value: float) -> str:
    """ "0.99 GiB", "88.7 MiB", "512 B"."""
    return format_value(float(value), "B")


def format_count(value: int) -> str:
    """ "135 M", "1.54 B", "12,345": parameters and tokens, short from a million on."""
    for least, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if value >= least * 0.9995:
            return f"{significant(value / least)} {letter}"
    return f"{value:,}"


def counted(n: int, what: str) -> str:
    """ "189 tokens", "1 block": `what` in the plural."""
    return f"{n:,} {what.removesuffix('s') if n == 1 else what}"


def format_numbers(numbers: Iterable[int]) -> str:
    """ "1 to 3, 7": runs of three and more drawn together."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{r[0]} to {r[-1]}" if len(r) > 2 else ", ".join(map(str, r)) for r in runs)
