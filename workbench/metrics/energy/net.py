"""Energy above the idle level of the same process, and energy of prefill and decode apart. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from workbench.metrics.energy.measured import (
    MIN_ENERGY_WINDOW_S,
    NEEDS,
    between_requests,
    energy,
    energy_between,
    generated,
    nothing_made,
)
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.trial import Span, TrialRecords
from workbench.metrics.window import NS, length_s, mean_over, no_window, power_source, series
from workbench.units import format_share

_NET_NEEDS = (*NEEDS, "idle")
_PHASE_NEEDS = (*NEEDS, "prefill_energy")


def idle_power(records: TrialRecords) -> Value | NotAvailable:
    """Mean power (W) of the device in the trial's idle phase: model loaded, context alive, nothing running."""
    idle = max((s for s in records.spans if s.name == "idle"), key=lambda s: s.end_ns - s.start_ns, default=None)
    if idle is None:
        return NotAvailable("The trial had no idle phase: the idle level is not known.")
    length = (idle.end_ns - idle.start_ns) / NS
    if length >= MIN_ENERGY_WINDOW_S:
        found = energy_between(records, idle.start_ns, idle.end_ns)
        if not isinstance(found, NotAvailable):
            return Value(found.joules / length, f"over {length:.2g} s of the idle phase in the same process")
    watts = mean_over(*series(records, power_source(records), "power_watts"), idle.start_ns, idle.end_ns)
    if watts is None:
        return NotAvailable("Power was not read through the idle phase: the idle level is not known.")
    return Value(watts, f"mean of the power readings in {length:.2g} s of the idle phase in the same process")


def net_energy(records: TrialRecords) -> Value | NotAvailable:
    """Energy over the window less the idle power times its length."""
    stretches = records.stretches()
    if not stretches:
        return no_window(records)
    idle = idle_power(records)
    less = "" if isinstance(idle, NotAvailable) else f"less the idle level of {idle.value:.4g} W ({idle.method})"
    gross = energy(records, less)
    if isinstance(gross, NotAvailable):
        return gross
    if isinstance(idle, NotAvailable):
        return idle
    net = gross.value - idle.value * length_s(stretches)
    if net <= 0:
        return NotAvailable(
            f"Not measurable: the window's {gross.value:.3g} J are not above the idle level of {idle.value:.3g} W."
        )
    return Value(net, gross.method)


def _net_per(amount: Callable[[TrialRecords], int], words: str) -> Callable[[TrialRecords], Value | NotAvailable]:
    def compute(records: TrialRecords) -> Value | NotAvailable:
        found, count = net_energy(records), amount(records)
        if isinstance(found, NotAvailable):
            return found
        if count <= 0:
            return nothing_made(records)
        return Value(found.value / count, f"{found.method}; divided by {words}", count)

    return compute


def repeated_prefills(records: TrialRecords) -> tuple[Span, ...]:
    """The one-token requests of the phase `prefill_energy`, in order."""
    phase = next((s for s in records.spans if s.name == "prefill_energy"), None)
    if phase is None:
        return ()
    inside = (s for s in records.spans if s.name == "prefill")
    return tuple(s for s in inside if phase.start_ns <= s.start_ns and s.end_ns <= phase.end_ns)


def prefill_energy(records: TrialRecords) -> Value | NotAvailable:
    """Energy of one prefill, from one-token requests repeated for seconds; carries its error in the method."""
    found = _prefill(records)
    if isinstance(found, NotAvailable):
        return found
    joules, error, count, method = found
    return Value(joules, f"{method}; divided by {count} requests of one token, ±{format_share(error / joules)}", count)


def _prefill(records: TrialRecords) -> tuple[float, float, int, str] | NotAvailable:
    """(J a prefill, its error in J, how many, method)."""
    spans = repeated_prefills(records)
    if not spans:
        return NotAvailable("The trial repeated no prefills: the energy of phases is not known.")
    if between := between_requests(records):
        return between
    found = energy_between(records, spans[0].start_ns, spans[-1].end_ns)
    if isinstance(found, NotAvailable):
        return found
    return found.joules / len(spans), found.error / len(spans), len(spans), found.method


def decode_energy(records: TrialRecords) -> Value | NotAvailable:
    """Total energy less the prefills' share, for each token after the first; the errors of both are carried through."""
    window, measured = records.window(), records.measured
    if window is None or not measured:
        return no_window(records)
    total, prefill = energy_between(records, *window), _prefill(records)
    if isinstance(total, NotAvailable):
        return total
    if isinstance(prefill, NotAvailable):
        return prefill
    tokens = sum(r.generated_tokens * (r.stamps - 1) / r.stamps for r in measured if r.stamps > 1)
    if tokens <= 0:
        return NotAvailable("Requests of one token have no decode phase.")
    joules = total.joules - len(measured) * prefill[0]
    error = math.hypot(total.error, len(measured) * prefill[1])
    if joules <= error:
        return NotAvailable(
            f"Not measurable: the total less the prefills is {joules:.3g} J, with an error of {error:.2g} J."
        )
    method = (
        f"{total.method}; less {len(measured)} prefills of {prefill[0]:.3g} J measured apart; divided by the tokens "
        f"after the first of each request; error carried through ±{format_share(error / joules)}"
    )
    return Value(joules / tokens, method, round(tokens))


_above_idle = partial(Metric, version=2, better="lower", group="energy", task="generate", needs=_NET_NEEDS)

METRICS = (
    Metric(
        id="energy_net_joules",
        title="Energy above idle",
        definition="Energy of the device over the measured window less its idle power times the window's length. The "
        "idle power is measured in the same process with the device's context alive.",
        unit="J",
        better="neither",
        version=2,
        compute=net_energy,
        group="energy",
        needs=("step", *_NET_NEEDS),
    ),
    _above_idle(
        id="energy_net_per_token_joules",
        title="Energy per token above idle",
        definition="Energy above the idle level / tokens generated.",
        unit="J/token",
        compute=_net_per(generated, "the tokens generated"),
        counts="tokens",
    ),
    _above_idle(
        id="energy_net_per_request_joules",
        title="Energy per request above idle",
        definition="Energy above the idle level / measured requests.",
        unit="J/request",
        compute=_net_per(lambda records: len(records.measured), "the measured requests"),
        counts="requests",
    ),
    Metric(
        id="idle_power_watts",
        title="Idle power",
        definition="Mean power of the device in the idle phase: model loaded, context alive, nothing running.",
        unit="W",
        better="neither",
        window="idle",
        version=2,
        compute=idle_power,
        group="energy",
        needs=("idle", "energy_joules", "power_watts"),
    ),
    Metric(
        id="prefill_energy_joules",
        title="Energy of a prefill",
        definition="Energy of one prefill and the token it makes: one-token requests repeated until the meter can "
        "resolve them, idle level included.",
        unit="J/request",
        better="lower",
        window="prefill_energy",
        compute=prefill_energy,
        counts="requests of one token",
        group="energy",
        task="generate",
        needs=_PHASE_NEEDS,
    ),
    Metric(
        id="decode_energy_per_token_joules",
        title="Decode energy per token",
        definition="(Energy over the window − requests x energy of a prefill) / tokens after the first of each "
        "request. A difference: the errors of both are carried through and stated.",
        unit="J/token",
        better="lower",
        compute=decode_energy,
        counts="tokens",
        group="energy",
        task="generate",
        needs=_PHASE_NEEDS,
    ),
)
