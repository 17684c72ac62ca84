"""What differed about where trials ran: two of them, two configurations, an experiment in itself."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.workbench.synthetic_experiment import experiment_detail
from workbench.comparison.comparison import compare
from workbench.machines.environment_diff import (
    NOT_RECORDED,
    EnvironmentDiff,
    Line,
    compare_environments,
    numbers,
    order_facts,
    side_of,
    told_apart,
)
from workbench.machines.environment_facts import GROUPS, fact_kind, fact_text
from workbench.machines.environment_notes import changes, environment_notes, essentials
from workbench.store.operations import ExperimentDetail

BASE = {
    "package.torch": "2.13.0",
    "worker.threads": "1",
    "cpu.governor": "performance",
    "cpu.model": "Example CPU",
    "power.source": "mains",
    "memory.total_bytes": str(16 << 30),
    "host.boot": "63df1c18-9abe",
}


@pytest.fixture(scope="module")
def plain() -> ExperimentDetail:
    return experiment_detail(blocks=2, fail=False, disturb=False)


def told(detail: ExperimentDetail, changed: dict[int, dict[str, str | None]]) -> ExperimentDetail:
    """The detail with `BASE` as every trial's facts, `changed` by trial number; None takes a fact away."""
    environments = {}
    for place, trial in enumerate(detail.trials):
        facts = BASE | {"load.average_1m": f"0.{place}", "template.pid": str(4000 + place)}
        mine = changed.get(trial.number, {})
        merged: dict[str, str | None] = {**facts, **mine}
        environments[trial.trial] = {name: value for name, value in merged.items() if value is not None}
    return msgspec.structs.replace(detail, environments=environments)


def of_trials(detail: ExperimentDetail, *wanted: int) -> EnvironmentDiff:
    ids = {t.number: t.trial for t in detail.trials}
    return compare_environments(*(side_of(detail, [ids[n]], f"Trial {n}") for n in wanted))


def line(diff: EnvironmentDiff, name: str) -> Line:
    return next(line for line in diff.lines if line.name == name)


def test_that_what_differs_is_apart_from_what_moves_and_what_is_the_same(plain: ExperimentDetail) -> None:
    diff = of_trials(told(plain, {2: {"package.torch": "2.12.0"}}), 1, 2)
    assert "package.torch" in [x.name for x in diff.differing]
    assert line(diff, "package.torch").values == ("2.13.0", "2.12.0")
    assert line(diff, "package.torch").matters
    assert {x.name for x in diff.moving} == {"load.average_1m", "template.pid"}
    assert {"cpu.governor", "worker.threads", "memory.total_bytes"} <= {x.name for x in diff.same}
    assert line(diff, "memory.total_bytes").values == ("16.0 GiB", "16.0 GiB")
    assert not any(x.differs for x in diff.same)


def test_that_lines_stand_in_the_order_of_the_groups_with_what_matters_first(plain: ExperimentDetail) -> None:
    diff = of_trials(told(plain, {2: {"cpu.governor": "powersave", "host.product": "X", "package.torch": "2"}}), 1, 2)
    places = [(GROUPS.index(x.group), not x.matters) for x in diff.differing]
    assert len(places) >= 3
    assert places == sorted(places)


def test_that_the_order_is_part_of_what_is_run(plain: ExperimentDetail) -> None:
    by_name = {t.configuration: t.number for t in plain.trials}
    diff = of_trials(plain, by_name["c-float32"], by_name["c-int8"])
    assert line(diff, "order.precision").values == ("float32", "int8")
    assert not [x for x in diff.lines if x.name.startswith(("order.trial", "order.seed", "order.color"))]
    same = of_trials(plain, by_name["c-int8"], by_name["c-int8"])
    assert not same.differing
    assert not same.moving


def test_that_a_fact_one_trial_did_not_tell_differs_between_trials_but_not_within_a_side(
    plain: ExperimentDetail,
) -> None:
    detail = told(plain, {2: {"cpu.governor": None}})
    assert line(of_trials(detail, 1, 2), "cpu.governor").values == ("performance", NOT_RECORDED)
    whole = compare_environments(side_of(detail, [t.trial for t in detail.trials], "all"))
    assert not line(whole, "cpu.governor").differs


def test_that_a_side_of_several_trials_says_which_of_them_had_which_value(plain: ExperimentDetail) -> None:
    detail = told(plain, {2: {"package.torch": "2.12.0"}, 3: {"package.torch": "2.12.0"}})
    diff = compare_environments(side_of(detail, [t.trial for t in detail.trials], "all"))
    assert line(diff, "package.torch").values == ("2.13.0 (trials 1, 4 to 8); 2.12.0 (trials 2, 3)",)
    assert line(diff, "load.average_1m").values == ("0.0 to 0.7",)
    assert line(diff, "order.precision").values == ("4 different values",)


