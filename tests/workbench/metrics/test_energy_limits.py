"""Energy at its limits: the shortest window, the smallest change, one reading, one request, one token."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from engines.protocol.records import PhaseEnded, Record, Request, Stamps, Step, Telemetry, TrialEnded
from tests.builders import request
from tests.workbench.metrics.test_metrics_energy import TRIAL, found, model, reason, span
from tests.workbench.synthetic import GPU, SECOND
from workbench.metrics.checks.machine import counter_against_curve
from workbench.metrics.energy.measured import energy_between
from workbench.metrics.model import NotAvailable
from workbench.metrics.trial import arrange


def meter(period_s: float, watts: list[float], joules: list[float] | None = None, start_s: float = 0.0) -> Telemetry:
    """Power, and a counter where it is given, every `period_s` from `start_s` on."""
    columns: dict[str, list[float | None]] = {"power_watts": [*watts]}
    if joules is not None:
        columns["energy_joules"] = [*joules]
    return Telemetry(
        source=GPU, times_ns=[round((start_s + i * period_s) * SECOND) for i in range(len(watts))], columns=columns
    )


def requests(*ends_s: float, start_s: float = 5.0, tokens: int = 2) -> list[Record]:
    """Requests of `tokens` tokens, one after the other, the first from `start_s`."""
    made: list[Record] = []
    for index, (start, end) in enumerate(itertools.pairwise((start_s, *ends_s))):
        first = index * tokens
        times = [round((start + (end - start) * (i + 1) / (tokens + 1)) * SECOND) for i in range(tokens)]
        made.append(Stamps(first=first, times_ns=times))
        made.append(request(index, round(start * SECOND), round(end * SECOND), first, tokens))
    return made


def without(kind: type[Record]) -> list[Record]:
    return [r for r in TRIAL if not isinstance(r, kind)]


STEADY = meter(1.0, [100.0] * 20, [100.0 * i for i in range(20)])


@pytest.mark.parametrize(("length_s", "measurable"), [(1.999, False), (2.0, True)])
def test_that_energy_is_measurable_from_two_seconds_on(length_s: float, measurable: bool) -> None:
    stream = [model(), *requests(5.0 + length_s), STEADY]
    if measurable:
        assert found("energy_joules", stream).value == pytest.approx(200.0)
    else:
        assert "shorter than 2 s" in reason("energy_joules", stream)


def test_that_the_smallest_change_is_a_measurement_and_none_is_not() -> None:
    asked = [model(), *requests(10.0)]
    assert found("energy_joules", [*asked, meter(1.0, [0.1] * 20)]).value == pytest.approx(0.5)
    assert "was zero" in reason("energy_joules", [*asked, meter(1.0, [0.0] * 20)])
    slow = meter(1.0, [0.1] * 20, [0.1 * i for i in range(20)])
    assert found("energy_joules", [*asked, slow]).value == pytest.approx(0.5)
    assert "did not change" in reason("energy_joules", [*asked, meter(1.0, [0.1] * 20, [7.0] * 20)])


def test_that_one_reading_of_power_is_no_curve_and_two_are_one() -> None:
    asked = [model(), *requests(10.0)]
    assert "Energy was not read" in reason("energy_joules", [*asked, meter(1.0, [100.0], start_s=7.0)])
    assert found("energy_joules", [*asked, meter(5.0, [100.0] * 2, start_s=5.0)]).value == pytest.approx(500.0)


@pytest.mark.parametrize("apart", [-0.06, -0.04, 0.04, 0.06])
def test_that_counter_and_curve_may_differ_by_a_twentieth(apart: float) -> None:
    both = meter(1.0, [100.0 * (1 + apart)] * 20, [100.0 * i for i in range(20)])
    stream = [model(), *requests(10.0), both]
    method = found("energy_joules", stream).method
    flagged = [r.code for r in counter_against_curve(arrange(stream))]
    if abs(apart) < 0.05:
        assert "agrees within 5 %" in method
        assert flagged == []
    else:
        assert f"gives {apart * 100:+.0f} % against it" in method
        assert flagged == ["counter_against_integral"]


@pytest.mark.parametrize(("length_s", "codes"), [(1.999, []), (2.0, ["counter_still"])])
def test_that_a_counter_is_judged_from_two_seconds_on(length_s: float, codes: list[str]) -> None:
    still = meter(0.1, [100.0] * 200, [7.0] * 200)
    stream = [model(), *requests(5.0 + length_s), still]
    assert [r.code for r in counter_against_curve(arrange(stream))] == codes


@pytest.mark.parametrize("period_s", [0.1, 0.5, 1.0, 2.0])
def test_that_the_error_of_an_energy_is_one_period_of_the_meter(period_s: float) -> None:
    count = round(18 / period_s)  # from 2 s on: the meter's clock does not begin with the trial's
    joules = [100.0 * period_s * i for i in range(count)]
    for counter in (joules, None):
        measured = energy_between(
            arrange([model(), *requests(10.0), meter(period_s, [100.0] * count, counter, start_s=2.0)]),
            5 * SECOND,
            10 * SECOND,
        )
        assert not isinstance(measured, NotAvailable)
        assert (measured.joules, measured.error) == pytest.approx((500.0, 100.0 * period_s))


def test_that_a_counter_alone_is_known_to_one_of_its_periods() -> None:
    alone = Telemetry(
        source=GPU, times_ns=[i * SECOND for i in range(20)], columns={"energy_joules": [100.0 * i for i in range(20)]}
    )
    measured = energy_between(arrange([model(), *requests(10.0), alone]), 5 * SECOND, 10 * SECOND)
    assert not isinstance(measured, NotAvailable)
    assert (measured.joules, measured.error) == pytest.approx((500.0, 100.0))
    assert "power curve" not in measured.method


def test_that_energy_of_no_token_is_of_none() -> None:
    nothing = [msgspec.structs.replace(r, generated_tokens=0) if isinstance(r, Request) else r for r in TRIAL]
    for id in ("energy_per_token_joules", "tokens_per_joule", "energy_net_per_token_joules"):
        assert reason(id, nothing) == "Nothing was generated in the measured window."
    assert found("energy_per_request_joules", nothing).value == pytest.approx(625)


def test_that_one_request_and_one_token_after_the_first_are_enough() -> None:
    one = [*(r for r in TRIAL if not isinstance(r, Request | Stamps)), *requests(10.0)]
    assert found("energy_net_per_request_joules", one).value == pytest.approx(1000.0)
    decode = found("decode_energy_per_token_joules", one)
    assert (decode.value, decode.n) == (pytest.approx(1250 - 75), 1)
    first_only = [*(r for r in TRIAL if not isinstance(r, Request | Stamps)), *requests(10.0, tokens=1)]
    assert "no decode phase" in reason("decode_energy_per_token_joules", first_only)


def test_that_a_trial_of_training_steps_has_no_decode_energy() -> None:
    steps = [
        Step(index=i, warmup=False, start_ns=(5 + i) * SECOND, end_ns=(6 + i) * SECOND, tokens=8, samples=1)
        for i in range(5)
    ]
    stream = [r for r in TRIAL if not isinstance(r, Request | Stamps | TrialEnded)]
    assert "No measured request" in reason("decode_energy_per_token_joules", [*stream, *steps])


def test_that_every_prefill_within_the_phase_counts_the_last_one_included() -> None:
    assert found("prefill_energy_joules", TRIAL).n == 8
    late = [*TRIAL, span("prefill", 15, 15.5, 8)]
    assert found("prefill_energy_joules", late).n == 8, "one that ends after the phase is none of it"


@pytest.mark.parametrize(("watts", "net"), [(49.9, None), (50.0, None), (50.1, 0.5)])
def test_that_net_energy_is_what_is_above_the_idle_level(watts: float, net: float | None) -> None:
    power = [50.0] * 5 + [watts] * 6 + [50.0] * 5
    stream = [*without(Telemetry), meter(1.0, power)]
    if net is None:
        assert "not above the idle level" in reason("energy_net_joules", stream)
    else:
        assert found("energy_net_joules", stream).value == pytest.approx(net)


def test_that_the_longest_idle_phase_gives_the_idle_level() -> None:
    late = [*TRIAL, span("idle", 13, 14)]
    assert found("idle_power_watts", late) == found("idle_power_watts", TRIAL)
    short = [r for r in TRIAL if not (isinstance(r, PhaseEnded) and r.name == "idle")]
    brief = found("idle_power_watts", [*short, span("idle", 2, 3.9)])
    assert brief.value == pytest.approx(50.0)
    assert brief.method.startswith("mean of the power readings in 1.9 s")
    assert found("idle_power_watts", [*short, span("idle", 2, 4)]).method.startswith("over 2 s")
