"""Figures of training: losses, what reaching one takes, sizes, and checks of its steps."""

from __future__ import annotations

import math

import msgspec
import pytest

from engines.protocol.records import Artifact, FlopCount, MemoryParts, PhaseEnded, Record, Resumed, Step, TrialEnded
from tests.workbench.synthetic_training import evaluation, training
from workbench.metrics.assumptions import Assumptions
from workbench.metrics.evaluate import evaluate_trial
from workbench.metrics.model import NotAvailable, Value
from workbench.metrics.registry import metric
from workbench.metrics.training.progress import Axis, Progress, progress_of
from workbench.metrics.training.reaching import NotReached, cost_of
from workbench.metrics.trial import arrange
from workbench.store.operations import MetricRow


def value(id: str, *said: Record) -> Value:
    found = metric(id).compute(arrange(said))
    assert isinstance(found, Value), (id, found)
    return found


def reason(id: str, *said: Record) -> str:
    found = metric(id).compute(arrange(said))
    assert isinstance(found, NotAvailable), (id, found)
    return found.reason


def path(*said: Record) -> Progress:
    found = progress_of(arrange(said))
    assert isinstance(found, Progress), found
    return found


FALLING = {0: 4.0, 4: 3.0, 8: 2.0, 12: 2.5}


def test_that_the_final_the_best_and_the_test_loss_are_told_apart() -> None:
    said = training(FALLING, test=2.75)
    assert value("held_out_loss_before", *said).value == 4.0
    assert value("held_out_loss", *said).value == 2.5
    assert value("held_out_loss_best", *said).value == 2.0
    assert value("held_out_best_step", *said).value == 8.0
    assert value("test_loss", *said).value == 2.75
    assert value("held_out_perplexity", *said).value == pytest.approx(math.exp(2.5))
    assert value("test_perplexity", *said).value == pytest.approx(math.exp(2.75))


def test_that_bits_per_byte_are_of_the_scored_text_whatever_its_tokens() -> None:
    said = training({0: 4.0, 12: math.log(2)}, test=2 * math.log(2))
    assert value("held_out_bits_per_byte", *said).value == pytest.approx(100 / 400)
    assert value("test_bits_per_byte", *said).value == pytest.approx(200 / 400)
    assert value("held_out_bits_per_byte", *said).scope == "text (01234567)"
    no_bytes = (*training({}), evaluation(2.0, 12, "held_out_after", text_bytes=0))
    assert "no bytes" in reason("held_out_bits_per_byte", *no_bytes)
    assert "evaluation_tokens" in reason("test_bits_per_byte", *training({0: 4.0}))


def test_that_the_untrained_model_is_never_the_best() -> None:
    assert value("held_out_best_step", *training({0: 1.0, 6: 3.0, 12: 2.0})).value == 12.0


def test_that_a_test_loss_does_not_pass_for_a_held_out_one() -> None:
    said = (*training({}), evaluation(2.0, 12, "held_out_after", split="test"))
    assert "held-out" in reason("held_out_loss", *said)
    assert value("test_loss", *said).value == 2.0


@pytest.mark.parametrize(
    ("target", "axis", "expected"),
    [
        (3.5, "step", 2.0),  # halfway between 0 and 4
        (3.0, "step", 4.0),  # at an evaluation
        (2.25, "step", 7.0),
        (2.25, "tokens", 7 * 64.0),
        (2.25, "time", 7 * 1.25),  # steps and data, no evaluation
        (4.0, "time", 0.0),  # there before training
        (5.0, "energy", 0.0),
    ],
)
def test_what_reaching_a_loss_takes(target: float, axis: Axis, expected: float) -> None:
    assert cost_of(path(*training(FALLING, watts=10.0)), target, axis) == pytest.approx(expected)