def test_that_an_unknown_trial_and_an_empty_side_show_nothing_instead_of_failing(plain: ExperimentDetail) -> None:
    empty = compare_environments(side_of(plain, ["no-such-trial"], "nothing"))
    assert empty.lines == ()
    assert compare_environments().lines == ()


@pytest.mark.parametrize("resolved", ["", "no json", "[1]", "3", '{"techniques": 7}', '{"techniques": [3, {"id": 4}]}'])
def test_that_a_broken_order_tells_nothing(resolved: str) -> None:
    assert order_facts(resolved) == {}


def test_that_parameters_of_a_technique_and_nested_values_are_told() -> None:
    resolved = {
        "techniques": [{"id": "precision.int9", "parameters": {"group": 32}}],
        "model": {"config": {"hidden_size": 64, "tie": True}, "path": ""},
        "engine": {"threads": 0},
        "trial": "t1",
    }
    assert order_facts(json.dumps(resolved)) == {
        "order.precision": "int9 (group 32)",
        "order.model.config.hidden_size": "64",
        "order.model.config.tie": "true",
        "order.engine.threads": "0",
    }


# --- notes ----------------------------------------------------------------------------------------


def test_that_a_shared_environment_carries_no_note(plain: ExperimentDetail) -> None:
    assert environment_notes(told(plain, {})) == ()
    assert environment_notes(msgspec.structs.replace(plain, environments={})) == ()


def test_that_a_change_within_a_block_is_named_with_its_trials(plain: ExperimentDetail) -> None:
    detail = told(plain, {2: {"cpu.governor": "powersave"}})
    (note,) = environment_notes(detail)
    assert "Processor governor: performance (trials 1, 3 to 8), powersave (trial 2)" in note
    assert "ratios may show this" in note
    assert compare(detail).footnotes[0] == note


def test_that_a_change_between_blocks_is_said_to_touch_ratios_less(plain: ExperimentDetail) -> None:
    second = {t.number: {"power.source": "battery"} for t in plain.trials if t.block == 1}
    (note,) = environment_notes(told(plain, second))
    assert "Power source: mains (trials 1 to 4), battery (trials 5 to 8)" in note
    assert "Within each block it was the same" in note


def test_that_nodes_of_a_cluster_are_named_first_and_whether_blocks_span_them(plain: ExperimentDetail) -> None:
    here, there = {"host.name": "node01"}, {"host.name": "node02", "cpu.model": "Other CPU"}
    by_block = {t.number: there if t.block == 1 else here for t in plain.trials}
    (note,) = environment_notes(told(plain, dict(by_block)))
    assert "one environment. Computer: node01 (trials 1 to 4), node02 (trials 5 to 8); Processor: " in note
    assert "Within each block it was the same" in note
    (note,) = environment_notes(told(plain, {**by_block, 2: there}))
    assert "Computer: node01 (trials 1, 3, 4), node02 (trials 2, 5 to 8)" in note
    assert "ratios may show this" in note


def test_that_another_machine_that_was_asked_for_is_no_note(plain: ExperimentDetail) -> None:
    first, *others = plain.configurations
    resolved = json.dumps(json.loads(first.resolved) | {"machine": "lab"})
    detail = msgspec.structs.replace(plain, configurations=(msgspec.structs.replace(first, resolved=resolved), *others))
    there = {"host.name": "lab", "cpu.model": "Other CPU"}
    sent = {t.number: there for t in detail.trials if t.configuration == first.configuration}
    assert environment_notes(told(detail, dict(sent))) == ()
    (number, *_) = sent
    (note,) = environment_notes(told(detail, {**sent, number: {"host.name": "lab2", "cpu.model": "Other CPU"}}))
    assert f"Computer: lab2 (trial {number})" in note


@pytest.mark.parametrize("name", ["load.average_1m", "template.pid", "host.boot", "worker.seed", "never.heard_of"])
def test_that_what_moves_or_does_not_matter_is_no_note(plain: ExperimentDetail, name: str) -> None:
    assert environment_notes(told(plain, {2: {name: "something else"}})) == ()


