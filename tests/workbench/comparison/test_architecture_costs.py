"""Cost against length from stored trials: curves, exponents and crossings, in figures, words and a chart."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import msgspec
import pytest

from engines.techniques import axes
from tests.workbench.synthetic_lengths import lengths_detail
from workbench.charts.lengths import length_chart
from workbench.comparison.architecture.costs import LengthCost, costs_of, sentences
from workbench.comparison.comparison import compare
from workbench.comparison.trials import ConfigurationTrials
from workbench.export.bundle import export_comparison
from workbench.export.tables import comparison_json
from workbench.plan.labels import OF_ENGINE, axis_label
from workbench.statistics.crossing import Crossing
from workbench.statistics.power_law import PowerLaw, Refusal
from workbench.store.operations import ExperimentDetail

GROWING = {"cache_bytes": lambda n: 576.0 * (n + 7), "inter_token_latency_s": lambda n: 1e-3 * n**0.5}
FLAT = {"cache_bytes": lambda n: 1e6, "inter_token_latency_s": lambda n: 0.04}


def found(detail: ExperimentDetail, against: str | None = None) -> dict[str, LengthCost]:
    kept = {c.configuration: ConfigurationTrials(c, detail, False) for c in detail.configurations}
    return {cost.metric: cost for cost in costs_of(detail, kept, against)}


def test_that_configurations_that_differ_in_length_alone_are_one_curve() -> None:
    costs = found(lengths_detail({"GQA": GROWING, "Mamba": FLAT}))
    assert list(costs) == ["cache_bytes", "inter_token_latency_s"]
    assert [c.title for c in costs["cache_bytes"].curves] == ["GQA", "Mamba"]
    curve = costs["cache_bytes"].curves[0]
    assert curve.configurations == {n + 7: f"c-GQA-{n}" for n in (512, 1024, 2048, 4096)}, (
        "8 new tokens, of which one is not kept"
    )
    assert isinstance(curve.law, PowerLaw)
    assert (round(curve.law.exponent, 9), curve.law.interval) == (1, None)


def test_that_a_crossing_has_its_interval_against_the_chosen_curve() -> None:
    detail = lengths_detail({"GQA": GROWING, "Mamba": FLAT})
    (pair,) = found(detail)["inter_token_latency_s"].pairs
    assert (pair.first, pair.second) == ("Mamba", "GQA")
    assert isinstance(pair.found, Crossing)
    (place,) = pair.found.places
    assert place.interval.low < 1600 < place.interval.high
    assert place.then == "first"
    (other,) = found(detail, "c-Mamba-512")["inter_token_latency_s"].pairs
    assert (other.first, other.second) == ("GQA", "Mamba")


def test_that_the_words_carry_every_interval() -> None:
    costs = found(lengths_detail({"GQA": GROWING, "Mamba": FLAT}))
    grows, crosses = sentences(costs["cache_bytes"])
    assert grows == (
        "Cache of a sequence against cache length: GQA grows with exponent 1 (counted); Mamba does not grow (counted)."
    )
    assert crosses == ("Mamba: cache of a sequence more than GQA at first, less from 1,700 tokens on [1,031, 2,055].")
    grows, crosses = sentences(costs["inter_token_latency_s"])
    assert "GQA grows with exponent 0.499 [0.493, 0.506]" in grows
    assert "Mamba shows no growth (exponent 0.00 [-0.01, 0.02])" in grows
    assert "slower than GQA at first, faster from 1," in crosses
    assert "tokens on [1," in crosses


def test_that_curves_that_do_not_cross_are_said_not_to_in_the_measured_range() -> None:
    half = {"cache_bytes": lambda n: 288.0 * (n + 7)}
    _, said = sentences(found(lengths_detail({"GQA": GROWING, "MQA": half}))["cache_bytes"])
    assert said == (
        "MQA: cache of a sequence less than GQA from 519 to 4,103 tokens, no crossing in the measured range."
    )


def test_that_speed_of_a_reference_implementation_has_no_exponent_and_no_crossing() -> None:
    facts = {"Mamba": {"architecture.implementation": "reference implementation (sequential scan)"}}
    costs = found(lengths_detail({"GQA": GROWING, "Mamba": FLAT}, facts=facts))
    slow = costs["inter_token_latency_s"]
    assert isinstance(slow.curves[1].law, Refusal)
    assert isinstance(slow.pairs[0].found, Refusal)
    assert isinstance(costs["cache_bytes"].pairs[0].found, Crossing), "what is counted does not depend on the code"


def test_that_one_length_is_no_curve() -> None:
    assert found(lengths_detail({"GQA": GROWING}, lengths=(512,))) == {}


def test_that_two_lengths_cross_and_have_no_exponent() -> None:
    cost = found(lengths_detail({"GQA": GROWING, "Mamba": FLAT}, lengths=(512, 4096)))["cache_bytes"]
    assert isinstance(cost.curves[0].law, Refusal)
    assert "three" not in sentences(cost)[0]
    assert "3 lengths or more; there are 2" in sentences(cost)[0]


def test_that_the_chart_has_curves_on_log_axes_and_a_ring_with_its_interval() -> None:
    detail = lengths_detail({"GQA": GROWING, "Mamba": FLAT})
    comparison, cost = compare(detail), found(detail)["inter_token_latency_s"]
    chart = length_chart(comparison, cost)
    assert (chart.x.log, chart.y.log, chart.x.unit, chart.empty) == (True, True, "tokens", "")
    assert [s.style for s in chart.series] == ["points", "points", "markers"]
    ring = chart.series[-1]
    assert ring.hollow
    assert ring.x_low[0] < ring.x[0] < ring.x_high[0]
    assert ring.y[0] == pytest.approx(40, rel=0.05), "on its curve, in ms"
    hidden = frozenset(c.configuration for c in detail.configurations if c.model == "GQA")
    assert [s.key for s in length_chart(comparison, cost, hidden).series] == ["Mamba"], "no ring without both curves"


def test_that_a_comparison_says_it_and_an_export_has_table_and_charts(tmp_path: Path) -> None:
    comparison = compare(lengths_detail({"GQA": GROWING, "Mamba": FLAT}))
    assert [cost.metric for cost in comparison.costs] == ["cache_bytes", "inter_token_latency_s"]
    assert any("Mamba: cache of a sequence more than GQA at first" in note for note in comparison.footnotes)
    written = {p.name for p in export_comparison(comparison, tmp_path, formats=("csv", "svg"))}
    assert {"lengths-lengths.csv", "lengths-cache-of-a-sequence-against-length.svg"} <= written
    lines = (tmp_path / "lengths-lengths.csv").read_text().splitlines()
    said = [line for line in lines if line.startswith("# ")]
    assert any("less from 1,700 tokens on [1,031, 2,055]" in line for line in said)
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert len(rows) == 2 * 2 * 4
    first = rows[0]
    assert (first["curve"], first["length_tokens"], float(first["value"])) == ("GQA", "519", 576 * 519)
    assert (float(first["line"]), first["shape"], first["exponent_low"]) == (pytest.approx(576 * 519), "straight", "")
    image = (tmp_path / "lengths-inter-token-latency-against-length.svg").read_text()
    assert "Mamba 1," in image, "the ring has its figure"


def test_that_kinds_of_attention_keep_their_names_beside_the_engines_kernel() -> None:
    """Both were labelled "attention", and every curve was called sdpa."""
    assert not OF_ENGINE & {axis_label(axis.id) for axis in axes()}
    detail = lengths_detail({"one": GROWING, "two": FLAT})
    of_each = {"one": "attention.mha", "two": "attention.mqa"}
    changed = tuple(
        msgspec.structs.replace(
            row,
            model="shape",
            resolved=json.dumps(
                json.loads(row.resolved)
                | {"model": {"ref": "shape", "title": "shape", "kind": "random"}}
                | {"techniques": [{"id": of_each[row.model]}]}
                | {"engine": {"id": "transformers", "settings": {"attention": "sdpa"}}}
            ),
        )
        for row in detail.configurations
    )
    costs = found(msgspec.structs.replace(detail, configurations=changed))
    assert [c.title for c in costs["cache_bytes"].curves] == ["Multi-head attention", "Multi-query attention"]


def test_that_json_has_curves_laws_and_crossings_with_their_intervals() -> None:
    facts = {"Mamba": {"architecture.implementation": "reference implementation: sequential scan"}}
    comparison = compare(lengths_detail({"GQA": GROWING, "Mamba": FLAT}, facts=facts))
    cache, time = json.loads(json.dumps(comparison_json(comparison)))["lengths"]
    (crossing,) = cache["crossings"][0]["crossings"]
    assert (crossing["low"], crossing["lower_from_there"]) == (pytest.approx(1031), "first")
    law = cache["curves"][0]["power_law"]
    assert (law["exponent"], law["low"], law["shape"]) == (pytest.approx(1), None, "straight")
    assert [p["trials"] for p in cache["curves"][0]["points"]] == [3] * 4
    assert time["curves"][1]["power_law"] is None
    assert "reference implementation" in time["curves"][1]["reason"]
    assert time["crossings"][0]["crossings"] is None


def test_that_without_a_sweep_nothing_of_it_is_said(tmp_path: Path) -> None:
    comparison = compare(lengths_detail({"GQA": GROWING}, lengths=(512,)))
    assert comparison.costs == ()
    assert not any("against prompt length" in note for note in comparison.footnotes)
    assert [p.name for p in export_comparison(comparison, tmp_path, formats=("csv",))] == ["lengths.csv"]
