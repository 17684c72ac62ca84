"""Pretraining in a real worker: it learns, it is judged on text it did not see, and what it keeps is a model."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from engines.protocol.orders import Inference, ModelOrder, ResumeOrder, Training
from engines.protocol.records import Artifact, Evaluation, FlopCount, MemoryParts, ModelLoaded, Step
from tests.engines.pretraining import kit
from tests.engines.worker_harness import run_worker

pytestmark = pytest.mark.real


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_WORKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path


def test_a_model_with_random_weights_learns_more_than_the_frequency_of_tokens(home: Path) -> None:
    load = kit.pretraining(kit.text_file(home))
    outcome = run_worker(kit.order(load), home / "run")
    assert outcome.exit_code == 0, outcome.stderr
    losses = [e.nll_sum / e.tokens for e in outcome.all(Evaluation) if e.split == "validation"]
    assert len(losses) == 2 + 3, "before, after every 20 of 63 steps, and after"
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.7 * kit.unigram_loss(load)
    facts, loaded = outcome.facts, outcome.only(ModelLoaded)
    assert int(facts["tokenizer.vocabulary"]) == int(loaded.details["vocabulary"]) == kit.corpus_of(load).vocabulary
    assert loaded.details["trained_parameters"] == str(loaded.parameters)
    assert facts["training.changed_tensors"] == facts["training.trained_tensors"]
    assert facts["training.unchanged_frozen_tensors"] == "0"
    steps = outcome.all(Step)
    assert len(steps) == 63
    assert {s.tokens for s in steps} == {8 * 32}
    assert {s.loss_tokens for s in steps} == {8 * 31}
    assert steps[-1].learning_rate == pytest.approx(0.01 * 0.1, rel=0.02), "the cosine ends at a tenth"
    parts = outcome.only(MemoryParts)
    assert parts.optimiser_bytes == pytest.approx(2 * parts.weights_bytes, rel=0.01)
    flops = outcome.only(FlopCount)
    assert flops.counted_flops == pytest.approx(flops.formula_flops, rel=0.01)


def test_bytes_are_those_of_the_scored_text(home: Path) -> None:
    load = kit.pretraining(kit.text_file(home), steps=1, warmup_steps=0, evaluate_every=0)
    found = run_worker(kit.order(load), home / "run").all(Evaluation)[0]
    corpus = kit.corpus_of(load)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(corpus.tokenizer_file))
    ids, text = corpus.ids("validation"), ""
    for start in range(0, found.tokens // 31 * 32, 32):
        text += tokenizer.decode(ids[start + 1 : start + 32].tolist())
    assert found.tokens % 31 == 0
    assert found.text_bytes == len(text.encode())
    assert sum(found.part_bytes) == found.text_bytes


def test_seeds_begin_with_other_weights_and_blocks_share_theirs(home: Path) -> None:
    load = kit.pretraining(kit.text_file(home), steps=1, warmup_steps=0)
    first, again, other = (
        run_worker(kit.order(load, block=block), home / f"run{n}").all(Evaluation)[0]
        for n, block in enumerate((0, 0, 1))
    )
    assert first.nll_sum == again.nll_sum
    assert first.nll_sum != other.nll_sum


def test_what_is_kept_is_a_model_to_run_and_to_fine_tune(home: Path) -> None:
    load = kit.pretraining(kit.text_file(home), keep="model")
    trained = run_worker(kit.order(load), home / "run")
    kept = trained.only(Artifact)
    model = ModelOrder(ref="kept", title="kept", kind="folder", path=kept.path)
    run = kit.order(Inference(prompt_tokens=8, new_tokens=4, requests=1, window_s=0, perplexity_tokens=64), model)
    read = run_worker(run, home / "read")
    assert read.exit_code == 0, read.stderr
    assert read.only(Evaluation).tokens == 64
    tune = Training(data=str(home / "rows.jsonl"), sequence_tokens=32, steps=2, batch_size=2, evaluation_tokens=64)
    rows = (json.dumps({"text": line}) for line in kit.sentences(60, seed=2).splitlines() if line)
    (home / "rows.jsonl").write_text("\n".join(rows))
    tuned = run_worker(kit.order(tune, model, method="finetune.lora"), home / "tuned")
    assert tuned.exit_code == 0, tuned.stderr
    before = tuned.all(Evaluation)[0]
    assert before.nll_sum / before.tokens < kit.unigram_loss(load), "it has learned such sentences"


def test_a_model_with_weights_is_refused(home: Path) -> None:
    model = ModelOrder(ref="x", title="x", kind="folder", path=str(home))
    outcome = run_worker(kit.order(kit.pretraining(kit.text_file(home)), model), home / "run")
    assert outcome.failure == "order"
    assert any("random weights" in cue.text for cue in outcome.all(type(outcome.cue("failure:order"))))


def test_a_resumed_pretraining_ends_with_the_same_weights(home: Path) -> None:
    load = kit.pretraining(kit.text_file(home), steps=21, checkpoint_every=10, evaluate_every=0)
    whole = run_worker(kit.order(load), home / "run")
    (first, *_) = (a for a in whole.all(Artifact) if a.artifact == "checkpoint")
    state = ResumeOrder(trial="t-1", path=first.path, sha256=first.sha256, step=10)
    order = msgspec.structs.replace(kit.order(load, trial="t-2"), resume=state)
    rest = run_worker(order, home / "rest")
    assert rest.exit_code == 0, rest.stderr
    assert [step.index for step in rest.all(Step)] == list(range(10, 24))
    assert rest.facts["training.trained_sha256"] == whole.facts["training.trained_sha256"]


def test_a_budget_of_tokens_ends_it_and_the_rate_with_it(home: Path) -> None:
    load = kit.pretraining(
        kit.text_file(home), steps=1000, stop_at="tokens", token_budget=10 * 256, evaluation_tokens=0
    )
    steps = run_worker(kit.order(load), home / "run").all(Step)
    assert sum(step.tokens for step in steps) == 10 * 256
    assert steps[-1].learning_rate < 0.25 * max(step.learning_rate for step in steps)