def test_that_energy_to_a_loss_leaves_evaluations_out() -> None:
    """10 W throughout: 1.25 s of each step and its batch, but for a stretch's first batch, and none of the 3 s of an
    evaluation."""
    found = cost_of(path(*training(FALLING, watts=10.0)), 2.0, "energy")
    assert found == pytest.approx(10.0 * (8 * 1.25 - 2 * 0.25))
    per_step = value("energy_per_step_joules", *training(FALLING, warmups=0, watts=10.0))
    assert per_step.value == pytest.approx(10.0 * (12 * 1.25 - 3 * 0.25) / 12)
    assert value("power_mean_watts", *training(FALLING, watts=10.0)).value == pytest.approx(10.0)
    per_sample = value("energy_per_sample_joules", *training(FALLING, warmups=0, watts=10.0))
    assert per_sample.value == pytest.approx(per_step.value / 2)


def test_that_energy_between_evaluations_that_follow_closely_is_not_measurable() -> None:
    often = dict.fromkeys(range(13), 2.0)
    said = training(often, step_s=0.5, watts=10.0)
    assert "Evaluate less often" in reason("energy_per_step_joules", *said)
    assert "Evaluate less often" in str(cost_of(path(*said), 2.0, "energy")) or cost_of(path(*said), 2.0, "energy") == 0


def test_that_a_loss_that_is_not_reached_has_no_figure_and_says_how_far_it_came() -> None:
    found = cost_of(path(*training(FALLING)), 1.9, "time")
    assert found == NotReached(2.0, 8)
    facts = {"workload.target_loss": "1.9"}
    row = row_of("time_to_loss_s", training(FALLING, facts=facts))
    assert (row.value, row.n) == (None, 0)
    assert row.reason == "Not reached: the lowest held-out loss was 2, after 8 steps."
    assert row_of("time_to_loss_s", training(FALLING, facts={"workload.target_loss": "2.25"})).value == 8.75


@pytest.mark.parametrize("outcome", ["stopped", "failed"])
def test_that_a_trial_cut_off_after_an_evaluation_is_not_complete_and_censors_nothing(outcome: str) -> None:
    *said, ended = training({0: 4.0, 4: 3.0}, facts={"workload.target_loss": "2.5"}, data_s=0.05)
    assert isinstance(ended, TrialEnded)
    measured = PhaseEnded(name="measure", index=0, start_ns=4 * 10**9, t_ns=6 * 10**9, seq=500)  # before the evaluation
    cut = (*said, measured, msgspec.structs.replace(ended, outcome=outcome, seq=501))
    rows, reasons, verdict = evaluate_trial("t", cut)
    assert (verdict, [r.code for r in reasons if r.severity == "invalid"]) == ("invalid", ["not_completed"])
    row = next(row for row in rows if row.metric == "time_to_loss_s")
    assert (row.value, row.n) == (None, None)
    assert "ended early" in row.reason
    done = evaluate_trial("t", (*cut[:-1], evaluation(2.9, 12, "held_out_after", seq=502), cut[-1]))
    assert done[2] == "warning"
    assert next(row for row in done[0] if row.metric == "time_to_loss_s").n == 0


@pytest.mark.parametrize("target", ["", "0.0", "nan", "low"])
def test_that_without_a_target_there_is_no_figure_and_no_trial_is_censored(target: str) -> None:
    row = row_of("tokens_to_loss", training(FALLING, facts={"workload.target_loss": target}))
    assert (row.value, row.n, row.reason) == (None, None, "No target_loss was set for the trial.")


def test_that_a_trial_that_continued_another_has_no_totals() -> None:
    said = (*training(FALLING), Resumed(step=5, path="/x", sha256=""))
    assert "continued from step 5" in reason("held_out_loss_best", *said)


def row_of(id: str, said: tuple[Record, ...]) -> MetricRow:
    return next(row for row in evaluate_trial("t", said)[0] if row.metric == id)


