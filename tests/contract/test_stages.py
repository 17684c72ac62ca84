"""Techniques of another package at each stage of the transformers engine, in a real worker; what no engine applies is
refused by the plan."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from engines.protocol.orders import Inference, TechniqueOrder, Training
from engines.protocol.records import Environment, ModelLoaded, Step, TookEffect
from tests.engines.worker_harness import QUICK, Outcome, folder_model, run_worker, trial_order
from tests.house import ROOT, House
from tests.tiny_model import make_tiny_model

pytestmark = pytest.mark.usefixtures("home", "dummy_package")

REFUSED = """
schema = 1
name = "refused"
models = ["random:smollm2-135m-instruct"]
[techniques]
dummy_stage = ["load", "empty", "config"]
[workload]
prompt_tokens = 4
new_tokens = 5
requests = 2
"""


def run(folder: Path, stage: str, work: Inference | Training = QUICK, *more: str, **parameters: bool) -> Outcome:
    plain = trial_order(folder_model(make_tiny_model(folder / "tiny")))
    named = (TechniqueOrder(id=f"dummy_stage.{stage}", parameters=parameters), *(TechniqueOrder(id=m) for m in more))
    order = msgspec.structs.replace(plain, workload=work, techniques=(*plain.techniques, *named))
    return run_worker(order, folder / "trial")


def changed(outcome: Outcome, stage: str) -> dict[str, float]:
    assert outcome.exit_code == 0, outcome.stderr
    (effect,) = (e for e in outcome.all(TookEffect) if e.technique == f"dummy_stage.{stage}")
    assert effect.stage == stage
    return effect.changed


def facts(outcome: Outcome) -> dict[str, str]:
    return {name: value for one in outcome.all(Environment) for name, value in one.facts.items()}


@pytest.mark.real
def test_that_a_model_is_built_from_the_configuration_that_a_technique_edits(tmp_path: Path) -> None:
    outcome = run(tmp_path, "config")
    assert changed(outcome, "config")["edited_keys"] == 1
    assert outcome.only(ModelLoaded).details["layers"] == "1"


@pytest.mark.real
def test_that_requests_run_on_the_cache_that_a_technique_makes(tmp_path: Path) -> None:
    outcome = run(tmp_path, "cache")
    assert changed(outcome, "cache") == {"caches": 1}
    assert "dummy_stage.cache" in facts(outcome)["generate.settings"]
    assert int(facts(outcome)["cache.bytes_per_token"]) > 0


@pytest.mark.real
def test_that_a_cache_that_keeps_nothing_fails_its_trial(tmp_path: Path) -> None:
    outcome = run(tmp_path, "cache", keeps=False)
    assert outcome.failure == "technique"
    assert "keeps nothing in the cache" in str(outcome.cue("failure:technique"))


@pytest.mark.real
def test_that_generate_works_by_the_settings_of_a_technique(tmp_path: Path) -> None:
    assert changed(run(tmp_path, "decode"), "decode") == {"generation_settings": 1, "arguments": 0}


@pytest.mark.real
def test_that_decoding_several_tokens_in_a_step_is_not_timed_as_tokens(tmp_path: Path) -> None:
    outcome = run(tmp_path, "decode", QUICK, several=True)
    assert outcome.failure == "technique"
    assert "cannot be timed token by token" in str(outcome.cue("failure:technique"))


@pytest.mark.real
def test_that_training_uses_the_optimiser_of_a_technique(tmp_path: Path) -> None:
    work = Training(steps=4, warmup_steps=1, sequence_tokens=48, batch_size=2, learning_rate=0.5, evaluation_tokens=0)
    outcome = run(tmp_path, "optimiser", work, "finetune.lora")
    assert changed(outcome, "optimiser")["parameters"] > 0
    assert facts(outcome)["training.optimiser"] == "dummy optimiser: tests"
    last = outcome.all(TookEffect)[-1]
    assert last.changed["optimiser_bytes"] == 0, "plain gradient descent keeps nothing"
    assert len(outcome.all(Step)) == 5


@pytest.mark.parametrize(
    ("stage", "work", "why"),
    [
        ("load", QUICK, "of the stage load"),
        ("empty", QUICK, "without a function"),
        ("optimiser", QUICK, "only in training"),
        ("cache", Training(), "only in inference"),
    ],
)
def test_that_a_worker_refuses_what_no_stage_claims(tmp_path: Path, stage: str, work: Training, why: str) -> None:
    outcome = run(tmp_path, stage, work)
    assert outcome.failure == "technique"
    assert why in str(outcome.cue("failure:technique"))
    assert not outcome.all(ModelLoaded)


def test_that_the_plan_says_what_the_engine_does_not_apply(
    dummy_package: Path, house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(dummy_package), str(ROOT))))
    file = tmp_path / "refused.toml"
    file.write_text(REFUSED)
    planned = house.command("run", "--plan", str(file)).stdout
    ignored = "The engine transformers would ignore dummy"
    assert f"{ignored} load: it applies no technique of the stage load on this axis." in planned
    assert f"{ignored} empty: it applies no technique without a function." in planned
    assert planned.count(ignored) == 2, "what a stage claims is planned"
    refused = house.command("run", str(file))
    assert refused.returncode != 0
    assert "Leave it out. Its package has to name a function and a stage that the engine calls" in refused.stderr
    assert not list(house.places.spools.glob("*")), "nothing ran"
