"""Power, energy and utilisation of the trial's device over the measured window. Pure. Never an estimate, never zero
for a sensor that is not there."""

from __future__ import annotations

import numpy as np

from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.speed import MEASURED
from workbench.metrics.trial import TrialRecords
from workbench.metrics.window import (
    NS,
    counter_change,
    covers,
    device_source,
    inside,
    integral,
    mean_over,
    no_window,
    on_gpu,
    power_source,
    series,
    why_missing,
)

MIN_ENERGY_WINDOW_S = 2.0
"""Below this, counters and power readings are too coarse: "not measurable"."""

COUNTER_TOLERANCE = 0.05
"""Counter and integral of the power curve further apart than this are flagged by the verdict."""


def counter_energy(records: TrialRecords) -> float | None:
    """Joules by the energy counter at the window's ends; None where there is none or it does not reach both ends."""
    window = records.window()
    if window is None:
        return None
    return counter_change(*series(records, power_source(records), "energy_joules"), *window)


def curve_energy(records: TrialRecords) -> float | None:
    """Joules by the integral of the power curve over the window; None where it does not cover it."""
    window = records.window()
    if window is None:
        return None
    times, values = series(records, power_source(records), "power_watts")
    return integral(times, values, *window) if len(times) > 1 and covers(times, *window) else None


def energy(records: TrialRecords) -> Value | NotAvailable:
    window = records.window()
    if window is None:
        return no_window(records)
    length = (window[1] - window[0]) / NS
    source = power_source(records)
    counter, curve = counter_energy(records), curve_energy(records)
    if counter is None and curve is None:
        quantity = "energy_joules" if "energy_joules" in records.sensors_missing else "power_watts"
        return why_missing(records, source, quantity, "Energy")
    if length < MIN_ENERGY_WINDOW_S:
        return NotAvailable(
            f"Not measurable: the window of {length:.2g} s is shorter than {MIN_ENERGY_WINDOW_S:g} s."
        )
    if counter is not None:
        if counter <= 0:
            return NotAvailable("Not measurable: the energy counter stood still through the window.")
        beside = "" if curve is None else f"; the power curve {_agreement(curve, counter)}"
        method = f"{_meter(source)} energy counter at both ends of the window, idle level included"
        return Value(counter, method + beside)
    if curve is None or curve <= 0:
        return NotAvailable("Not measurable: the power reading stood at zero through the window.")
    return Value(curve, f"integral of the {_meter(source)} power readings, idle level included; no counter here")


def _meter(source: str) -> str:
    return source.partition(".")[0].upper()


def _agreement(curve: float, counter: float) -> str:
    if abs(curve / counter - 1) <= COUNTER_TOLERANCE:
        return f"agrees within {COUNTER_TOLERANCE * 100:g} %"
    return f"gives {curve / counter - 1:+.0%} against it"


def _per(records: TrialRecords, amount: float, method: str, n: int | None = None) -> Value | NotAvailable:
    found = energy(records)
    if isinstance(found, NotAvailable):
        return found
    if amount <= 0:
        return NotAvailable("Nothing was generated in the measured window.")
    return Value(found.value / amount, f"{found.method}; {method}", n)


def mean_power(records: TrialRecords) -> Value | NotAvailable:
    """EfficientLLM's AEC = energy / T: it is mean power."""
    window = records.window()
    if window is None:
        return no_window(records)
    return _per(records, (window[1] - window[0]) / NS, "divided by the length of the window")


def energy_per_token(records: TrialRecords) -> Value | NotAvailable:
    tokens = sum(r.generated_tokens for r in records.measured)
    return _per(records, tokens, "divided by the tokens generated", tokens)


def utilisation(records: TrialRecords) -> Value | NotAvailable:
    """EfficientLLM's PCU: (1/T) ∫ utilisation/peak utilisation dt."""
    window = records.window()
    if window is None:
        return no_window(records)
    if on_gpu(records):
        source = device_source(records) or "nvml"
        times, values = series(records, source, "utilisation_ratio")
        if not len(times):
            return why_missing(records, source, "utilisation_ratio", "Device utilisation")
        mean = mean_over(times, values, *window)
        if mean is None:
            return NotAvailable("Device utilisation was not read through the measured window.")
        return Value(mean, "driver's utilisation: share of time with any kernel running, not of FLOPs", len(times))
    threads = records.started.threads if records.started is not None else 0
    if threads < 1:
        return NotAvailable("The number of threads of the worker is not known.")
    spent = counter_change(*series(records, "proc.tree", "cpu_seconds"), *window)
    if spent is not None:
        length = (window[1] - window[0]) / NS
        return Value(spent / length / threads, f"processor seconds of the process tree over time x {threads} threads")
    times, values = series(records, "proc.tree", "cpu_utilisation_ratio")
    mean = mean_over(times, values, *window)
    if mean is None:
        return why_missing(records, "proc.tree", "cpu_utilisation_ratio", "Processor use")
    return Value(mean / threads, f"cores used by the process tree over {threads} threads", len(times))


def steal(records: TrialRecords) -> Value | NotAvailable:
    window = records.window()
    if window is None:
        return no_window(records)
    times, values = series(records, "proc.host", "steal_ratio")
    if not len(times):
        return why_missing(records, "proc.host", "steal_ratio", "Stolen processor time")
    _, among = inside(times, values, *window)
    if not len(among):
        return NotAvailable("Stolen processor time was not read through the measured window.")
    return Value(float(np.mean(among)), "/proc/stat, share of processor time taken by the host", len(among))


METRICS = (
    Metric(
        id="power_mean_watts",
        title="Power, mean",
        definition="AEC of EfficientLLM: energy of the device over the window / T. It is mean power, not energy.",
        unit="W",
        better="lower",
        window=MEASURED,
        version=1,
        compute=mean_power,
        group="energy",
        primary=True,
    ),
    Metric(
        id="energy_per_token_joules",
        title="Energy per token",
        definition="Energy of the device over the window / tokens generated in it, idle level included.",
        unit="J/token",
        better="lower",
        window=MEASURED,
        version=1,
        compute=energy_per_token,
        group="energy",
        primary=True,
    ),
    Metric(
        id="energy_joules",
        title="Energy",
        definition="Energy of the device over the measured window, idle level included.",
        unit="J",
        better="neither",
        window=MEASURED,
        version=1,
        compute=energy,
        group="energy",
    ),
    Metric(
        id="utilisation_ratio",
        title="Compute utilisation",
        definition="PCU of EfficientLLM: (1/T) ∫ utilisation(t)/peak utilisation dt. On a GPU the share of time with "
        "any kernel running, not of FLOPs; on a processor the cores used over the worker's threads.",
        unit="ratio",
        better="higher",
        window=MEASURED,
        version=1,
        compute=utilisation,
        shown_unit="%",
        group="energy",
        nouns=("more", "less"),
    ),
    Metric(
        id="steal_ratio",
        title="Stolen time",
        definition="Share of processor time that the machine's host took away in the window.",
        unit="ratio",
        better="neither",
        window=MEASURED,
        version=1,
        compute=steal,
        shown_unit="%",
        group="energy",
    ),
)
