"""Energy and mean power of the trial's device over the measured window. Pure. Never an estimate, never zero for a
sensor that is not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from engines.protocol.records import Step
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.trial import TrialRecords
from workbench.metrics.window import (
    NS,
    Stretches,
    change_over_all,
    covers,
    integral,
    length_s,
    no_window,
    power_source,
    read_by,
    series,
    why_missing,
)
from workbench.units import format_share

MIN_ENERGY_WINDOW_S = 2.0
"""Below this, counters and power readings are too coarse: "not measurable"."""

MIN_STRETCH_PERIODS = 10
"""Periods of the meter that a stretch between two evaluations lasts at the least: else their energy is among it."""

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


def counter_energy(records: TrialRecords, stretches: Stretches | None = None) -> float | None:
    """Joules by the energy counter at the stretches' ends; None where there is none or it does not reach all of them.
    The measured window's unless others are named."""
    stretches = records.stretches() if stretches is None else stretches
    return change_over_all(*series(records, power_source(records), "energy_joules"), stretches)


def curve_energy(records: TrialRecords, stretches: Stretches | None = None) -> float | None:
    """Joules by the integral of the power curve over the stretches; None where it does not cover them."""
    stretches = records.stretches() if stretches is None else stretches
    times, values = series(records, power_source(records), "power_watts")
    if not stretches or len(times) < 2 or not covers(times, stretches[0][0], stretches[-1][1]):
        return None
    return sum(integral(times, values, start, end) for start, end in stretches)


def energy_between(
    records: TrialRecords, start: int, end: int, level: str = "idle level included"
) -> Measured | NotAvailable:
    """Energy of the trial's device from `start` to `end` (ns)."""
    return energy_over(records, ((start, end),), level)


def energy_over(
    records: TrialRecords, stretches: Stretches, level: str = "idle level included"
) -> Measured | NotAvailable:
    """Energy of the trial's device over stretches of time: by the counter where it moves, else by the curve.
    `level`: what the method says of the idle level."""
    length = length_s(stretches)
    source = power_source(records)
    counter, curve = counter_energy(records, stretches), curve_energy(records, stretches)
    if counter is None and curve is None:
        quantity = "energy_joules" if "energy_joules" in records.sensors_missing else "power_watts"
        return why_missing(records, source, quantity, "Energy")
    if length < MIN_ENERGY_WINDOW_S:
        return NotAvailable(f"Not measurable: the window of {length:.2g} s is shorter than {MIN_ENERGY_WINDOW_S:g} s.")
    quantity = "power_watts" if counter is None else "energy_joules"
    period, cut = _period(records, quantity), len(stretches) > 1
    if cut and length / len(stretches) < MIN_STRETCH_PERIODS * period:
        return NotAvailable(
            f"Not measurable: pauses cut the steps into stretches of {length / len(stretches):.2g} s, and the meter is "
            f"read every {period:.2g} s. Evaluate less often."
        )
    where = f"both ends of {len(stretches)} stretches between pauses" if cut else "both ends of the window"
    if counter is not None:
        if counter <= 0:
            return NotAvailable(STILL)
        how = read_by(records, source, "energy_joules")
        beside = ""
        if curve is not None:
            beside = f"; the power curve{read_by(records, source, 'power_watts')} {_agreement(curve, counter)}"
        method = f"{_meter(source)} energy counter{how} at {where}, {level}{beside}"
        apart = 0.0 if curve is None else abs(curve - counter)
        return Measured(counter, max(apart, counter / length * period * len(stretches)), method)
    if curve is None or curve <= 0:
        return NotAvailable("Not measurable: the power reading was zero throughout the window.")
    counted = len(series(records, source, "energy_joules")[0]) > 0
    why = f"the counter does not reach {where}" if counted else "no counter here"
    how = read_by(records, source, "power_watts")
    over = f" over {len(stretches)} stretches between pauses" if cut else ""
    method = f"integral of the {_meter(source)} power readings{how}{over}, {level}; {why}"
    return Measured(curve, curve / length * period * len(stretches), method)


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
    stretches = records.stretches()
    if not stretches:
        return no_window(records)
    if between := between_requests(records):
        return between
    found = energy_over(records, stretches, level)
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
    stretches = records.stretches()
    if not stretches:
        return no_window(records)
    return _per(records, length_s(stretches), "divided by the length of the window")


