"""What charts of a training trial are drawn against: the clock, steps, tokens or energy. Plain numpy, one thread.

Each step has its place on every axis, computed once as its record (or the energy meter's reading) arrives. Between
steps, while the trial evaluates or waits for data, only the clock moves on: readings of that time have no place on
the other axes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from engines.protocol.records import Step
from workbench.charts.channel import Channel, Floats
from workbench.charts.token_series import append_rising
from workbench.units import format_count, format_duration, format_value, practical_unit, scale

XAxis = Literal["time", "step", "tokens", "energy"]
X_AXES: tuple[XAxis, ...] = ("time", "step", "tokens", "energy")
TITLES: dict[XAxis, str] = {
    "time": "Time since start",
    "step": "Step",
    "tokens": "Tokens trained on",
    "energy": "Energy of the steps",
}


def position_text(kind: XAxis, x: float) -> str:
    """A place on an axis: "1 min 52 s", "step 142", "1.16 M tokens", "32.1 kJ"."""
    if kind == "step":
        return f"step {x:.0f}"
    if kind == "tokens":
        return f"{format_count(round(x))} tokens"
    return format_value(x, "J") if kind == "energy" else format_duration(x)


def shown_unit(kind: XAxis, largest: float) -> tuple[str, float]:
    """The unit that an axis up to `largest` is written in, and how many base units it is."""
    if kind == "tokens":
        return next((name, of) for least, name, of in _TOKENS if largest >= least)
    if kind == "energy":
        unit = practical_unit(largest, "J")
        return unit, scale("J", unit)
    return ("s" if kind == "time" else "", 1.0)


def is_whole(kind: XAxis, factor: float) -> bool:
    """Whether an axis in units of `factor` has whole numbers only: steps, and tokens unless in thousands."""
    return kind in ("step", "tokens") and factor == 1


_TOKENS = ((2e6, "M tokens", 1e6), (2e3, "k tokens", 1e3), (-np.inf, "tokens", 1.0))


class Axis:
    """Two knots a step, where it began and where it ended, on the clock and on this axis."""

    def __init__(self, kind: XAxis) -> None:
        self.kind = kind
        self.knots = Channel(kind, TITLES[kind], "")

    @property
    def count(self) -> int:
        """Steps that have a place."""
        return len(self.knots) // 2

    @property
    def latest(self) -> float:
        """Where the last step ended; 0 before the first."""
        return float(self.knots.values[-1]) if len(self.knots) else 0.0

    @property
    def known_until(self) -> float:
        """The time (s) up to which places are final; minus infinity before the first step, for ever on the clock."""
        if self.kind == "time":
            return float("inf")
        return float(self.knots.times[-1]) if len(self.knots) else float("-inf")

    def place(self, times: Floats) -> Floats:
        """Where these times (s) lie: within a step in proportion, after it where it ended, before all at 0."""
        if self.kind == "time" or not len(self.knots):
            return times
        found: Floats = np.interp(times, self.knots.times, self.knots.values)
        return found

    def at(self, time: float) -> float:
        """The same of one time; 0 while no step is known."""
        return time if self.kind == "time" else float(self.place(np.array([time]))[0]) if len(self.knots) else 0.0

    def in_step(self, times: Floats) -> npt.NDArray[np.bool_]:
        """Which of the times (s) lie in a step; on the clock all."""
        if self.kind == "time":
            return np.ones(len(times), dtype=np.bool_)
        after = np.searchsorted(self.knots.times[0::2], times, side="right")
        ends = self.knots.times[1::2]
        found: npt.NDArray[np.bool_] = (after > 0) & (times <= ends[np.maximum(after - 1, 0)])
        return found

    def time_at(self, x: float) -> float:
        """The time (s) at a place; where a step ended, that moment, however long the trial stood there. Before the
        first step every place is now: infinity."""
        if self.kind == "time":
            return x
        if not len(self.knots):
            return float("inf")
        ends = self.knots.values[1::2]
        step = min(int(np.searchsorted(ends, x, side="left")), len(ends) - 1)
        around = slice(2 * step, 2 * step + 2)
        return float(np.interp(x, self.knots.values[around], self.knots.times[around]))

    def snapped(self, x: float) -> float:
        """The nearest end of a step, or the beginning of the first; on the clock `x` itself."""
        if self.kind == "time":
            return x
        if not len(self.knots):
            return 0.0
        places = np.append(self.knots.values[:1], self.knots.values[1::2])
        return float(places[np.abs(places - x).argmin()])


class StepColumns:
    """The axes of one trial, growing with its steps."""

    def __init__(self) -> None:
        self.axes: dict[XAxis, Axis] = {kind: Axis(kind) for kind in X_AXES}
        self._power_energy = Channel("energy", "Energy", "J")
        self._power_taken, self._last_watts = 0, 0.0

    def add(self, record: Step, start_s: float, end_s: float) -> None:
        """A step that has ended."""
        done = self.axes["tokens"].latest
        self._append("step", [start_s, end_s], [float(record.index), float(record.index + 1)])
        self._append("tokens", [start_s, end_s], [done, done + record.tokens])

    def take_counter(self, counter: Channel) -> None:
        """Energy of the steps that the readings of a rising counter (J) have reached."""
        knots = self.axes["step"].knots
        first = len(self.axes["energy"].knots) // 2
        starts, ends = knots.times[0::2][first:], knots.times[1::2][first:]
        reached = int(np.searchsorted(ends, counter.times[-1], side="right")) if len(counter) else 0
        if not reached:
            return
        near = slice(max(int(np.searchsorted(counter.times, starts[0])) - 10, 0), None)
        times, joules = counter.times[near], counter.values[near]
        good = np.isfinite(joules)
        if not good.any():
            return
        at_start, at_end = (np.interp(t[:reached], times[good], joules[good]) for t in (starts, ends))
        gained = np.maximum(at_end - at_start, 0.0)
        after = self.axes["energy"].latest + np.cumsum(gained)
        edges = np.stack((starts[:reached], ends[:reached]), axis=1).ravel()
        self.axes["energy"].knots.extend(edges, np.stack((after - gained, after), axis=1).ravel())

    def take_power(self, power: Channel) -> None:
        """The same from readings of power (W), where there is no counter: their integral."""
        times, watts = power.times[self._power_taken :], power.values[self._power_taken :]
        self._power_taken = len(power)
        good = np.isfinite(watts)
        times, watts = times[good], watts[good]
        if len(times) and len(self._power_energy):
            times = np.append(self._power_energy.times[-1:], times)
            watts = np.append(self._last_watts, watts)
        if len(times):
            self._last_watts = float(watts[-1])
            joules = np.cumsum(np.diff(times) * (watts[1:] + watts[:-1]) / 2)
            if len(self._power_energy):
                self._power_energy.extend(times[1:], self._power_energy.values[-1] + joules)
            else:
                self._power_energy.extend(times, np.append(0.0, joules))
        self.take_counter(self._power_energy)

    def _append(self, kind: XAxis, times: list[float], places: list[float]) -> None:
        append_rising(self.axes[kind].knots, np.array(times), np.array(places))


class Points:
    """A channel against an axis: `x` and `y` grow as both do, and what was given stays as it is."""

    def __init__(self, channel: Channel, axis: Axis, *, held: bool) -> None:
        """`held`: a point between steps stands where the step before it ended; others have no place there."""
        self.channel, self.axis = channel, axis
        self._held = held
        self._own = Channel(channel.key, channel.title, channel.unit)
        self._taken, self._rewrites = 0, channel.rewrites

    def sync(self) -> None:
        """Take in what the channel and the axis have gained."""
        channel = self.channel
        if self.axis.kind == "time":
            return
        if self._rewrites != channel.rewrites:
            self._rewrites, self._taken = channel.rewrites, 0
            self._own.truncate(0)
        upto = int(np.searchsorted(channel.times, self.axis.known_until, side="right"))
        if upto <= self._taken:
            return
        times, values = channel.times[self._taken : upto], channel.values[self._taken : upto]
        keep = np.ones(len(times), dtype=np.bool_) if self._held else self.axis.in_step(times)
        self._own.extend(self.axis.place(times[keep]), values[keep])
        self._taken = upto

    @property
    def x(self) -> Floats:
        return self.channel.times if self.axis.kind == "time" else self._own.times

    @property
    def y(self) -> Floats:
        """In the channel's own unit."""
        return self.channel.values if self.axis.kind == "time" else self._own.values
