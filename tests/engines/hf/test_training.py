"""Training through a real worker on the tiny model: what arrives, and that it learns."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from engines.data.training.built_in import held_out_part, training_part
from engines.protocol.orders import TechniqueOrder, Training, TrialOrder
from engines.protocol.records import (
    Evaluation,
    FlopCount,
    MemoryParts,
    PhaseEnded,
    Progress,
    Request,
    Step,
    TookEffect,
)
from tests.engines.worker_harness import Outcome, folder_model, run_worker, trial_order

TRAINING = Training(
    steps=25, warmup_steps=2, sequence_tokens=48, batch_size=4, learning_rate=0.02, evaluation_tokens=512
)
LORA = TechniqueOrder(id="finetune.lora", parameters={"rank": 4, "alpha": 32})


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
    before, after, test = trained.all(Evaluation)
    assert (before.name, after.name, test.name) == ("held_out_before", "held_out_after", "test")
    assert (before.step, after.step, test.step, test.split) == (0, 27, 27, "test")
    assert before.nll_sum / before.tokens == pytest.approx(math.log(512), rel=0.05)  # of random weights
    assert after.nll_sum < 0.99 * before.nll_sum
    assert losses(trained)[-1] < losses(trained)[0]


def test_that_the_phases_come_in_order_and_progress_never_goes_back(trained: Outcome) -> None:
    names = [(r.name, r.index) for r in trained.all(PhaseEnded)]
    assert names == [
        ("start", 0), ("load", 0), ("evaluate", 0), ("adapt", 0), ("warmup", 0), ("measure", 0), ("evaluate", 1),
        ("evaluate", 2), ("unload", 0),
    ]  # fmt: skip
    fractions = [p.fraction or 0.0 for p in trained.all(Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] < 1


def test_that_what_the_technique_changed_is_counted(trained: Outcome) -> None:
    loaded = next(e for e in trained.all(TookEffect) if e.technique == "finetune.lora")
    last = trained.all(TookEffect)[-1]
    # rank x (in + out) of q, k, v, o, gate, up, down in two layers: 64 wide, 32 of keys and values, 128 between
    assert loaded.changed["trained_parameters"] == 4 * 2 * (128 + 96 + 96 + 128 + 192 + 192 + 192)
    assert last.changed["changed_tensors"] == last.changed["trained_tensors"] == 2 * 2 * 7
    assert last.changed["unchanged_frozen_tensors"] == 2 + 2 * 9  # embedding and norm, matrices and norms of layers
    assert last.changed["optimiser_bytes"] == pytest.approx(2 * loaded.changed["trained_bytes"], rel=0.01)


def test_that_one_untimed_step_is_looked_at_before_the_first(trained: Outcome) -> None:
    flops, parts = trained.only(FlopCount), trained.only(MemoryParts)
    assert flops.counted_flops == pytest.approx(flops.formula_flops, rel=1e-6)
    assert parts.method == "mem_tracker"
    assert parts.peak_bytes > parts.weights_bytes > 4 * 100_000
    places = [type(record) for record in trained.records]
    assert max(places.index(FlopCount), places.index(MemoryParts)) < places.index(Step)


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


def test_that_the_validation_loss_is_taken_between_steps_while_the_clock_stands_still(
    tiny: Path, trained: Outcome, tmp_path: Path
) -> None:
    order = training_order(tiny, steps=7, evaluate_every=3, batch_size=2, accumulation=2, evaluation_tokens=256)
    outcome = run_worker(order, tmp_path)
    assert outcome.exit_code == 0, outcome.stderr
    found = [(e.name, e.step, e.split) for e in outcome.all(Evaluation)]
    assert found == [
        ("held_out_before", 0, "validation"), ("held_out", 3, "validation"), ("held_out", 6, "validation"),
        ("held_out_after", 9, "validation"), ("test", 9, "test"),
    ]  # fmt: skip
    spans = [(r.name, r.index, r.start_ns, r.t_ns) for r in outcome.all(PhaseEnded)]
    assert [span[:2] for span in spans[2:-1]] == [
        ("evaluate", 0), ("adapt", 0), ("warmup", 0), ("measure", 0), ("evaluate", 1), ("measure", 1), ("evaluate", 2),
        ("measure", 2), ("evaluate", 3), ("evaluate", 4),
    ]  # fmt: skip
    assert all(a[3] <= b[2] for a, b in pairwise(spans))
    steps = outcome.all(Step)
    assert [(s.tokens, s.loss_tokens, s.micro_batches) for s in steps] == [(4 * 48, 4 * 47, 2)] * 9
    # neither evaluation nor accumulation changes what is trained on, or how
    assert losses(outcome)[:2] == pytest.approx(losses(trained)[:2], rel=1e-5)
    fractions = [p.fraction or 0.0 for p in outcome.all(Progress)]
    assert fractions == sorted(fractions)


def test_that_evaluations_leave_every_loss_and_weight_as_it_is(tiny: Path, tmp_path: Path) -> None:
    plain = training_order(tiny, steps=4, warmup_steps=0, evaluation_tokens=0)
    often = training_order(tiny, steps=4, warmup_steps=0, evaluation_tokens=64, evaluate_every=1)
    first, second = run_worker(plain, tmp_path / "plain"), run_worker(often, tmp_path / "often")
    assert len(second.all(Evaluation)) == 6
    assert losses(first) == losses(second)
    name = "training.trained_sha256"
    assert first.facts[name] == second.facts[name]
    assert first.facts["training.frozen_sha256"] == second.facts["training.frozen_sha256"]


@pytest.mark.parametrize("precision", ["float32", "nf4"])
def test_that_a_trial_trains_as_leanly_as_it_is_asked_to(tiny: Path, precision: str, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    order = training_order(
        tiny, steps=6, autocast="bfloat16", checkpointing=True, optimiser="adamw-8bit", evaluation_tokens=64
    )
    techniques = (TechniqueOrder(id=f"precision.{precision}"), *order.techniques[1:])
    outcome = run_worker(msgspec.structs.replace(order, techniques=techniques), tmp_path)
    assert outcome.exit_code == 0, outcome.stderr
    assert all(math.isfinite(loss) for loss in losses(outcome))
    said = outcome.facts
    assert said["training.optimiser"].startswith("AdamW of bitsandbytes")
    assert (said["training.autocast"], said["training.checkpointing"]) == ("bfloat16", "every layer")
    changed = outcome.all(TookEffect)[-1].changed
    assert changed["changed_tensors"] == 28
    assert changed["unchanged_frozen_tensors"] == 20
    flops = outcome.only(FlopCount)
    assert flops.counted_flops is not None
    if precision == "nf4":
        assert flops.omitted == "products with quantised weights"
        assert flops.counted_flops < flops.formula_flops
    else:
        assert flops.counted_flops == pytest.approx(flops.formula_flops, rel=0.02)


def test_that_a_validation_loss_ends_training_where_the_rule_says_so(tiny: Path, tmp_path: Path) -> None:
    order = training_order(tiny, steps=20, evaluate_every=2, stop_at="loss", target_loss=50.0, evaluation_tokens=64)
    outcome = run_worker(order, tmp_path)
    # the one at step 2 stands right after the warm-up: one measured step is made at the least
    assert [s.index for s in outcome.all(Step)] == [0, 1, 2]
    assert [(e.name, e.step) for e in outcome.all(Evaluation)][-2:] == [("held_out_after", 3), ("test", 3)]
    assert outcome.cue("short_training") is None


def test_that_a_training_trial_without_a_technique_to_train_by_fails_with_advice(tiny: Path, tmp_path: Path) -> None:
    outcome = run_worker(training_order(tiny, None), tmp_path)
    assert outcome.failure == "technique"
    assert not outcome.all(Step)


def test_that_training_that_cannot_be_done_fails_with_words(tiny: Path, tmp_path: Path) -> None:
    diverged = run_worker(training_order(tiny, learning_rate=1e30, steps=5), tmp_path / "diverged")
    assert diverged.failure == "diverged"
    assert diverged.all(Step)


def test_that_a_file_of_ones_own_is_trained_on_its_responses(tiny: Path, tmp_path: Path) -> None:
    rows = [f'"Say ""{n}"", please.\n",and it says {n}' for n in range(60)]
    file = tmp_path / "pairs.csv"
    file.write_text("question,answer\n" + "\n".join(rows) + "\nnothing,\n")
    outcome = run_worker(
        training_order(tiny, data=str(file), evaluation_tokens=8, packing=False, steps=25), tmp_path / "run"
    )
    assert outcome.exit_code == 0, outcome.stderr
    steps, before, after, _test = outcome.all(Step), *outcome.all(Evaluation)
    assert all(0 < step.loss_tokens < step.tokens / 2 and step.samples == 4 for step in steps)
    assert after.nll_sum < 0.95 * before.nll_sum
    assert (before.tokens, before.data_name) == (after.tokens, "pairs.csv")
    facts = outcome.facts
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
