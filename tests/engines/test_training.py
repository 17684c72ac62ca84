"""Training through a real worker on the tiny model: what arrives, and that it learns."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from engines.data.training.built_in import held_out_part, training_part
from engines.protocol.orders import TechniqueOrder, Training, TrialOrder
from engines.protocol.records import Environment, Evaluation, PhaseEnded, Progress, Request, Step, TookEffect
from engines.techniques import find
from tests.engines.worker_harness import Outcome, folder_model, run_worker, trial_order
from tests.tiny_model import make_tiny_model

TRAINING = Training(
    steps=25, warmup_steps=2, sequence_tokens=48, batch_size=4, learning_rate=0.02, evaluation_tokens=512
)
LORA = TechniqueOrder(id="finetune.lora", parameters={"rank": 4, "alpha": 32})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


def training_order(model: Path, technique: TechniqueOrder | None = LORA, **changes: object) -> TrialOrder:
    order = trial_order(folder_model(model))
    techniques = (*order.techniques, *((technique,) if technique else ()))
    return msgspec.structs.replace(order, workload=msgspec.structs.replace(TRAINING, **changes), techniques=techniques)


def losses(outcome: Outcome) -> list[float]:
    return [step.loss for step in outcome.all(Step) if step.loss is not None]


@pytest.fixture(scope="module")
def trained(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_worker(training_order(tiny), tmp_path_factory.mktemp("run"))


def test_that_every_step_arrives_with_its_figures(trained: Outcome) -> None:
    assert trained.exit_code == 0, trained.stderr
    steps = trained.all(Step)
    assert [s.index for s in steps] == list(range(27))
    assert [s.warmup for s in steps] == [True] * 2 + [False] * 25
    assert all(s.tokens == 4 * 48 and s.samples == 4 and s.padding_tokens == 0 for s in steps)
    assert all(s.start_ns < s.end_ns and s.data_s >= 0 and (s.gradient_norm or 0) > 0 for s in steps)
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(steps))
    rates = [s.learning_rate or 0.0 for s in steps]
    assert rates[0] == pytest.approx(0.02 / 6)
    assert max(rates) == rates[5] == pytest.approx(0.02)
    assert 0 < rates[-1] < 0.001
    assert not trained.all(Request)


def test_that_training_lowers_the_loss_on_text_it_has_not_seen(trained: Outcome) -> None:
    before, after = trained.all(Evaluation)
    assert (before.name, after.name) == ("held_out_before", "held_out_after")
    assert before.nll_sum / before.tokens == pytest.approx(math.log(512), rel=0.05)  # of random weights
    assert after.nll_sum < 0.99 * before.nll_sum
    assert losses(trained)[-1] < losses(trained)[0]


def test_that_the_phases_come_in_order_and_progress_never_goes_back(trained: Outcome) -> None:
    names = [(r.name, r.index) for r in trained.all(PhaseEnded)]
    assert names == [
        ("start", 0), ("load", 0), ("evaluate", 0), ("warmup", 0), ("measure", 0), ("evaluate", 1), ("unload", 0),
    ]  # fmt: skip
    fractions = [p.fraction or 0.0 for p in trained.all(Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] < 1


def test_that_what_the_technique_changed_is_counted(trained: Outcome) -> None:
    loaded = next(e for e in trained.all(TookEffect) if e.technique == "finetune.lora")
    last = trained.all(TookEffect)[-1]
    # rank x (in + out) of q, k, v, o, gate, up, down in two layers: 64 wide, 32 of keys and values, 128 between
    assert loaded.changed["trained_parameters"] == 4 * 2 * (128 + 96 + 96 + 128 + 192 + 192 + 192)
    assert last.changed["changed_tensors"] == 2 * 2 * 7


def test_that_a_seed_gives_the_same_losses_twice_and_another_block_others(
    tiny: Path, trained: Outcome, tmp_path: Path
) -> None:
    short = training_order(tiny, steps=3, warmup_steps=0, evaluation_tokens=0)
    first, again = (run_worker(short, tmp_path / name) for name in ("first", "again"))
    other = run_worker(msgspec.structs.replace(short, block=1), tmp_path / "other")
    assert len(losses(first)) == 3
    assert losses(first) == losses(again)
    assert losses(first)[0] != losses(other)[0]
    assert losses(first)[0] == losses(trained)[0]
    assert not first.all(Evaluation)


def test_that_a_training_trial_without_a_technique_to_train_by_fails_with_advice(tiny: Path, tmp_path: Path) -> None:
    outcome = run_worker(training_order(tiny, None), tmp_path)
    assert outcome.failure == "technique"
    assert not outcome.all(Step)


def test_that_training_that_cannot_be_done_fails_with_words(tiny: Path, tmp_path: Path) -> None:
    diverged = run_worker(training_order(tiny, learning_rate=1e30, steps=5), tmp_path / "diverged")
    assert diverged.failure == "technique"
    assert diverged.all(Step)


def test_that_a_file_of_ones_own_is_trained_on_its_responses(tiny: Path, tmp_path: Path) -> None:
    rows = [f'"Say ""{n}"", please.\n",and it says {n}' for n in range(60)]
    file = tmp_path / "pairs.csv"
    file.write_text("question,answer\n" + "\n".join(rows) + "\nnothing,\n")
    outcome = run_worker(
        training_order(tiny, data=str(file), evaluation_tokens=8, packing=False, steps=25), tmp_path / "run"
    )
    assert outcome.exit_code == 0, outcome.stderr
    steps, before, after = outcome.all(Step), *outcome.all(Evaluation)
    assert all(0 < step.loss_tokens < step.tokens / 2 and step.samples == 4 for step in steps)
    assert after.nll_sum < 0.95 * before.nll_sum
    assert (before.tokens, before.data_name) == (after.tokens, "pairs.csv")
    facts = {name: value for e in outcome.all(Environment) for name, value in e.facts.items()}
    assert facts["training.columns"] == "prompt: question, response: answer"
    assert facts["training.split_rows"] == "train 54, validation 3, test 3"
    assert facts["training.bad_rows"] == "line 122 has no response"
    assert facts["training.template"] == "plain (the tokenizer has no chat template)"


def test_that_training_text_and_held_out_text_share_no_13_words() -> None:
    def shingles(text: str) -> set[str]:
        return {
            " ".join(words[start : start + 13])
            for words in (paragraph.split() for paragraph in text.split("\n\n"))
            for start in range(len(words) - 12)
        }

    assert len(held_out_part()) > 40_000
    assert len(training_part()) > 250_000
    assert shingles(held_out_part()).isdisjoint(shingles(training_part()))


def test_that_lora_says_where_it_applies() -> None:
    lora = find("finetune.lora")
    assert lora is not None
    assert lora.applies == (("transformers", "model"),)
