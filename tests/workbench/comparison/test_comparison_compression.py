"""The compression rate: measured bytes and quality against the original of the same model, or a reason."""

from __future__ import annotations

import msgspec
import pytest

from tests.workbench.synthetic_experiment import experiment_detail
from workbench.comparison.comparison import compare
from workbench.comparison.results import Cell
from workbench.store.operations import ExperimentDetail, MetricRow


def cell(detail: ExperimentDetail, configuration: str, metric: str = "compression_rate", **options: object) -> Cell:
    comparison = compare(detail, **options)  # type: ignore[arg-type]
    row = next(r for r in comparison.rows if r.configuration == configuration)
    return row.cells[metric]


def with_values(
    detail: ExperimentDetail, metric: str, configuration: str, value: float | None, **more: str
) -> ExperimentDetail:
    trials = {t.trial for t in detail.trials if t.configuration == configuration}

    def one(row: MetricRow) -> MetricRow:
        if row.metric != metric or row.trial not in trials:
            return row
        return msgspec.structs.replace(row, value=value, **more)

    return msgspec.structs.replace(detail, metrics=tuple(one(m) for m in detail.metrics))


DETAIL = experiment_detail(3)


def test_a_worked_compression_rate() -> None:
    """int8: 538,060,032 / 163,000,000 bytes x perplexity 21.4 / 22.9."""
    found = cell(DETAIL, "c-int8")
    assert found.value == pytest.approx(538_060_032 / 163_000_000 * 21.4 / 22.9)
    assert "original: SmolLM2-135M-Instruct · float32" in found.method
    assert "4 stretches of about 128 tokens of the text" in found.method
    assert found.interval.low < found.value < found.interval.high
    assert cell(DETAIL, "c-int8", "compression_nominal_ratio").value == pytest.approx(4.0)
    assert cell(DETAIL, "c-float32").value == pytest.approx(1.0)
    assert cell(DETAIL, "c-bfloat16").value == pytest.approx(2.0 * 21.4 / 21.44, rel=1e-6)


def test_that_the_original_is_the_least_compressed_whatever_is_pinned() -> None:
    assert cell(DETAIL, "c-int8", baseline="c-int8").value == cell(DETAIL, "c-int8").value


def test_that_noisy_quality_carries_its_interval_through() -> None:
    noisy = DETAIL
    for place, trial in enumerate(t for t in DETAIL.trials if t.configuration == "c-bfloat16"):
        rows = tuple(
            msgspec.structs.replace(m, value=21.4 * (1 + 0.01 * place))
            if (m.trial, m.metric) == (trial.trial, "perplexity")
            else m
            for m in noisy.metrics
        )
        noisy = msgspec.structs.replace(noisy, metrics=rows)
    found = cell(noisy, "c-bfloat16")
    assert found.value is not None
    assert found.interval.low < found.value < found.interval.high
    assert found.n == 3


def absent(detail: ExperimentDetail, configuration: str = "c-int8", metric: str = "compression_rate") -> str:
    found = cell(detail, configuration, metric)
    assert found.value is None
    return found.reason


def test_that_it_is_blank_near_chance_and_without_quality() -> None:
    assert "near chance" in absent(with_values(DETAIL, "above_chance_ratio", "c-int8", 0.04))
    assert "No quality was measured" in absent(with_values(DETAIL, "perplexity", "c-int8", None, reason="None."))
    assert "other text" in absent(with_values(DETAIL, "perplexity", "c-int8", 20.0, scope="another text"))
    assert "size of the tensors" in absent(with_values(DETAIL, "tensor_bytes", "c-int8", None, reason="None."))


QUESTIONS = "100 questions of hellaswag-sample (d5a2a8ae), acc_norm, 0 examples"
BY_ACCURACY = "compression_rate_accuracy"


