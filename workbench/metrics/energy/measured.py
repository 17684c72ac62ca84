"""Energy and mean power of the trial's device over the measured window. Pure. Never an estimate, never zero for a
sensor that is not there."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.speed import MEASURED
from workbench.metrics.trial import TrialRecords
from workbench.metrics.window import (
    NS,
    counter_change,
    covers,
    integral,
    no_window,
    power_source,
    read_by,
    series,
    why_missing,
)
from workbench.units import format_share

MIN_ENERGY_WINDOW_S = 2.0
"""Below this, counters and power readings are too coarse: "not measurable"."""

COUNTER_TOLERANCE = 0.05
"""Counter and integral of the power curve further apart than this are flagged by the verdict."""

NEEDS = ("request", "energy_joules", "power_watts")
DEPTH_COMPUTED = "workload.depth_computed"
"""Environment fact of engines that can start at a depth: "once" or "before every request"."""
STILL = "Not measurable: the energy counter did not change in the window."


@dataclass(frozen=True)
class Measured:
    """Energy of the device over one stretch of time (J), and how well it is known."""

    joules: float
    error: float
    """How far off it may be (J): what counter and curve disagree by, and one period of the sensor at the mean power."""
    method: str


def counter_energy(records: TrialRecords, window: tuple[int, int] | None = None) -> float | None:
    """Joules by the energy counter at the window's ends; None where there is none or it does not reach both ends.
    The measured window unless another is named (ns)."""
    window = window or records.window()
    if window is None:
        return None
    return counter_change(*series(records, power_source(records), "energy_joules"), *window)


def curve_energy(records: TrialRecords, window: tuple[int, int] | None = None) -> float | None:
    """Joules by the integral of the power curve over the window; None where it does not cover it."""
    window = window or records.window()
    if window is None:
        return None
    times, values = series(records, power_source(records), "power_watts")
    return integral(times, values, *window) if len(times) > 1 and covers(times, *window) else None


def energy_between(
    records: TrialRecords, start: int, end: int, level: str = "idle level included"
) -> Measured | NotAvailable:
    """Energy of the trial's device from `start` to `end` (ns): by the counter where it moves, else by the curve.
    `level`: what the method says of the idle level."""
    length = (end - start) / NS
    source = power_source(records)
    counter, curve = counter_energy(records, (start, end)), curve_energy(records, (start, end))
    if counter is None and curve is None:
        quantity = "energy_joules" if "energy_joules" in records.sensors_missing else "power_watts"
        return why_missing(records, source, quantity, "Energy")
    if length < MIN_ENERGY_WINDOW_S:
        return NotAvailable(f"Not measurable: the window of {length:.2g} s is shorter than {MIN_ENERGY_WINDOW_S:g} s.")
    if counter is not None:
        if counter <= 0:
            return NotAvailable(STILL)
        how = read_by(records, source, "energy_joules")
        beside = ""
        if curve is not None:
            beside = f"; the power curve{read_by(records, source, 'power_watts')} {_agreement(curve, counter)}"
        method = f"{_meter(source)} energy counter{how} at both ends of the window, {level}{beside}"
        apart = 0.0 if curve is None else abs(curve - counter)
        return Measured(counter, max(apart, counter / length * _period(records, "energy_joules")), method)
    if curve is None or curve <= 0:
        return NotAvailable("Not measurable: the power reading was zero throughout the window.")
    counted = len(series(records, source, "energy_joules")[0]) > 0
    why = "the counter does not reach both ends of the window" if counted else "no counter here"
    how = read_by(records, source, "power_watts")
    method = f"integral of the {_meter(source)} power readings{how}, {level}; {why}"
    return Measured(curve, curve / length * _period(records, "power_watts"), method)


def _period(records: TrialRecords, quantity: str) -> float:
    """Seconds between readings of the device's meter; there are two at the least where energy was measured."""
    times, _ = series(records, power_source(records), quantity)
    return float(times[-1] - times[0]) / NS / (len(times) - 1)


def _meter(source: str) -> str:
    return source.partition(".")[0].upper()


def _agreement(curve: float, counter: float) -> str:
    if abs(curve / counter - 1) <= COUNTER_TOLERANCE:
        return f"agrees within {COUNTER_TOLERANCE * 100:g} %"
    return f"gives {format_share(curve / counter - 1, sign='+')} against it"


def energy(records: TrialRecords, level: str = "idle level included") -> Value | NotAvailable:
    window = records.window()
    if window is None:
        return no_window(records)
    if between := between_requests(records):
        return between
    found = energy_between(records, *window, level)
    return found if isinstance(found, NotAvailable) else Value(found.joules, found.method)