def generated(records: TrialRecords) -> int:
    return sum(r.generated_tokens for r in records.measured)


def energy_per_token(records: TrialRecords) -> Value | NotAvailable:
    tokens = generated(records)
    return _per(records, tokens, "divided by the tokens generated", tokens)


def energy_per_request(records: TrialRecords) -> Value | NotAvailable:
    count = len(records.measured)
    return _per(records, count, "divided by the measured requests", count)


def _per_step(amount: Callable[[Step], int], what: str) -> Callable[[TrialRecords], Value | NotAvailable]:
    def compute(records: TrialRecords) -> Value | NotAvailable:
        count = sum(amount(s) for s in records.measured_steps)
        if not records.measured_steps:
            return NotAvailable("The trial had no training step: a record of each is needed.")
        if count <= 0:
            return NotAvailable(f"No {what} were recorded for the steps.")
        return _per(records, count, f"divided by the {what}", count)

    return compute


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


_OF_STEPS: tuple[tuple[str, str, str, Callable[[Step], int]], ...] = (
    ("step", "step", "measured steps", lambda _: 1),
    ("sample", "sample", "samples of the measured steps", lambda step: step.samples),
    ("training_token", "token", "tokens of the measured steps", lambda step: step.tokens),
)

_of_requests = partial(Metric, group="energy", task="generate", needs=NEEDS)

METRICS = (
    Metric(
        id="power_mean_watts",
        title="Power, mean",
        definition="AEC of EfficientLLM: energy of the device over the window / T. It is mean power, not energy: "
        "energy per token and per request stand beside it.",
        unit="W",
        better="lower",
        compute=mean_power,
        group="energy",
        primary=True,
        beside=("energy_per_token_joules", "energy_per_request_joules", "energy_per_step_joules"),
        needs=("step", *NEEDS),
    ),
    Metric(
        id="energy_per_token_joules",
        title="Energy per token",
        definition="Energy of the device over the window / tokens generated in it, idle level included.",
        unit="J/token",
        better="lower",
        compute=energy_per_token,
        group="energy",
        primary=True,
        counts="tokens",
        beside=("energy_net_per_token_joules",),
        needs=NEEDS,
    ),
    _of_requests(
        id="energy_per_request_joules",
        title="Energy per request",
        definition="Energy of the device over the window / measured requests, idle level included.",
        unit="J/request",
        better="lower",
        compute=energy_per_request,
        counts="requests",
        beside=("energy_net_per_request_joules",),
    ),
    _of_requests(
        id="tokens_per_joule",
        title="Tokens per joule",
        definition="Tokens generated in the window / energy of the device over it, idle level included.",
        unit="tokens/J",
        better="higher",
        compute=tokens_per_joule,
        counts="tokens",
    ),
    _of_requests(
        id="energy_delay_product",
        title="Energy-delay product",
        definition="Energy per request, idle level included, times the mean latency of a request.",
        unit="J·s",
        better="lower",
        compute=energy_delay,
        counts="requests",
    ),
    Metric(
        id="energy_joules",
        title="Energy",
        definition="Energy of the device over the measured window, idle level included.",
        unit="J",
        better="neither",
        compute=energy,
        beside=("energy_net_joules",),
        group="energy",
        needs=("step", *NEEDS),
    ),
    *(
        Metric(
            id=f"energy_per_{id}_joules",
            title=f"Energy per training {noun}",
            definition=f"Energy of the device over the window, evaluations left out, / {what}, idle level included.",
            unit=f"J/{noun}",
            better="lower",
            window="measured steps",
            version=2,
            compute=_per_step(amount, what),
            counts=f"{noun}s",
            group="energy",
            task="train",
            primary=id == "step",
            needs=("step", "energy_joules", "power_watts"),
        )
        for id, noun, what, amount in _OF_STEPS
    ),
)
