"""What can be compared between engines, by rule; trade-offs of quality and their Pareto front."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.workbench.synthetic_experiment import experiment_detail
from workbench.charts.stored import bar_chart, point_names, scatter_chart
from workbench.comparison.comparability import Finding, comparability, comparability_notes
from workbench.comparison.comparison import compare
from workbench.comparison.trade_offs import front_line, pareto_front, quality_metric, trade_offs
from workbench.store.operations import ExperimentDetail

DETAIL = experiment_detail(2, fail=False, disturb=False)
LLAMA = ("int8", "float16")
"""Configurations of the synthetic experiment that are made to run on the other engine."""


def changed(detail: ExperimentDetail, name: str, **parts: dict[str, Any]) -> ExperimentDetail:
    """One configuration's order with other values: `engine={"id": "llama.cpp"}`."""
    rows = []
    for row in detail.configurations:
        if row.configuration == f"c-{name}":
            order = json.loads(row.resolved)
            for part, values in parts.items():
                if part == "techniques":
                    order[part] = values
                else:
                    order[part] = {**order.get(part, {}), **values}
            row = replace(row, resolved=json.dumps(order))
        rows.append(row)
    return replace(detail, configurations=tuple(rows))


def two_engines(detail: ExperimentDetail = DETAIL) -> ExperimentDetail:
    for name in LLAMA:
        detail = changed(
            detail, name, engine={"id": "llama.cpp", "settings": {"memory_map": True, "micro_batch_tokens": 512}}
        )
    return detail


def told(detail: ExperimentDetail, topic: str) -> Finding | None:
    return next((f for f in comparability(detail) if f.topic == topic), None)


def with_fact(detail: ExperimentDetail, names: tuple[str, ...], fact: str, value: str) -> ExperimentDetail:
    mine = {t.trial for t in detail.trials if t.configuration in {f"c-{n}" for n in names}}
    environments = {t: {**f, fact: value} if t in mine else f for t, f in detail.environments.items()}
    return replace(detail, environments=environments)


def test_that_one_engine_is_no_reason_for_notes() -> None:
    assert {f.topic for f in comparability(DETAIL)} <= {"origin"}


def test_that_the_same_files_are_named_as_such() -> None:
    found = told(two_engines(), "weights")
    assert found.comparable is True
    assert "made from them" in found.text


def test_that_different_files_say_that_the_weights_may_be_the_difference() -> None:
    detail = two_engines()
    for name in LLAMA:
        detail = changed(detail, name, model={"kind": "gguf", "fingerprint": "other"})
    found = told(detail, "weights")
    assert found.comparable is False
    assert "GGUF" in found.text


def test_that_without_a_fingerprint_nothing_is_claimed() -> None:
    found = told(changed(two_engines(), "int8", model={"fingerprint": ""}), "weights")
    assert "not known" in found.text


def test_that_perplexity_over_the_same_tokens_is_comparable_and_over_others_is_not() -> None:
    detail = two_engines()
    same = told(detail, "tokens")
    assert same.comparable is True
    mine = {t.trial for t in detail.trials if t.configuration in {f"c-{n}" for n in LLAMA}}
    metrics = tuple(
        replace(m, scope="498 tokens, 2,210 bytes") if m.trial in mine and m.metric == "perplexity" else m
        for m in detail.metrics
    )
    other = told(replace(detail, metrics=metrics), "tokens")
    assert other.comparable is False
    assert "bits per byte" in other.text
    comparison = compare(replace(detail, metrics=metrics))
    assert quality_metric(comparison) == "bits_per_byte"
    assert all(t.up == "bits_per_byte" for t in trade_offs(comparison))


def test_that_mapped_pages_are_named_only_where_a_file_is_mapped() -> None:
    assert told(two_engines(), "memory") is not None
    read = two_engines()
    for name in LLAMA:
        read = changed(read, name, engine={"settings": {"memory_map": False}})
    assert told(read, "memory") is None


