"""Training data of the user's own in a plan: found, hashed, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engines.data.own import find_own
from engines.protocol.messages import Package
from tests.workbench.plan.test_plan import ONE, experiment, messages, probe
from tests.workbench.plan.test_plan_workload import REAL
from workbench.experiment.experiment import Experiment, TechniqueChoice, WorkloadChoice
from workbench.plan.plan import Plan, make_plan, orders

MACHINE = msgspec.structs.replace(
    probe(), packages=(*probe().packages, Package(name="peft", version="0.21.2", gives=""))
)
ROWS = "question,answer\n" + "".join(f"q{n},a{n}\n" for n in range(30))


def asked(**workload: object) -> Experiment:
    chosen = WorkloadChoice.of("training", **workload)  # type: ignore[arg-type]
    techniques = (TechniqueChoice("precision.float32"), TechniqueChoice("finetune.lora"))
    return msgspec.structs.replace(experiment(workload=chosen, seed=1), techniques=techniques)


def planned(folder: Path, **workload: object) -> Plan:
    wanted = asked(**workload)
    return make_plan(wanted, REAL, MACHINE, own=find_own(wanted.workload.first, folder))


def test_that_data_are_found_from_the_experiments_folder_with_their_hash(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(ROWS)
    plan = planned(tmp_path, data="own.csv")
    assert plan.problems == ()
    order = orders(plan, store="s", experiment="e")[0]
    assert order.training.data == str(tmp_path / "own.csv")
    assert order.training.data_hash.startswith("sha256:")


def test_that_the_same_data_in_another_place_are_the_same_configuration(tmp_path: Path) -> None:
    hashes = []
    for name, text in (("a", ROWS), ("b", ROWS), ("c", ROWS + "q,a\n")):
        (tmp_path / f"{name}.csv").write_text(text)
        hashes.append(planned(tmp_path, data=f"{name}.csv").configurations[0].hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_that_bad_rows_are_named_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text(ROWS + "q,\n")
    few = planned(tmp_path, data="few.csv")
    assert [p.severity for p in few.problems] == ["note"]
    assert "1 of 31 rows are left out: line 32 has no response." in messages(few.problems)
    (tmp_path / "many.csv").write_text(ROWS + "q,\n" * 10)
    many = planned(tmp_path, data="many.csv")
    assert [p.severity for p in many.problems] == ["warning"]
    assert "line 34 has no response; …" in messages(many.problems)
    assert many.order


@pytest.mark.parametrize(
    ("data", "said", "fix"),
    [
        ({"data": "none.csv"}, "There is no file", ("workload.data", "built-in")),
        ({"data": "own.csv", "response_column": "answers"}, "no column 'answers'", ("workload.response_column", "")),
        ({"data": "empty.csv"}, "holds no rows", ("workload.data", "built-in")),
    ],
)
def test_that_data_that_cannot_be_used_stop_the_experiment(
    tmp_path: Path, data: dict[str, str], said: str, fix: tuple[str, str]
) -> None:
    (tmp_path / "own.csv").write_text(ROWS)
    (tmp_path / "empty.csv").write_text("")
    plan = planned(tmp_path, **data)
    [problem] = plan.problems
    assert problem.severity == "error"
    assert said in problem.message
    assert [(fix.path, fix.value) for fix in problem.fixes] == [fix]
    assert plan.order == ()


def test_that_data_without_validation_rows_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(ROWS)
    assert "No rows are kept for validation" in messages(planned(tmp_path, data="own.csv", validation_share=0).problems)
    split = "split,text\n" + "train,a\nvalidation,b\n"
    (tmp_path / "split.csv").write_text(split)
    assert planned(tmp_path, data="split.csv", text_column="text", validation_share=0).problems == ()


def test_that_built_in_data_need_no_look_and_others_do(tmp_path: Path) -> None:
    assert make_plan(asked(), REAL, MACHINE).order
    assert planned(tmp_path, data="docstrings").order
    assert "not looked up" in messages(make_plan(asked(data="own.csv"), REAL, MACHINE).problems)


def test_that_a_model_without_a_tokenizer_reads_no_data_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(ROWS)
    for data, runs in (("own.csv", False), ("built-in", True)):
        wanted = asked(data=data)
        plan = make_plan(wanted, ONE, MACHINE, own=find_own(wanted.workload.first, tmp_path))
        assert bool(plan.order) == runs
        assert ("no tokenizer" in messages(plan.configurations[0].problems)) == (not runs)


@pytest.mark.parametrize(("rows", "said"), [(1, "1 row cannot"), (2, "2 different rows cannot"), (3, "")])
def test_that_too_few_different_rows_for_the_splits_are_a_warning(tmp_path: Path, rows: int, said: str) -> None:
    (tmp_path / "own.csv").write_text("question,answer\n" + "".join(f"q{n % rows},a\n" for n in range(12)))
    plan = planned(tmp_path, data="own.csv")
    assert plan.order
    assert [p.severity for p in plan.problems] == (["warning"] if said else [])
    assert said in messages(plan.problems)
    few = planned(tmp_path, data="own.csv", test_share=0)
    assert len(few.problems) == int(rows == 1), "a split less needs a row less"


def test_that_a_file_that_begins_with_a_row_is_a_warning(tmp_path: Path) -> None:
    rows = "".join(f"How do I change my password {n} times a day?,Open Settings\n" for n in range(9))
    (tmp_path / "own.csv").write_text(rows)
    plan = planned(tmp_path, data="own.csv")
    assert "one of them is “How do I change my password 0 times a da…”." in messages(plan.problems)
    (tmp_path / "own.csv").write_text("the prompt,the response\n" + rows)
    assert planned(tmp_path, data="own.csv").problems == ()