def test_sizes_memory_by_part_and_flops() -> None:
    said = (
        *training(FALLING, warmups=2),
        MemoryParts(
            weights_bytes=10, gradients_bytes=2, optimiser_bytes=4, activations_bytes=7, temporary_bytes=1,
            peak_bytes=24, method="mem_tracker",
        ),
        Artifact(artifact="model", path="/m", bytes=99, sha256=""),
        Artifact(artifact="adapter", path="/a", bytes=7, sha256=""),
        FlopCount(formula_flops=100.0, counted_flops=93.0, omitted="attention"),
    )  # fmt: skip
    assert value("trained_ratio", *said).value == 0.04
    assert value("adapter_bytes", *said).value == 7
    assert [value(f"training_{part}_bytes", *said).value for part in ("weights", "activations", "peak")] == [10, 7, 24]
    rate = value("model_flops_per_second", *said)
    assert rate.value == pytest.approx(100.0)
    assert "-7 % (the counter omits attention)" in rate.method
    assumed = arrange(said, Assumptions(peak_flops=400.0))
    share = metric("model_flops_utilisation_ratio").compute(assumed)
    assert share.value == pytest.approx(0.25)
    assert "peak is not known" in reason("model_flops_utilisation_ratio", *said)


def test_that_missing_sensors_are_the_reason_of_a_training_trial_too() -> None:
    assert row_of("power_mean_watts", training(FALLING)).reason == "Energy was not read in this trial."
    assert row_of("energy_per_token_joules", training(FALLING)).reason.startswith("This is a training trial")


# --- checks -----------------------------------------------------------------------------------------


def codes(*said: Record) -> set[str]:
    return {r.code for r in evaluate_trial("t", said)[1]} - {"unwatched", "short_window"}


def changed(said: tuple[Record, ...], **changes: object) -> tuple[Record, ...]:
    return tuple(msgspec.structs.replace(r, **changes) if isinstance(r, Step) else r for r in said)


ASKED = {"workload.accumulation": "2", "workload.batch_size": "4", "workload.sequence_tokens": "8"}


def test_that_a_sound_training_trial_has_no_reason() -> None:
    assert codes(*changed(training(FALLING, data_s=0.05, facts=ASKED), micro_batches=2)) == set()


@pytest.mark.parametrize(("micro_batches", "tokens"), [(1, 64), (3, 64), (2, 65)])
def test_that_another_effective_batch_makes_a_trial_invalid(micro_batches: int, tokens: int) -> None:
    said = changed(training(FALLING, data_s=0.05, tokens=tokens, facts=ASKED), micro_batches=micro_batches)
    assert codes(*said) == {"effective_batch"}
    assert evaluate_trial("t", said)[2] == "invalid"


def test_that_padding_and_slow_data_are_cautions_from_their_limits_on() -> None:
    assert codes(*changed(training(FALLING, data_s=0.05), padding_tokens=16)) == set()  # 16 of 80
    assert codes(*changed(training(FALLING, data_s=0.05), padding_tokens=17)) == {"padding"}
    assert codes(*training(FALLING, data_s=0.12)) == {"slow_data"}


@pytest.mark.parametrize(("unfit", "found"), [(20, set()), (21, {"rows_unfit"})])
def test_that_many_rows_that_do_not_fit_are_a_caution(unfit: int, found: set[str]) -> None:
    facts = {"training.rows_unfit": str(unfit), "training.rows_tokenised": "100"}
    assert codes(*training(FALLING, data_s=0.05, facts=facts)) == found


def test_that_steps_that_stall_or_drift_are_seen() -> None:
    said = training({}, steps=40, data_s=0.0)
    steps = [r for r in said if isinstance(r, Step)]
    late = msgspec.structs.replace(steps[-1], end_ns=steps[-1].end_ns + 20 * 10**9)
    assert "stall" in codes(*(r for r in said if r is not steps[-1]), msgspec.structs.replace(late, seq=999))

    now, drifting = 0, []
    for number, step in enumerate(steps):
        length = round(1e9 * (1 + 0.02 * number))
        drifting.append(msgspec.structs.replace(step, start_ns=now, end_ns=now + length))
        now += length
    assert codes(*(r for r in said if not isinstance(r, Step)), *drifting) >= {"drift"}