def test_that_a_sweep_over_threads_is_no_note_but_threads_that_moved_are(plain: ExperimentDetail) -> None:
    rows = []
    for place, row in enumerate(plain.configurations):
        resolved = json.loads(row.resolved)
        resolved["engine"]["threads"] = place + 1
        rows.append(msgspec.structs.replace(row, resolved=json.dumps(resolved)))
    swept = msgspec.structs.replace(plain, configurations=tuple(rows))
    place_of = {row.configuration: place for place, row in enumerate(rows)}
    threads = {t.number: {"worker.threads": str(place_of[t.configuration] + 1)} for t in plain.trials}
    assert environment_notes(told(swept, dict(threads))) == ()
    one = plain.trials[5]
    assert place_of[one.configuration] + 1 != 9
    (found,) = changes(told(swept, {**threads, one.number: {"worker.threads": "9"}}))
    assert found.name == "worker.threads"
    assert [t.number for t in found.values["9"]] == [one.number]
    assert sum(len(trials) for trials in found.values.values()) == 2, "only trials of that configuration are compared"


def test_that_a_failed_trial_is_not_held_against_the_environment() -> None:
    detail = experiment_detail(blocks=2, disturb=False)
    failed = next(t for t in detail.trials if t.outcome == "failed")
    assert environment_notes(told(detail, {failed.number: {"cpu.governor": "powersave"}})) == ()


def test_that_many_changes_are_counted_not_listed(plain: ExperimentDetail) -> None:
    many = {f"package.p{i}": "2" for i in range(9)}
    (note,) = environment_notes(told(plain, {1: dict.fromkeys(many, "1"), 2: dict(many)}))
    assert "; and 5 more." in note


def test_that_the_essentials_fit_a_line_and_name_what_differs() -> None:
    first = BASE | {"worker.start_method": "template"}
    assert essentials([first, first]) == "Example CPU · 1 thread · torch 2.13.0 · started from a template"
    second = first | {"package.torch": "2.12.0", "power.source": "battery"}
    said = essentials([first, second])
    assert said.endswith("different between trials: torch, Power source")
    assert "torch 2.13.0" not in said
    assert essentials([]) == essentials([{}]) == ""


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("memory.total_bytes", "25276502016", "23.5 GiB"),
        ("cpu.clock_max_hertz", "4200000000", "4.20 GHz"),
        (
            "cpu.clock_max_hertz",
            "not available: this machine does not tell",
            "not available: this machine does not tell",
        ),
        ("gpu.0.power_limit_watts", "700", "700 W"),
        ("temperature.start_celsius", "61", "61 °C"),
        ("telemetry.rate_hz", "10", "10 Hz"),
        ("cooldown.waited_s", "75", "1 min 15 s"),
        ("cache.bytes_per_token", "46080", "45.0 KiB/token"),
        ("host.boot", "63df1c18-9abe-4f2e-9593-d494f16e0f95", "63df1c18"),
        ("project.commit", "not available: not run from a git checkout", "not available: not run from a git checkout"),
        ("package.torch", "2.13.0", "2.13.0"),
    ],
)
def test_that_values_carry_units_for_people(name: str, value: str, text: str) -> None:
    assert fact_text(name, value) == text


def test_that_every_fact_has_a_title_and_a_group() -> None:
    assert fact_kind("package.torch").title == "torch"
    assert fact_kind("variable.OMP_NUM_THREADS").title == "OMP_NUM_THREADS"
    assert (fact_kind("variable.HF_HOME").title, fact_kind("variable.HF_HOME").nature) == ("HF_HOME", "plain")
    assert fact_kind("client.not_passed_on").title.startswith("Variables not passed on")
    assert fact_kind("gpu.0.power_limit_watts").title == "GPU power limit"
    assert fact_kind("order.workload.prompt_tokens").title == "Workload, prompt tokens"
    assert fact_kind("order.precision").title == "Precision"
    assert fact_kind("strange").group == "Other"
    assert fact_kind("").group == "Other"


def test_that_runs_of_trials_are_drawn_together() -> None:
    assert numbers([4]) == "trial 4"
    assert numbers([2, 1]) == "trials 1, 2"
    assert numbers([7, 1, 2, 3, 3]) == "trials 1 to 3, 7"


def test_that_long_texts_keep_their_first_difference_in_sight() -> None:
    first, second = "built with " * 10 + "AVX2 and more", "built with " * 10 + "AVX512 and more"
    assert told_apart([first, second], 30) == ("…lt with AVX2 and more", "…lt with AVX512 and more")
    assert told_apart(["short", "other"], 30) == ("short", "other")
    same = told_apart([first, first], 30)
    assert same[0] == same[1] == first[:29] + "…"
    assert all(len(t) <= 30 for t in told_apart(["a" * 100, "a" * 100 + "b"], 30))
    assert told_apart(["a" * 100, ""], 10)[1] == ""