def test_that_repacked_weights_are_named_where_a_trial_said_so() -> None:
    assert "repacks" not in str(told(two_engines(), "memory"))
    detail = with_fact(two_engines(), LLAMA, "llama.load.extra_buffers", "yes")
    assert "repacks" in str(told(detail, "memory"))


def test_that_full_is_not_the_same_cache_in_both_engines() -> None:
    found = told(two_engines(), "kv_cache")
    assert "float16 in llama.cpp" in found.text
    quantised = changed(
        two_engines(),
        "int8",
        techniques=[{"id": "precision.q8_0"}, {"id": "kv_cache.q4_0"}],  # type: ignore[arg-type]
    )
    both = str(told(quantised, "kv_cache"))
    assert "Q4_0 beside full" in both
    assert "float16 in llama.cpp" in both, "the other configurations are at full precision in both engines"


def test_that_long_prompts_and_batches_say_how_each_engine_computes_them() -> None:
    assert told(two_engines(), "batch") is None
    detail = two_engines()
    for name in ("float32", "bfloat16", *LLAMA):
        detail = changed(detail, name, workload={"prompt_tokens": 2048, "batch_size": 4})
    found = told(detail, "batch")
    assert "at most 512 tokens" in found.text
    assert "one pass in transformers" in found.text


def test_that_weights_that_were_quantised_twice_say_so() -> None:
    detail = changed(two_engines(), "int8", techniques=[{"id": "precision.q4_k_m"}])  # type: ignore[arg-type]
    found = told(detail, "origin")
    assert "Q4_K_M" in found.text
    assert "had been quantised before" in found.text
    assert told(changed(DETAIL, "int8", model={"origin": ""}), "origin") is None
    for stored, said in (("Q4_K", True), ("IQ3_S", True), ("MXFP4", True), ("TQ1_0", True), ("float16", False)):
        again = told(changed(DETAIL, "int8", model={"origin": f"stored as {stored}"}), "origin")
        assert (again is not None) == said, stored


def test_that_ways_of_starting_are_named_where_they_differ() -> None:
    assert told(two_engines(), "start") is None
    detail = with_fact(two_engines(), LLAMA, "worker.start_method", "plain")
    detail = with_fact(detail, ("float32", "bfloat16"), "worker.start_method", "template")
    assert "load times" in str(told(detail, "start"))
    assert "is not shown" in str(told(detail, "start")), "docs/results/start-methods.md has no equivalence"


def test_that_the_findings_are_footnotes_of_every_comparison() -> None:
    detail = two_engines()
    notes = comparability_notes(detail)
    assert notes
    assert set(notes) <= set(compare(detail).footnotes)


@pytest.mark.parametrize("resolved", ["", "not json", "[]", '{"engine": 3, "techniques": {}, "model": []}'])
def test_that_damaged_orders_are_passed_over(resolved: str) -> None:
    broken = tuple(replace(c, resolved=resolved) for c in DETAIL.configurations)
    assert isinstance(comparability(replace(DETAIL, configurations=broken)), tuple)


# --- trade-offs ---------------------------------------------------------------------------------------


def test_that_quality_is_set_against_memory_speed_and_energy_with_reasons() -> None:
    found = {t.id: t for t in trade_offs(compare(DETAIL))}
    assert (found["memory"].across, found["memory"].up, found["memory"].reason) == (
        "memory_mean_bytes",
        "perplexity",
        "",
    )
    assert found["speed"].across == "decode_tokens_per_second"
    assert "not available" in found["energy"].reason  # this machine has no power sensor


def test_that_the_front_of_a_worked_example_is_found() -> None:
    # memory and perplexity, both lower: (1, 9) and (2, 5) and (4, 4) stand; (3, 6) and (4, 5) are beaten
    points = [(4.0, 4.0), (3.0, 6.0), (1.0, 9.0), (2.0, 5.0), (4.0, 5.0)]
    assert pareto_front(points, "lower", "lower") == (2, 3, 0)
    assert front_line(points, "lower", "lower") == ((1, 9), (2, 9), (2, 5), (4, 5), (4, 4))


