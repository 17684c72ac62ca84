"""Architectures in a real worker: what is built is what was planned, and it runs and learns."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engines.protocol.orders import ModelOrder, TechniqueOrder, TrialOrder
from engines.protocol.records import Environment, Evaluation, ModelLoaded, Step, TookEffect
from engines.techniques.architecture import counts, edited
from engines.techniques.architecture.counts import matched
from tests.engines.architecture.kit import SMALL, order
from tests.engines.pretraining import kit
from tests.engines.worker_harness import QUICK, Outcome, run_worker, trial_order

pytestmark = pytest.mark.real

SHAPE = ModelOrder(ref="shape/test", title="test", kind="random", config=SMALL, fingerprint="f")


def facts_of(outcome: Outcome) -> dict[str, str]:
    return {name: value for record in outcome.all(Environment) for name, value in record.facts.items()}


def with_techniques(trial: TrialOrder, *techniques: TechniqueOrder) -> TrialOrder:
    return msgspec.structs.replace(trial, techniques=(*trial.techniques, *techniques))


def test_a_shape_runs_as_its_techniques_make_it(tmp_path: Path) -> None:
    chosen = (order("attention.mla"), order("positions.alibi"))
    outcome = run_worker(with_techniques(trial_order(SHAPE, workload=QUICK), *chosen), tmp_path)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.only(ModelLoaded).parameters == counts(edited(SMALL, chosen)).total
    effects = {effect.technique: effect.changed for effect in outcome.all(TookEffect)}
    assert effects["attention.mla"]["edited_keys"] > 5
    assert effects["positions.alibi"]["edited_keys"] == 1
    facts = facts_of(outcome)
    assert facts["architecture.mixer"] == "DeepseekV3Attention"
    assert (facts["architecture.positions"], facts["architecture.attention"]) == ("alibi", "sdpa")
    assert facts["architecture.implementation"].startswith("reference implementation: ")
    assert facts["cache.bytes_per_token"] == str(2 * (24 + 6) * 4)


@pytest.mark.parametrize("ids", [("attention.mqa", "feedforward.moe"), ("attention.mamba2",), ("positions.t5",)])
def test_a_shape_learns_as_its_techniques_make_it(ids: tuple[str, ...], tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("LLM_WORKBENCH_HOME", str(tmp_path / "home"))
    chosen = tuple(order(id) for id in ids)
    load = kit.pretraining(kit.text_file(tmp_path))
    outcome = run_worker(with_techniques(kit.order(load), *chosen), tmp_path / "run")
    assert outcome.exit_code == 0, outcome.stderr
    shape = {**kit.CONFIG, "vocab_size": kit.corpus_of(load).vocabulary}
    planned = matched(edited(shape, chosen), counts(shape).total)
    assert outcome.only(ModelLoaded).parameters == counts(planned).total
    losses = [e.nll_sum / e.tokens for e in outcome.all(Evaluation) if e.split == "validation"]
    assert losses[-1] < 0.8 * kit.unigram_loss(load)
    facts = facts_of(outcome)
    assert facts["training.changed_tensors"] == facts["training.trained_tensors"]
    assert all(step.loss is not None and step.loss < 10 for step in outcome.all(Step))
