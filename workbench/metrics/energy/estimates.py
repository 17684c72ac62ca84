"""Estimates: figures that rest on something the user set. Pure; always labelled, never added to a measured value.

Energy from processor time is another metric than measured energy, and money and CO2e name in their scope which of the
two they were made from, so that no ratio mixes them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from workbench.metrics.energy.measured import between_requests, energy, generated, nothing_made
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.trial import TrialRecords
from workbench.metrics.window import counter_change, no_window, on_gpu, series, why_missing

JOULES_PER_KWH = 3.6e6
MILLION = 1e6
FROM_MEASURED = "from the measured energy of the device alone"
FROM_ESTIMATE = "from energy that is itself an estimate"


def energy_estimate(records: TrialRecords) -> Value | NotAvailable:
    """Processor seconds of the worker's process tree x watts of a busy core as the user set it (J)."""
    window, watts = records.window(), records.assumptions.watts_per_core
    if window is None:
        return no_window(records)
    if on_gpu(records):
        return NotAvailable("The trial ran on a GPU: processor time says nothing of its energy.")
    if watts is None:
        return NotAvailable("Set the watts of a busy processor core to get this estimate.")
    times, values = series(records, "proc.tree", "cpu_seconds")
    if not len(times):
        return why_missing(records, "proc.tree", "cpu_seconds", "Processor time")
    spent = counter_change(times, values, *window)
    if spent is None:
        return NotAvailable("Processor time was not read through the measured window.")
    if between := between_requests(records):
        return between
    if spent <= 0:
        return NotAvailable("The processor time did not change in the window.")
    return Value(spent * watts, f"estimate: {spent:.4g} processor seconds x {watts:g} W per core set by the user")


def energy_estimate_per_token(records: TrialRecords) -> Value | NotAvailable:
    found, tokens = energy_estimate(records), generated(records)
    if isinstance(found, NotAvailable):
        return found
    if tokens <= 0:
        return nothing_made(records)
    return Value(found.value / tokens, f"{found.method}; divided by the tokens generated", tokens)


def _per_million(
    rate: Callable[[TrialRecords], float | None], words: str, missing: str
) -> Callable[[TrialRecords], Value | NotAvailable]:
    """What a million generated tokens cost at a rate per kWh."""

    def compute(records: TrialRecords) -> Value | NotAvailable:
        per_kwh, tokens = rate(records), generated(records)
        if per_kwh is None:
            return NotAvailable(missing)
        measured = energy(records)
        guessed = energy_estimate(records) if isinstance(measured, NotAvailable) else None
        found = measured if guessed is None or isinstance(guessed, NotAvailable) else guessed
        if isinstance(found, NotAvailable):
            return found
        if tokens <= 0:
            return nothing_made(records)
        basis = FROM_MEASURED if guessed is None else FROM_ESTIMATE
        price = words.format(per_kwh, records.assumptions.currency)
        value = found.value / JOULES_PER_KWH * per_kwh / tokens * MILLION
        method = f"estimate at {price} set by the user, {basis}; {found.method}"
        return Value(value, method, tokens, f"{price}, {basis}")

    return compute


_per_kwh = partial(
    Metric, better="lower", counts="tokens", group="cost", estimate=True, same_scope=True, task="generate"
)

METRICS = (
    Metric(
        id="energy_estimate_joules",
        title="Energy (estimate)",
        definition="An estimate: processor seconds of the worker in the window x the watts of a busy core that the "
        "user set. Not a measurement, and not compared with one.",
        unit="J",
        better="neither",
        compute=energy_estimate,
        group="cost",
        estimate=True,
        needs=("request", "step", "cpu_seconds", "watts_per_core"),
    ),
    Metric(
        id="energy_estimate_per_token_joules",
        title="Energy per token (estimate)",
        definition="An estimate: processor seconds in the window x the watts of a busy core that the user set / tokens "
        "generated.",
        unit="J/token",
        better="lower",
        compute=energy_estimate_per_token,
        counts="tokens",
        group="cost",
        estimate=True,
        task="generate",
        needs=("request", "cpu_seconds", "watts_per_core"),
    ),
    _per_kwh(
        id="cost_per_million_tokens",
        title="Electricity per million tokens (estimate)",
        definition="An estimate: energy of the device over the window / tokens generated x a million, at the price "
        "that the user set. Electricity of the device alone: no machine, no cooling, no staff.",
        unit="currency/Mtoken",
        compute=_per_million(
            lambda records: records.assumptions.price_per_kwh,
            "{:g} {}/kWh",
            "Set the price of electricity to get this estimate.",
        ),
        needs=("request", "energy_joules", "price_per_kwh"),
    ),
    _per_kwh(
        id="co2e_per_million_tokens_grams",
        title="CO2e per million tokens (estimate)",
        definition="An estimate: energy of the device over the window / tokens generated x a million, at the grid "
        "intensity that the user set. Operation of the device alone: nothing of its making.",
        unit="g/Mtoken",
        compute=_per_million(
            lambda records: records.assumptions.carbon_grams_per_kwh,
            "{:g} g CO2e/kWh",
            "Set the grid's CO2e intensity to get this estimate.",
        ),
        needs=("request", "energy_joules", "carbon_grams_per_kwh"),
    ),
)