def between_requests(records: TrialRecords) -> NotAvailable | None:
    """Why the energy of a window is not that of its requests, where work lies between them."""
    if records.environment.get(DEPTH_COMPUTED) != "before every request":
        return None
    return NotAvailable(
        "Not measurable: the context depth was computed anew before every request, because this model's cache cannot "
        "be cut back to it, and the window's energy holds that too."
    )


def _per(records: TrialRecords, amount: float, method: str, n: int | None = None) -> Value | NotAvailable:
    found = energy(records)
    if isinstance(found, NotAvailable):
        return found
    if amount <= 0:
        return nothing_made(records)
    return Value(found.value / amount, f"{found.method}; {method}", n)


def nothing_made(records: TrialRecords) -> NotAvailable:
    if not records.measured:
        return NotAvailable("The trial generates nothing: it has no measured request.")
    return NotAvailable("Nothing was generated in the measured window.")


def mean_power(records: TrialRecords) -> Value | NotAvailable:
    """EfficientLLM's AEC = energy / T: it is mean power."""
    window = records.window()
    if window is None:
        return no_window(records)
    return _per(records, (window[1] - window[0]) / NS, "divided by the length of the window")


def generated(records: TrialRecords) -> int:
    return sum(r.generated_tokens for r in records.measured)


def energy_per_token(records: TrialRecords) -> Value | NotAvailable:
    tokens = generated(records)
    return _per(records, tokens, "divided by the tokens generated", tokens)


def energy_per_request(records: TrialRecords) -> Value | NotAvailable:
    count = len(records.measured)
    return _per(records, count, "divided by the measured requests", count)


def energy_per_step(records: TrialRecords) -> Value | NotAvailable:
    count = len(records.measured_steps)
    if not count:
        return NotAvailable("The trial had no training step: a record of each is needed.")
    return _per(records, count, "divided by the measured steps", count)


def tokens_per_joule(records: TrialRecords) -> Value | NotAvailable:
    found, tokens = energy(records), generated(records)
    if isinstance(found, NotAvailable):
        return found
    if tokens <= 0:
        return nothing_made(records)
    return Value(tokens / found.value, f"{found.method}; under the tokens generated", tokens)


def energy_delay(records: TrialRecords) -> Value | NotAvailable:
    """Energy per request times its mean latency."""
    found, measured = energy_per_request(records), records.measured
    if isinstance(found, NotAvailable):
        return found
    latency = sum(r.end_ns - r.start_ns for r in measured) / NS / len(measured)
    if latency <= 0:
        return NotAvailable("The measured time is not positive: the clock readings do not hold.")
    return Value(found.value * latency, f"{found.method}; times the mean latency of a request", found.n)


METRICS = (
    Metric(
        id="power_mean_watts",
        title="Power, mean",
        definition="AEC of EfficientLLM: energy of the device over the window / T. It is mean power, not energy: "
        "energy per token and per request stand beside it.",
        unit="W",
        better="lower",
        window=MEASURED,
        version=1,
        compute=mean_power,
        group="energy",
        primary=True,
        beside=("energy_per_token_joules", "energy_per_request_joules", "energy_per_step_joules"),
        needs=NEEDS,
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
        counts="tokens",
        beside=("energy_net_per_token_joules",),
        needs=NEEDS,
    ),
    Metric(
        id="energy_per_request_joules",
        title="Energy per request",
        definition="Energy of the device over the window / measured requests, idle level included.",
        unit="J/request",
        better="lower",
        window=MEASURED,
        version=1,
        compute=energy_per_request,
        group="energy",
        task="generate",
        counts="requests",
        beside=("energy_net_per_request_joules",),
        needs=NEEDS,
    ),
    Metric(
        id="tokens_per_joule",
        title="Tokens per joule",
        definition="Tokens generated in the window / energy of the device over it, idle level included.",
        unit="tokens/J",
        better="higher",
        window=MEASURED,
        version=1,
        compute=tokens_per_joule,
        counts="tokens",
        group="energy",
        task="generate",
        needs=NEEDS,
    ),
    Metric(
        id="energy_delay_product",
        title="Energy-delay product",
        definition="Energy per request, idle level included, times the mean latency of a request.",
        unit="J·s",
        better="lower",
        window=MEASURED,
        version=1,
        compute=energy_delay,
        counts="requests",
        group="energy",
        task="generate",
        needs=NEEDS,
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
        beside=("energy_net_joules",),
        group="energy",
        needs=NEEDS,
    ),
    Metric(
        id="energy_per_step_joules",
        title="Energy per training step",
        definition="Energy of the device over the window / measured training steps, idle level included.",
        unit="J/step",
        better="lower",
        window="measured steps",
        version=1,
        compute=energy_per_step,
        counts="steps",
        group="energy",
        task="train",
        needs=("step", "energy_joules", "power_watts"),
    ),
)
