"""Prompts of the user's own and tasks in a plan: found, checked, and what is missing told with its command."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engines.data.own import FoundPrompts, find_own
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import Package
from engines.protocol.orders import Inference
from engines.protocol.problems import Problem
from engines.protocol.tasks import LOCAL_TASKS, PAPER_TASKS
from tests.workbench.plan.test_plan import ONE, experiment, messages, probe
from workbench.experiment.experiment import Experiment, RunSettings, WorkloadChoice
from workbench.experiment.file import parse
from workbench.experiment.presets import presets
from workbench.plan.identity import configuration_hash
from workbench.plan.plan import Plan, make_plan, orders

REAL = {ref: msgspec.structs.replace(model, quality_available=True) for ref, model in ONE.items()}
HARNESS = Package(name="lm-eval", version="0.4.13", gives="")
EVERYTHING = msgspec.structs.replace(
    probe(), packages=(*probe().packages, HARNESS), task_data=tuple(t.id for t in LOCAL_TASKS)
)


def planned(workload: WorkloadChoice, folder: Path = Path(), machine: object = EVERYTHING) -> Plan:
    asked = experiment(workload=workload, run=RunSettings(trials=2), seed=7)
    assert all(isinstance(model, ResolvedModel) for model in REAL.values())
    return make_plan(asked, REAL, machine, own=find_own(asked.workload.first, folder))  # type: ignore[arg-type]


def severities(plan: Plan) -> list[str]:
    return [p.severity for p in plan.problems]


# --- prompts ----------------------------------------------------------------------------------------


def test_that_a_prompt_file_is_found_from_the_experiments_folder_with_its_hash(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("one\ntwo\nthree\n")
    plan = planned(WorkloadChoice.of(prompt_file="own.txt"), tmp_path)
    assert plan.problems == ()
    load = orders(plan, store="s", experiment="e")[0].inference
    assert load.prompt_file == str(tmp_path / "own.txt")
    assert load.prompt_file_hash.startswith("sha256:")


def test_that_the_same_prompts_in_another_folder_are_the_same_configuration(tmp_path: Path) -> None:
    hashes = []
    for name, text in (("a", "one\ntwo\nthree"), ("b", "one\ntwo\nthree"), ("c", "one\ntwo\nfour")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.txt").write_text(text)
        hashes.append(planned(WorkloadChoice.of(prompt_file="own.txt"), tmp_path / name).configurations[0].hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_that_a_file_that_cannot_be_used_stops_the_experiment_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"stra\xdfe")
    (tmp_path / "empty.txt").write_text("\n")
    for name, said in (
        ("nowhere.txt", "There is no file"),
        ("latin.txt", "byte 4 (line 1)"),
        ("empty.txt", "no prompt"),
    ):
        plan = planned(WorkloadChoice.of(prompt_file=name), tmp_path)
        assert severities(plan) == ["error"]
        assert said in messages(plan.problems)
        assert plan.order == ()


def test_that_too_few_prompts_are_an_error_for_a_batch_and_a_warning_for_the_requests(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("one\ntwo\none\n")
    batch = planned(WorkloadChoice.of(prompt_file="own.txt", batch_size=(1, 4)), tmp_path)
    assert severities(batch) == ["error", "note"]
    assert "a batch of 4 would hold one twice" in messages(batch.problems)
    few = planned(WorkloadChoice.of(prompt_file="own.txt", requests=3), tmp_path)
    assert severities(few) == ["warning", "note"]
    assert "2 different prompts for 3" in messages(few.problems)
    assert few.trials == 4


def test_that_a_plan_without_a_look_at_the_file_runs_nothing() -> None:
    asked = experiment(workload=WorkloadChoice.of(prompt_file="own.txt"))
    plan = make_plan(asked, REAL, EVERYTHING)
    assert "not looked up" in messages(plan.problems)
    assert plan.order == ()
    assert find_own(Experiment().workload.first, Path()) is None
    assert isinstance(find_own(asked.workload.first, Path("/nowhere")), Problem)


def test_that_a_path_counts_where_there_is_no_hash() -> None:
    def of(**fields: str) -> str:
        model = next(iter(REAL.values())).order
        return configuration_hash(model, (), Inference(**fields), EngineOrder())  # type: ignore[arg-type]

    from engines.protocol.orders import EngineOrder

    assert of(prompt_file="/a", prompt_file_hash="x") == of(prompt_file="/b", prompt_file_hash="x")
    assert of(prompt_file="/a") != of(prompt_file="/b")


# --- tasks ------------------------------------------------------------------------------------------


def test_that_known_tasks_with_everything_there_are_no_problem() -> None:
    plan = planned(WorkloadChoice.of(tasks=("gsm8k-sample", "hellaswag-sample")))
    assert plan.problems == ()
    assert orders(plan, store="s", experiment="e")[0].inference.tasks == ("gsm8k-sample", "hellaswag-sample")


def test_that_an_unknown_task_is_an_error_that_names_the_nearest() -> None:
    plan = planned(WorkloadChoice.of(tasks=("gsm8k-sampel",)))
    assert "Did you mean 'gsm8k-sample'?" in messages(plan.problems)
    assert 'written "lm-eval:NAME"' in messages(plan.problems)
    assert plan.order == ()


def test_that_a_missing_harness_and_missing_questions_come_with_their_commands_and_speed_is_still_measured() -> None:
    missing = Package(name="lm-eval", gives="", install='python -m pip install "lm-eval>=0.4.9"')
    bare = msgspec.structs.replace(probe(), packages=(*probe().packages, missing))
    plan = planned(WorkloadChoice.of(tasks=("gsm8k-sample",)), machine=bare)
    assert severities(plan) == ["warning", "warning"]
    assert 'pip install "lm-eval>=0.4.9"' in messages(plan.problems)
    assert "llm-workbench tasks --fetch" in messages(plan.problems)
    assert plan.trials == 4


def test_that_a_task_of_the_harness_gets_the_network_and_says_so() -> None:
    plan = planned(WorkloadChoice.of(tasks=("lm-eval:arc_easy",)))
    assert severities(plan) == ["note"]
    assert orders(plan, store="s", experiment="e")[0].allow_network
    assert not orders(planned(WorkloadChoice.of(tasks=("gsm8k-sample",))), store="s", experiment="e")[0].allow_network


def test_that_the_papers_tasks_say_by_their_names_what_each_needs() -> None:
    plan = planned(WorkloadChoice.of(tasks=tuple(task.id for task in PAPER_TASKS), task_samples=20))
    assert severities(plan) == ["note"] * 3
    said = messages(plan.problems)
    assert "MMLU-Pro, BBH, GPQA, IFEval, MATH (hard), MuSR come from the network" in said
    assert "GPQA are given to people with an account" in said
    assert "pip install 'lm-eval[ifeval,math]'" in said


def test_that_the_first_trial_says_how_long_its_tasks_take() -> None:
    plain = planned(WorkloadChoice.of()).configurations[0]
    asked = planned(WorkloadChoice.of(tasks=("hellaswag-sample",))).configurations[0]
    assert plain.time_text.startswith("about ")
    assert "first" not in plain.time_text
    assert asked.time_text.startswith(f"{plain.time_text}, first ")
    assert msgspec.structs.replace(asked, expected_s=0.0).time_text == "unknown"


def test_that_the_preset_is_the_papers_six_tasks() -> None:
    preset = next(preset for preset in presets() if preset.id == "efficientllm-tasks")
    assert preset.experiment.workload.values("tasks")[0] == tuple(task.id for task in PAPER_TASKS)


def test_that_random_weights_leave_tasks_and_texts_out_and_say_so() -> None:
    asked = experiment(workload=WorkloadChoice.of(perplexity_tokens=0, text_tokens=5, tasks=("gsm8k-sample",)))
    cell = make_plan(asked, ONE, EVERYTHING).configurations[0]
    assert (cell.inference.tasks, cell.inference.text_tokens) == ((), 0)
    assert "Quality is not measured" in messages(cell.problems)


def test_that_the_file_takes_prompts_and_tasks() -> None:
    found, problems = parse(
        'models = ["m"]\n[workload]\ntask = "answer"\nprompt_file = "own.txt"\n'
        'tasks = ["gsm8k-sample", "gsm8k-sample"]\ntext_tokens = -1\n'
    )
    assert found is None
    assert [p.place for p in problems] == ["line 5, workload.tasks[1]", "line 6, workload.text_tokens"]


def test_found_prompts_hold_values_only() -> None:
    found = FoundPrompts(path="/a", hash="x", different=3)
    assert msgspec.json.decode(msgspec.json.encode(found), type=FoundPrompts) == found