def with_accuracy(original: float, compressed: float, errors: float | None = 5.0) -> ExperimentDetail:
    """400 bytes and 100, and these accuracies over the same questions."""
    made = DETAIL
    for configuration, size, accuracy in (("c-float32", 400.0, original), ("c-int8", 100.0, compressed)):
        made = with_values(made, "tensor_bytes", configuration, size)
        made = with_values(made, "accuracy_mean_ratio", configuration, accuracy, scope=QUESTIONS)
        made = with_values(made, "accuracy_above_chance_errors", configuration, errors)
    return made


def test_a_worked_compression_rate_by_accuracy() -> None:
    """A quarter of the bytes, four fifths of the right answers: 400 / 100 x 0.40 / 0.50 = 3.2."""
    found = cell(with_accuracy(0.50, 0.40), "c-int8", BY_ACCURACY)
    assert found.value == pytest.approx(3.2)
    assert "accuracy 0.400 / 0.500" in found.method
    assert "400 / 100" in found.method
    assert "not checked" not in found.method
    assert found.scope == QUESTIONS
    assert cell(with_accuracy(0.50, 0.40), "c-float32", BY_ACCURACY).value == pytest.approx(1.0)
    # a better answer to fewer bytes is more than the bytes alone
    assert cell(with_accuracy(0.40, 0.50), "c-int8", BY_ACCURACY).value == pytest.approx(5.0)


def test_that_a_rate_by_accuracy_is_blank_near_chance_of_either_and_over_other_questions() -> None:
    def reason(detail: ExperimentDetail) -> str:
        """Of the cell, or of the whole column where no configuration has a value."""
        comparison = compare(detail)
        if BY_ACCURACY in comparison.unavailable:
            return comparison.unavailable[BY_ACCURACY]
        return absent(detail, metric=BY_ACCURACY)

    good = with_accuracy(0.50, 0.40)
    for configuration in ("c-int8", "c-float32"):
        near = with_values(good, "accuracy_above_chance_errors", configuration, 1.95)
        assert "not better than chance" in reason(near)
    assert "not better than chance" in reason(with_accuracy(0.0, 0.40, errors=None))
    assert "other questions" in reason(with_values(good, "accuracy_mean_ratio", "c-int8", 0.4, scope="50 questions"))
    assert "No accuracy" in reason(with_values(good, "accuracy_mean_ratio", "c-int8", None, reason="None."))
    assert "size of the tensors" in reason(with_values(good, "tensor_bytes", "c-int8", None, reason="None."))
    unknown = cell(with_accuracy(0.50, 0.40, errors=None), "c-int8", BY_ACCURACY)
    assert unknown.value == pytest.approx(3.2)
    assert "nearness to chance not checked" in unknown.method


def test_that_a_file_that_does_not_tell_its_bits_is_not_taken_for_the_original() -> None:
    untold = with_values(DETAIL, "nominal_bits_per_weight", "c-int8", None, reason="The engine did not tell it.")
    found = cell(untold, "c-int8")
    assert found.value == pytest.approx(cell(DETAIL, "c-int8").value)
    assert "float32" in found.method.partition("original: ")[2]


def test_that_an_unknown_vocabulary_is_a_caution_in_the_method() -> None:
    untold = DETAIL
    for name in ("c-int8", "c-float32"):
        untold = with_values(untold, "above_chance_ratio", name, None, reason="Not told.")
    assert "nearness to chance not checked" in cell(untold, "c-int8").method


def test_that_a_model_alone_has_nothing_to_compare_with() -> None:
    alone = msgspec.structs.replace(
        DETAIL,
        configurations=tuple(
            msgspec.structs.replace(c, model=f"model {i}") for i, c in enumerate(DETAIL.configurations)
        ),
    )
    comparison = compare(alone)
    assert "compression_rate" not in comparison.metrics
    assert comparison.unavailable["compression_rate"] == "There is no original of this model with results beside it."


def test_that_a_table_of_generation_says_nothing_of_training() -> None:
    comparison = compare(DETAIL)
    assert not [m for m in (*comparison.metrics, *comparison.unavailable) if "training" in m or "step" in m]
    assert "energy_joules" in comparison.unavailable
