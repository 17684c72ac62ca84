"""Methods through a real worker: the baseline is that of the untouched model, and each learns."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engines.protocol.orders import TechniqueOrder, Training, TrialOrder
from engines.protocol.records import Artifact, Evaluation, Step, TookEffect
from engines.protocol.settings import Scalar
from engines.techniques import find
from tests.engines.worker_harness import Outcome, folder_model, run_worker, trial_order

pytestmark = pytest.mark.real
TRAINING = Training(
    steps=12, warmup_steps=1, sequence_tokens=48, batch_size=4, evaluation_tokens=512, packing=False, keep="adapter"
)
METHODS: dict[str, dict[str, Scalar]] = {
    "pissa": {"rank": 8, "learning_rate": 0.01},
    "adalora": {"rank": 4, "start_rank": 6, "learning_rate": 0.02},
    "prompt": {"virtual_tokens": 8, "learning_rate": 0.1},
    "qlora": {"rank": 8, "alpha": 32, "learning_rate": 0.02},
    "full": {"learning_rate": 0.003},
}


def training_order(model: Path, id: str) -> TrialOrder:
    order = trial_order(folder_model(model))
    technique = find(f"finetune.{id}")
    precision = () if technique.base else order.techniques
    method = TechniqueOrder(id=technique.id, parameters=METHODS[id])
    return msgspec.structs.replace(order, workload=TRAINING, techniques=(*precision, method))


@pytest.fixture(scope="module")
def outcomes(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    home = str(tmp_path_factory.mktemp("home"))
    return {
        id: run_worker(training_order(tiny, id), tmp_path_factory.mktemp(id), environment={"LLM_WORKBENCH_HOME": home})
        for id in METHODS
    }


@pytest.mark.parametrize("id", METHODS)
def test_that_a_method_learns_in_a_trial_and_keeps_what_it_trained(id: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[id]
    assert outcome.exit_code == 0, outcome.stderr
    before, after = (e for e in outcome.all(Evaluation) if e.split == "validation")
    assert (after.nll_sum < before.nll_sum) or (id == "prompt" and after.nll_sum != before.nll_sum)
    assert len(outcome.all(Step)) == 13
    effect = [e for e in outcome.all(TookEffect) if e.technique == f"finetune.{id}"][-1]
    assert effect.changed["changed_tensors"] > 0
    assert effect.changed["trained_parameters"] > 0
    facts = outcome.facts
    assert float(facts["training.learning_rate"]) == METHODS[id]["learning_rate"]
    assert [a.artifact for a in outcome.all(Artifact)] == ["adapter"]


def test_that_the_baseline_is_that_of_the_model_before_any_method(outcomes: dict[str, Outcome]) -> None:
    first = {id: outcome.all(Evaluation)[0].nll_sum for id, outcome in outcomes.items()}
    assert first["pissa"] == first["adalora"] == first["prompt"] == first["full"]
    assert first["qlora"] != first["full"], "it is that of the 4-bit base"