def test_that_higher_is_better_turns_the_front_around() -> None:
    points = [(10.0, 4.0), (20.0, 5.0), (15.0, 6.0)]
    assert pareto_front(points, "higher", "lower") == (0, 1)
    assert front_line(points, "higher", "lower") == ((10, 4), (10, 5), (20, 5))


def test_that_one_point_has_no_line() -> None:
    assert front_line([(1.0, 1.0), (2.0, 2.0)], "lower", "lower") == ()
    assert front_line([], "lower", "lower") == ()


_NUMBER = st.integers(0, 6).map(float)


@given(st.lists(st.tuples(_NUMBER, _NUMBER), max_size=12), st.sampled_from(["lower", "higher"]))
def test_that_nothing_on_the_front_is_beaten_and_everything_off_it_is(
    points: list[tuple[float, float]], better: str
) -> None:
    front = set(pareto_front(points, better, "lower"))
    sign = 1 if better == "lower" else -1
    for i, (x, y) in enumerate(points):
        beats = [(a, b) for a, b in points if sign * a <= sign * x and b <= y and (a, b) != (x, y)]
        assert (i in front) == (not beats)


# --- the chart --------------------------------------------------------------------------------------------


def test_that_both_engines_stand_in_one_chart_told_apart_by_open_markers() -> None:
    chart = scatter_chart(compare(two_engines()), "memory_mean_bytes", "perplexity")
    assert {s.key: s.hollow for s in chart.series} == {
        "c-float32": False,
        "c-bfloat16": False,
        "c-int8": True,
        "c-float16": True,
    }
    assert [s.labels[0] for s in chart.series] == ["float32", "bfloat16", "int8", "float16"]
    assert "Filled: transformers; open: llama.cpp." in chart.notes
    assert any("Pareto" in note for note in chart.notes)
    assert len(chart.front) > 2


def test_that_bars_of_the_other_engine_are_open_and_the_chart_says_so() -> None:
    compared = compare(two_engines())
    chart = bar_chart(compared, "memory_mean_bytes")
    assert [s.hollow for s in chart.series] == [False, False, True, True]
    assert "Filled: transformers; open: llama.cpp." in chart.notes
    alone = bar_chart(compared, "memory_mean_bytes", hidden=frozenset({"c-int8", "c-float16"}))
    assert not any("Filled" in note for note in alone.notes)


def test_that_one_engine_has_no_open_markers_and_no_note_about_them() -> None:
    for chart in (
        scatter_chart(compare(DETAIL), "memory_mean_bytes", "perplexity"),
        bar_chart(compare(DETAIL), "perplexity"),
    ):
        assert not any(s.hollow for s in chart.series)
        assert not any("Filled" in note for note in chart.notes)


def test_that_configurations_only_the_engine_tells_apart_are_named_by_it() -> None:
    detail = changed(DETAIL, "bfloat16", techniques=[{"id": "precision.float32"}])  # type: ignore[arg-type]
    names = point_names(compare(changed(detail, "bfloat16", engine={"id": "llama.cpp"})))
    assert (names["c-float32"], names["c-bfloat16"]) == ("float32 · transformers", "float32 · llama.cpp")


def test_that_a_setting_only_one_engine_has_is_no_difference_by_itself() -> None:
    comparison = compare(two_engines())
    assert "attention kernel" not in comparison.varying
    assert comparison.constant["attention kernel"] == "sdpa (transformers)"
    assert "engine" in comparison.varying


def test_that_a_setting_which_differs_within_its_engine_is_a_difference() -> None:
    comparison = compare(changed(two_engines(), LLAMA[0], engine={"settings": {"memory_map": False}}))
    assert "memory map" in comparison.varying
    assert "memory map" not in comparison.constant
