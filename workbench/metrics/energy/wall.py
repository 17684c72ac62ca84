"""Energy of the whole machine by an imported wall meter. Pure; beside the device's energy, never added to it."""

from __future__ import annotations

from workbench.metrics.energy.measured import MIN_ENERGY_WINDOW_S
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.trial import TrialRecords
from workbench.metrics.window import NS, covers, inside, integral, no_window, series

SOURCE = "wall_meter"
"""Source of the imported samples; their quantity is `power_watts`."""
MIN_READINGS = 5
"""Within the window: with fewer, the readings at its ends decide the integral."""


def wall_energy(records: TrialRecords) -> Value | NotAvailable:
    window = records.window()
    if window is None:
        return no_window(records)
    times, values = series(records, SOURCE, "power_watts")
    if not len(times):
        return NotAvailable("No wall meter's readings were imported for this trial.")
    length = (window[1] - window[0]) / NS
    if length < MIN_ENERGY_WINDOW_S:
        return NotAvailable(f"Not measurable: the window of {length:.2g} s is shorter than {MIN_ENERGY_WINDOW_S:g} s.")
    among, _ = inside(times, values, *window)
    if len(among) < MIN_READINGS or not covers(times, *window):
        return NotAvailable(
            f"Not measurable: {len(among)} readings of the wall meter fell into the measured window of {length:.2g} s, "
            f"{MIN_READINGS} are needed, and they must reach both of its ends."
        )
    joules = integral(times, values, *window)
    if joules <= 0:
        return NotAvailable("Not measurable: the wall meter's readings were zero throughout the window.")
    method = "integral of the imported wall meter's readings over the window: the whole machine, idle level included"
    return Value(joules, method, len(among), "whole machine at the wall")


METRICS = (
    Metric(
        id="wall_energy_joules",
        title="Energy at the wall",
        definition="Energy of the whole machine over the measured window by an imported wall meter, idle included.",
        unit="J",
        better="neither",
        compute=wall_energy,
        group="energy",
        needs=("request", "step", "wall_meter"),
    ),
)
