"""A trial that was killed or stopped continues from its checkpoint as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engines.models import artifacts
from engines.protocol.orders import ResumeOrder, TechniqueOrder, TrialOrder
from engines.protocol.places import HOME_VARIABLE, places
from engines.protocol.records import Artifact, Environment, Evaluation, PhaseEnded, Record, Resumed, Step
from engines.worker.works.training import stretches
from tests.engines.hf.test_training import training_order
from tests.engines.hf.training.held_worker import HELD_AT
from tests.engines.worker_harness import Outcome, run_worker, start_worker
from tests.tiny_model import make_tiny_model

STEPS = 40
LORA = TechniqueOrder(id="finetune.lora", parameters={"rank": 4, "alpha": 32, "dropout": 0.2})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv(HOME_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="module")
def order(home: Path, tmp_path_factory: pytest.TempPathFactory) -> TrialOrder:
    tiny = make_tiny_model(tmp_path_factory.mktemp("tiny"))
    return training_order(
        tiny, LORA, steps=STEPS, warmup_steps=2, accumulation=2, batch_size=2, evaluate_every=8, evaluation_tokens=128,
        checkpoint_every=6,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(order: TrialOrder, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    outcome = run_worker(named(order, "whole"), tmp_path_factory.mktemp("whole"))
    assert outcome.exit_code == 0, outcome.stderr
    return outcome


def named(order: TrialOrder, trial: str, resume: ResumeOrder | None = None) -> TrialOrder:
    return msgspec.structs.replace(order, trial=trial, resume=resume)


def newest(trial: str) -> ResumeOrder:
    folder, made = artifacts.checkpoints(places().artifacts, trial)[0]
    return ResumeOrder(trial=trial, path=str(folder), sha256=made.sha256, step=made.step)


def losses(outcome: Outcome, first: int = 0) -> list[tuple[int, float | None, float | None]]:
    return [(s.index, s.loss, s.gradient_norm) for s in outcome.all(Step) if s.index >= first]


def held_out(outcome: Outcome, first: int = 0) -> list[tuple[str, int | None, float]]:
    return [(e.name, e.step, e.nll_sum) for e in outcome.all(Evaluation) if (e.step or 0) > first]


def weights(outcome: Outcome) -> str:
    return next(f for e in outcome.all(Environment) if (f := e.facts.get("training.trained_sha256")))


def test_that_the_last_two_checkpoints_stay_and_every_one_is_recorded(whole: Outcome) -> None:
    said = whole.all(Artifact)
    assert [Path(a.path).name for a in said] == [f"step-{n}" for n in range(6, STEPS + 2, 6)]
    there = artifacts.checkpoints(places().artifacts, "whole")
    assert [(m.step, m.sha256) for _, m in there] == [(36, said[-1].sha256), (30, said[-2].sha256)]


@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_that_a_trial_continues_as_if_it_had_never_ended(
    order: TrialOrder, whole: Outcome, tmp_path: Path, way: str
) -> None:
    worker = start_worker(named(order, way), tmp_path / way, module="tests.engines.hf.training.held_worker")
    worker.wait_for(lambda record: isinstance(record, Step) and record.index == HELD_AT - 1)
    worker.process.kill() if way == "killed" else worker.terminate()
    first = worker.finish()
    done = [s.index for s in first.all(Step)][-1] + 1
    checkpoint = newest(way)
    assert done == HELD_AT
    assert checkpoint.step == (HELD_AT if way == "stopped" else 12)
    second = run_worker(named(order, f"{way} again", checkpoint), tmp_path / "again")
    assert second.exit_code == 0, second.stderr
    assert losses(second) == losses(whole, checkpoint.step)
    assert held_out(second, checkpoint.step) == held_out(whole, checkpoint.step)
    assert weights(second) == weights(whole)
    said = second.only(Resumed)
    assert (said.step, said.path, said.sha256) == (checkpoint.step, checkpoint.path, checkpoint.sha256)
    cue = second.cue("resumed")
    assert f"after step {checkpoint.step} of trial {way}" in cue.text
    assert [s.warmup for s in second.all(Step)][:3] == [True, True, False]


def test_that_a_damaged_checkpoint_fails_with_words_before_anything_is_trained(
    order: TrialOrder, whole: Outcome, tmp_path: Path
) -> None:
    folder, made = artifacts.checkpoints(places().artifacts, "whole")[1]
    with (folder / "state.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    damaged = ResumeOrder(trial="whole", path=str(folder), sha256=made.sha256, step=made.step)
    outcome = run_worker(named(order, "damaged", damaged), tmp_path)
    assert outcome.failure == "engine"
    assert not outcome.all(Step)
    cue = outcome.cue("failure:engine")
    assert "not those that trial whole wrote" in cue.text
    assert "an earlier one may be whole" in cue.text


def test_that_a_disk_that_is_full_costs_the_checkpoint_and_not_the_trial(order: TrialOrder, tmp_path: Path) -> None:
    place = tmp_path / "home" / "data" / "artifacts"
    place.mkdir(parents=True)
    (place / "full").write_text("a file where the trial's folder would be")
    short = msgspec.structs.replace(order, workload=msgspec.structs.replace(order.training, steps=8))
    outcome = run_worker(named(short, "full"), tmp_path / "run", environment={HOME_VARIABLE: str(tmp_path / "home")})
    assert outcome.exit_code == 0
    assert len(outcome.all(Step)) == 10
    cue = outcome.cue("not_kept")
    assert cue.text.startswith("The checkpoint was not kept. ")


def test_that_steps_are_divided_for_evaluations_and_checkpoints(order: TrialOrder) -> None:
    training = msgspec.structs.replace(order.training, steps=10, warmup_steps=2, evaluate_every=4, checkpoint_every=6)
    found = [(s.phase, s.index, s.steps, s.evaluates, s.checkpoints) for s in stretches(training)]
    assert found == [
        ("warmup", 0, range(2), False, False),
        ("measure", 0, range(2, 4), False, False),
        ("measure", 1, range(4, 6), True, False),
        ("measure", 2, range(6, 8), False, True),
        ("measure", 3, range(8, 12), True, False),
    ]
    again = [(s.phase, s.index, s.steps, s.evaluates, s.checkpoints) for s in stretches(training, 6, 8)]
    assert again == [
        ("warmup", 0, range(6, 8), False, False),
        ("measure", 0, range(8, 12), True, False),
    ]


def test_that_a_validation_loss_that_a_stop_prevented_is_taken_when_the_trial_continues(order: TrialOrder) -> None:
    training = msgspec.structs.replace(order.training, steps=10, warmup_steps=2, evaluate_every=4, checkpoint_every=4)
    first = next(iter(stretches(training, 8, 10)))
    assert (first.steps, first.evaluates, first.checkpoints) == (range(8, 10), True, False)


def test_that_a_trial_stopped_after_its_last_step_makes_no_other_when_it_continues(order: TrialOrder) -> None:
    total = order.training.warmup_steps + order.training.steps
    resumed = named(order, "t", ResumeOrder(trial="t", path="", sha256="", step=total))
    assert list(stretches(order.training, resumed.first_step, resumed.first_measured_step)) == []


def test_that_a_trial_that_continues_measures_at_least_one_step(order: TrialOrder) -> None:
    def first_measured(step: int) -> int:
        return named(order, "t", ResumeOrder(trial="t", path="", sha256="", step=step)).first_measured_step

    assert order.first_measured_step == 2
    assert [first_measured(step) for step in (0, 20, STEPS - 1, STEPS, STEPS + 1)] == [2, 22, 41, 41, 41]


def _phases(records: list[Record]) -> list[str]:
    return [r.name for r in records if isinstance(r, PhaseEnded)]


def test_that_a_trial_that_continues_has_no_loss_before_training(order: TrialOrder, whole: Outcome) -> None:
    assert whole.all(Evaluation)[0].name == "held_out_before"
    assert _phases(whole.records).count("evaluate") == len(whole.all(Evaluation))
