"""Net energy, energy by phase, FLOPs, estimates: worked examples, and what is said where they cannot be had."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from engines.protocol.records import Environment, ModelLoaded, PhaseEnded, Record, Sensors, Stamps, Telemetry
from engines.techniques.layers import LayerGroup, Layers, layer_details
from tests.builders import model_loaded, request
from tests.workbench.synthetic import GPU, SECOND, FakeTrial, records
from workbench.metrics.assumptions import NOTHING_ASSUMED, Assumptions
from workbench.metrics.model import NotAvailable, Value
from workbench.metrics.registry import METRICS, metric
from workbench.metrics.trial import arrange
from workbench.metrics.utilisation import request_flops


def found(id: str, stream: list[Record], assumptions: Assumptions = NOTHING_ASSUMED) -> Value:
    value = metric(id).compute(arrange(stream, assumptions))
    assert isinstance(value, Value), value
    return value


def reason(id: str, stream: list[Record], assumptions: Assumptions = NOTHING_ASSUMED) -> str:
    value = metric(id).compute(arrange(stream, assumptions))
    assert isinstance(value, NotAvailable), value
    return value.reason


def model(device: str = GPU.replace("nvml.", "cuda:"), **details: str) -> ModelLoaded:
    return model_loaded(device=device, details=details)


def span(name: str, start: float, end: float, index: int = 0) -> PhaseEnded:
    return PhaseEnded(name=name, index=index, start_ns=round(start * SECOND), t_ns=round(end * SECOND))  # type: ignore[arg-type]


def readings(watts: list[float], *, counter: bool = True, source: str = GPU) -> Telemetry:
    """Once a second from 0 s; the counter gains what the curve says from reading to reading."""
    joules = itertools.accumulate(((a + b) / 2 for a, b in itertools.pairwise(watts)), initial=0.0)
    columns: dict[str, list[float | None]] = {"power_watts": [*watts]}
    if counter:
        columns["energy_joules"] = [*joules]
    return Telemetry(source=source, times_ns=[i * SECOND for i in range(len(watts))], columns=columns)


WATTS = [50.0] * 5 + [250.0] * 6 + [150.0] * 5
"""Idle to 4 s, measured from 5 s to 10 s at 250 W, prefills from 11 s to 15 s at 150 W."""
TRIAL: list[Record] = [
    model(layers="2", attention_width="8", vocabulary="100"),
    span("idle", 0, 4),
    *(request(i, (10 + 5 * i) * SECOND // 2, (15 + 5 * i) * SECOND // 2, 5 * i, 5) for i in range(2)),
    Stamps(first=0, times_ns=[5_500_000_000 + i * SECOND // 2 for i in range(5)]),
    Stamps(first=5, times_ns=[8 * SECOND + i * SECOND // 2 for i in range(5)]),
    span("prefill_energy", 10.9, 15),
    *(span("prefill", 11 + i / 2, 11.5 + i / 2, i) for i in range(8)),
    readings(WATTS),
]


def test_a_worked_example_of_gross_and_net_energy() -> None:
    assert found("energy_joules", TRIAL).value == pytest.approx(5 * 250)
    assert found("idle_power_watts", TRIAL).value == pytest.approx(50)
    assert found("energy_net_joules", TRIAL).value == pytest.approx(5 * 200)
    assert found("energy_net_per_token_joules", TRIAL).value == pytest.approx(100)
    assert found("energy_net_per_request_joules", TRIAL).value == pytest.approx(500)
    assert found("energy_per_token_joules", TRIAL).value == pytest.approx(125)
    assert found("energy_per_request_joules", TRIAL).value == pytest.approx(625)
    assert found("energy_delay_product", TRIAL).value == pytest.approx(625 * 2.5)
    assert found("tokens_per_joule", TRIAL).value == pytest.approx(10 / 1250)
    assert "idle level of 50 W" in found("energy_net_joules", TRIAL).method


def test_a_worked_example_of_energy_by_phase_with_its_error() -> None:
    assert found("prefill_energy_joules", TRIAL).value == pytest.approx(4 * 150 / 8)
    decode = found("decode_energy_per_token_joules", TRIAL)
    assert decode.value == pytest.approx((1250 - 2 * 75) / 8)
    # one reading a second: 250 J of 1,250 J, and 2 x 150/8 J of the prefills, in quadrature over 1,100 J
    assert "error carried through ±23 %" in decode.method
    assert decode.n == 8


def test_that_a_phase_that_is_missing_or_too_short_is_not_measurable() -> None:
    without = [r for r in TRIAL if not isinstance(r, PhaseEnded)]
    assert "no idle phase" in reason("energy_net_joules", without)
    assert "repeated no prefills" in reason("decode_energy_per_token_joules", without)
    short = [*without, span("prefill_energy", 11, 12.2), span("prefill", 11, 12, 0)]
    assert "shorter than 2 s" in reason("prefill_energy_joules", short)


def test_that_what_is_not_above_the_idle_level_is_not_measurable() -> None:
    stream = [r for r in TRIAL if not isinstance(r, Telemetry)]
    assert "not above the idle level" in reason("energy_net_joules", [*stream, readings([250.0] * 5 + [90.0] * 11)])


def test_that_readings_of_one_gpu_are_not_those_of_a_trial_that_held_two() -> None:
    told = [Environment(facts={"worker.devices": f"{GPU.replace('nvml.', 'cuda:')} cuda:GPU-2"}), *TRIAL]
    said = "The trial held 2 GPUs, whose readings are not added up."
    for id in ("energy_joules", "power_mean_watts", "memory_mean_bytes", "utilisation_ratio"):
        assert reason(id, told) == said


def test_that_a_difference_smaller_than_its_error_is_not_measurable() -> None:
    stream = [r for r in TRIAL if not isinstance(r, Telemetry)]
    assert "with an error of" in reason(
        "decode_energy_per_token_joules", [*stream, readings([50.0] * 5 + [100.0] * 6 + [450.0] * 5)]
    )


def test_that_a_depth_computed_between_requests_is_not_taken_for_their_energy() -> None:
    told = [Environment(facts={"workload.depth_computed": "before every request"}), *TRIAL]
    for id in ("energy_joules", "power_mean_watts", "energy_per_token_joules", "energy_net_per_token_joules"):
        assert "depth was computed anew" in reason(id, told)
    assert "depth was computed anew" in reason("prefill_energy_joules", told)
    assert "depth was computed anew" in reason("decode_energy_per_token_joules", told)
    once = [Environment(facts={"workload.depth_computed": "once"}), *TRIAL]
    assert found("energy_per_token_joules", once) == found("energy_per_token_joules", TRIAL)
    assert found("idle_power_watts", told) == found("idle_power_watts", TRIAL)


LAYERS = (LayerGroup(2, 8, 0),)


def test_a_worked_example_of_the_flop_formula() -> None:
    """Prompt 2, two tokens: three positions that attend to 1, 2 and 3 tokens."""
    assert request_flops(1000, LAYERS, prompt=2, tokens=2, batch=1) == 2 * 1000 * 3 + 4 * 2 * 8 * (1 + 2 + 3)
    assert request_flops(1000, LAYERS, prompt=2, tokens=2, batch=3) == 3 * request_flops(1000, LAYERS, 2, 2, 1)
    flops = 2 * request_flops(1000, LAYERS, prompt=10, tokens=5, batch=1)
    assert found("model_flops_per_second", TRIAL).value == pytest.approx(flops / 5)
    used = found("model_flops_utilisation_ratio", TRIAL, Assumptions(peak_flops=1e6))
    assert used.value == pytest.approx(flops / 5 / 1e6)
    assert "2 x parameters per token processed + 4 x attention width" in used.method
    assert "set by the user" in used.method


def test_that_flops_count_what_was_in_the_cache_before_the_request() -> None:
    """Depth 100: the three positions attend to 101, 102 and 103 tokens."""
    assert request_flops(1000, LAYERS, prompt=2, tokens=2, batch=1, depth=100) == 6000 + 4 * 2 * 8 * (101 + 102 + 103)
    deep = found("model_flops_per_second", [Environment(facts={"workload.depth_tokens": "100"}), *TRIAL])
    assert deep.value == pytest.approx(2 * request_flops(1000, LAYERS, 10, 5, 1, depth=100) / 5)
    assert "100 tokens in the cache" in deep.method
    windowed = (LayerGroup(1, 8, 0), LayerGroup(1, 8, 0, window=102))
    flops = request_flops(1000, windowed, prompt=2, tokens=2, batch=1, depth=100)
    assert flops == 6000 + 4 * 8 * (101 + 102 + 103) + 4 * 8 * (101 + 102 + 102)
    flat = found("model_flops_per_second", [Environment(facts={"workload.depth_tokens": "0"}), *TRIAL])
    assert flat == found("model_flops_per_second", TRIAL)


def test_that_flops_go_by_each_layers_window_and_say_what_they_leave_out() -> None:
    def rate(*groups: LayerGroup) -> Value:
        layers = layer_details(Layers(groups))
        return found("model_flops_per_second", [model(vocabulary="100", **layers), *TRIAL[1:]])

    flops = 2 * request_flops(1000, (LayerGroup(1, 8, 4, window=3), LayerGroup(1, 8, 4)), 10, 5, 1)
    assert rate(LayerGroup(1, 8, 4, window=3), LayerGroup(1, 8, 4)).value == pytest.approx(flops / 5)
    assert rate(LayerGroup(2, 8, 4)) == found("model_flops_per_second", TRIAL)
    assert rate(LayerGroup(1, 0, 0)).scope == "without the states that 1 layer without attention may keep"
    unknown = [model(attention_unknown="nobody knows"), *TRIAL[1:]]
    assert found("model_flops_per_second", unknown).scope == "without attention: nobody knows"


def test_that_flops_need_a_peak_and_a_known_shape() -> None:
    assert "peak is not known" in reason("model_flops_utilisation_ratio", TRIAL)
    others = TRIAL[1:]
    bare = found("model_flops_per_second", [model(), *others])
    assert "without attention" in bare.scope
    experts = reason("model_flops_per_second", [model(experts="grouped_mm"), *others])
    assert "mixture of experts" in experts
    few = found("model_flops_per_second", [model(experts="grouped_mm", active_parameters="250"), *others])
    assert few.value == pytest.approx(bare.value / 4)


ALL_SET = Assumptions(watts_per_core=12.0, price_per_kwh=0.3, carbon_grams_per_kwh=400.0, peak_flops=1e12)


def test_that_estimates_need_what_the_user_sets_and_say_it() -> None:
    stream = list(records(FakeTrial()))
    estimates = [m for m in METRICS if m.estimate]
    assert len(estimates) == 4
    for m in estimates:
        assert "estimate" in m.title
        assert m.definition.startswith("An estimate")
        assert "Set the " in reason(m.id, stream)
        value = found(m.id, stream, ALL_SET)
        assert value.method.startswith("estimate")
        assert "set by the user" in value.method


def test_that_an_estimate_never_becomes_a_measured_value() -> None:
    stream = list(records(FakeTrial()))
    for id in ("energy_joules", "power_mean_watts", "energy_per_token_joules", "energy_net_joules"):
        assert reason(id, stream, ALL_SET) == reason(id, stream)
    guessed = found("cost_per_million_tokens", stream, ALL_SET)
    measured = found("cost_per_million_tokens", list(records(FakeTrial(device="gpu"))), ALL_SET)
    assert "itself an estimate" in guessed.scope
    assert "measured energy of the device" in measured.scope
    assert metric("cost_per_million_tokens").same_scope
    assert "GPU" in reason("energy_estimate_joules", list(records(FakeTrial(device="gpu"))), ALL_SET)


def test_a_worked_example_of_cost_and_co2e() -> None:
    """125 J a token: 125 MJ for a million, 34.72 kWh."""
    assert found("cost_per_million_tokens", TRIAL, ALL_SET).value == pytest.approx(125e6 / 3.6e6 * 0.3)
    assert found("co2e_per_million_tokens_grams", TRIAL, ALL_SET).value == pytest.approx(125e6 / 3.6e6 * 400)
    assert found("cost_per_million_tokens", TRIAL, Assumptions(price_per_kwh=0.0)).value == 0.0


@pytest.mark.parametrize(
    "wrong",
    [{"watts_per_core": 0.0}, {"peak_flops": -1.0}, {"price_per_kwh": float("nan")}, {"carbon_grams_per_kwh": -0.1}],
)
def test_that_assumptions_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Assumptions(**wrong)


def test_that_the_cache_is_what_the_engine_measured_or_a_sentence() -> None:
    told = Environment(facts={"cache.bytes_per_token": "46080"})
    assert found("kv_cache_bytes_per_token", [*TRIAL, told]).value == 46080
    assert found("kv_cache_bytes_per_token", [*TRIAL, told]).scope == ""
    windowed = model(**layer_details(Layers((LayerGroup(1, 8, 4, 512), LayerGroup(1, 8, 0, 64), LayerGroup(1, 8, 4)))))
    assert found("kv_cache_bytes_per_token", [windowed, *TRIAL[1:], told]).scope == "up to 512 tokens"
    none = Environment(facts={"cache.problem": "The model keeps no cache that grows with the tokens."})
    assert reason("kv_cache_bytes_per_token", [*TRIAL, none]) == none.facts["cache.problem"]


def test_that_the_cache_of_a_request_is_shared_out_over_its_sequences() -> None:
    told = Environment(facts={"cache.bytes": "3072", "cache.sequences": "2", "cache.tokens": "191"})
    assert found("cache_bytes", [*TRIAL, told]).value == 1536
    assert found("cache_bytes", [*TRIAL, told]).scope == "191 tokens"
    for missing in ({}, {"cache.bytes": "0", "cache.sequences": "1", "cache.tokens": "1"}):
        assert reason("cache_bytes", [*TRIAL, Environment(facts=missing)]).startswith("The engine did not count")


def test_that_memory_has_its_share_of_the_device_where_its_size_is_told() -> None:
    stream = list(records(FakeTrial()))
    share, mean = found("memory_mean_ratio", stream).value, found("memory_mean_bytes", stream).value
    assert share == pytest.approx(mean / (8 << 30))
    untold = [r for r in stream if not isinstance(r, Environment)]
    assert "was not recorded" in reason("memory_mean_ratio", untold)


def test_that_chance_is_guessing_evenly_over_the_vocabulary() -> None:
    stream = list(records(FakeTrial(perplexity=49152.0)))
    assert found("above_chance_ratio", stream).value == pytest.approx(0.0, abs=1e-12)
    assert 0.7 < found("above_chance_ratio", list(records(FakeTrial()))).value < 0.73


def test_that_a_power_meter_of_the_processor_serves_a_trial_on_it() -> None:
    stream = [r for r in TRIAL if not isinstance(r, Telemetry | ModelLoaded | Sensors)]
    own = [model("cpu"), *stream, readings(WATTS, source="rapl")]
    assert found("energy_joules", own).value == pytest.approx(1250)
    assert found("energy_joules", own).method.startswith("RAPL")
    dark = [msgspec.structs.replace(r, columns={}) if isinstance(r, Telemetry) else r for r in own]
    assert "Energy was not read in this trial." in reason("energy_joules", dark)
