"""The sampling error of a text: paired intervals of perplexity and bits per byte over its blocks."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from scipy import stats

from engines.protocol.codec import encode_record
from engines.protocol.records import Evaluation
from tests.workbench.synthetic_experiment import experiment_detail
from workbench.comparison.comparison import compare
from workbench.statistics.intervals import Interval, RatioEstimate
from workbench.statistics.text_error import TextLoss, own_error, read, with_paired_error
from workbench.store.operations import ExperimentDetail

SAME = RatioEstimate(1.0, None, 3, True, "deterministic")


def evaluation(losses: np.ndarray, part: int = 16, bytes_of: int = 4, **changes: object) -> Evaluation:
    """Of these token losses, `bytes_of` bytes a token."""
    starts = range(0, len(losses), part)
    told = {
        "nll_sum": float(losses.sum()),
        "tokens": len(losses),
        "text_bytes": len(losses) * bytes_of,
        "data_name": "text",
        "data_hash": "sha256:1",
        "begin": "",
        "first_byte": 500,
        "part_tokens": part,
        "part_nll": tuple(float(losses[n : n + part].sum()) for n in starts),
        "part_bytes": tuple(bytes_of * len(losses[n : n + part]) for n in starts),
    }
    return Evaluation(**{**told, **changes})  # type: ignore[arg-type]


def loss_of(record: Evaluation) -> TextLoss:
    found = read(record)
    assert found is not None
    return found


def along(losses: np.ndarray, **changes: object) -> TextLoss:
    return loss_of(evaluation(losses, **changes))  # type: ignore[arg-type]


def perplexity(losses: np.ndarray) -> float:
    return math.exp(losses.mean())


def paired(own: np.ndarray, other: np.ndarray, comparisons: int = 1) -> RatioEstimate:
    values = perplexity(own), perplexity(other)
    exact = RatioEstimate(values[0] / values[1], None, 3, True, "deterministic")
    return with_paired_error(
        "perplexity", exact, (values[0], along(own)), (values[1], along(other)), comparisons=comparisons
    )


def texts(seed: int, tokens: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Two models on one text: hard and easy stretches are the same for both."""
    random = np.random.default_rng(seed)
    hard = random.gamma(1.2, 2.0, tokens) * np.repeat(random.lognormal(0, 0.3, tokens // 64), 64)
    return hard + random.normal(0.01, 0.1, tokens), hard


def test_that_the_ratio_has_the_paired_t_interval_over_blocks_of_the_text() -> None:
    own, other = texts(1)
    found = paired(own, other)
    blocks = (own - other).reshape(8, 128).mean(1)
    low, high = stats.ttest_1samp(blocks, 0).confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert found.ratio == pytest.approx(math.exp(blocks.mean()))
    assert "8 stretches of about 128 tokens" in found.method
    assert not found.deterministic


def test_that_pairing_takes_out_what_makes_a_stretch_hard_for_both() -> None:
    own, other = texts(2)
    found = paired(own, other).interval
    alone, _ = own_error("perplexity", perplexity(own), along(own))
    assert alone is not None
    assert math.log(found.high / found.low) / 2 < alone / perplexity(own) / 5


def test_that_one_configurations_error_is_the_t_error_of_its_blocks() -> None:
    losses, _ = texts(3)
    error, told = own_error("perplexity", perplexity(losses), along(losses))
    assert error == pytest.approx(perplexity(losses) * stats.sem(losses.reshape(8, 128).mean(1)))
    assert told.startswith("nominal 95 %: ")
    by_byte, _ = own_error("bits_per_byte", 0.9, along(losses))
    relative = stats.sem(losses.reshape(8, 128).mean(1)) / losses.mean()
    assert by_byte == pytest.approx(0.9 * relative)
    above, _ = own_error("above_chance_ratio", 0.7, along(losses))
    assert above == pytest.approx(0.7 * relative * 0.3 / 0.7)


@pytest.mark.parametrize(("tokens", "blocks"), [(384, 3), (385, 3), (511, 3), (512, 4), (2048, 16)])
def test_that_what_is_left_belongs_to_the_last_block(tokens: int, blocks: int) -> None:
    random = np.random.default_rng(4)
    other = random.gamma(1.2, 2.0, tokens)
    found = paired(other + random.normal(0, 0.1, tokens), other)
    assert found.method.startswith(f"the same {blocks} stretches of")


@pytest.mark.parametrize("tokens", [1, 32, 127, 383])
def test_that_a_short_text_carries_no_interval(tokens: int) -> None:
    other = np.random.default_rng(5).gamma(1.2, 2.0, tokens)
    found = paired(other * 1.01, other)
    assert (found.interval, found.deterministic) == (None, False)
    assert own_error("perplexity", perplexity(other), along(other)) == (None, "")


def test_that_several_ratios_hold_together() -> None:
    own, other = texts(6)
    one, three = paired(own, other).interval, paired(own, other, comparisons=3).interval
    assert math.log(three.high / three.low) / math.log(one.high / one.low) == pytest.approx(
        stats.t.ppf(1 - 0.05 / 6, 7) / stats.t.ppf(0.975, 7)
    )


def test_that_noise_between_trials_is_added() -> None:
    own, other = texts(7)
    text = paired(own, other).interval
    noisy = RatioEstimate(1.01, Interval(1.01 / 1.02, 1.01 * 1.02), 5, False, "log ratios within 5 blocks")
    both = with_paired_error("perplexity", noisy, (11.0, along(own)), (10.9, along(other)))
    assert both.interval is not None
    half = math.hypot(math.log(text.high / text.low) / 2, math.log(1.02))
    assert both.interval.high == pytest.approx(1.01 * math.exp(half))
    assert "widened by log ratios within 5 blocks" in both.method


def test_that_models_with_other_tokens_are_paired_by_places_in_the_text() -> None:
    """Bits per byte only. One model's tokens are of 4 bytes, the other's of 5, over stretches that overlap."""
    random = np.random.default_rng(8)
    density = np.repeat(random.gamma(1.2, 0.5, 400), 20)  # nats of each byte
    at = np.concatenate([[0.0], np.cumsum(density)])

    def model(bytes_of: int, first: int, tokens: int, factor: float) -> TextLoss:
        places = first + bytes_of * np.arange(tokens + 1)
        return along(factor * np.diff(at[places]), bytes_of=bytes_of, first_byte=first)

    own, other = model(4, 400, 1024, 1.1), model(5, 600, 1024, 1.0)
    found = with_paired_error("bits_per_byte", SAME, (1.0, own), (1.0, other))
    assert found.ratio == pytest.approx(1.1, rel=5e-3)  # a part is cut where the other's stretch begins
    assert found.interval.low < 1.1 < found.interval.high
    assert math.log(found.interval.high / found.interval.low) < 0.04
    assert "3,896 bytes that both scored" in found.method
    assert with_paired_error("perplexity", SAME, (1.0, own), (2.0, other)).interval is None


def test_that_another_text_or_none_in_common_is_not_paired() -> None:
    own, other = texts(9)
    mine = along(own)
    ratio = RatioEstimate(1.01, None, 3, True, "deterministic")
    for its in (along(other, data_hash="sha256:2"), along(other, first_byte=9_000), None):
        found = with_paired_error("bits_per_byte", ratio, (1.0, mine), (0.99, its))
        assert (found.interval, found.deterministic, found.ratio) == (None, False, 1.01)


def test_that_the_same_loss_everywhere_is_the_same() -> None:
    own, _ = texts(10)
    found = with_paired_error("perplexity", SAME, (2.0, along(own)), (2.0, along(own)))
    assert found == SAME
    # the same mean by chance is another matter
    moved = np.roll(own, 32)
    assert with_paired_error("perplexity", SAME, (2.0, along(own)), (2.0, along(moved))).interval is not None


@pytest.mark.parametrize(
    "changes",
    [{"part_nll": ()}, {"part_bytes": (4,)}, {"part_tokens": 0}],
)
def test_that_a_record_without_sound_parts_has_none(changes: dict[str, object]) -> None:
    assert read(evaluation(texts(11)[0], **changes)) is None  # type: ignore[arg-type]
    assert read(None) is None


def test_that_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Tokens whose loss is skewed and whose difference is correlated with its neighbours' (0.3)."""
    held = 0
    runs = 600
    for seed in range(runs):
        random = np.random.default_rng(1000 + seed)
        noise = random.standard_gamma(0.5, 1024 + 1) - 0.5
        difference = 0.004 + 0.08 * (noise[1:] + 0.45 * noise[:-1])
        other = random.gamma(1.2, 2.0, 1024)
        interval = paired(other + difference, other).interval
        held += interval.low <= math.exp(0.004) <= interval.high
    assert 0.92 <= held / runs <= 0.98


# --- in a comparison -------------------------------------------------------------------------------


def with_losses(detail: ExperimentDetail, **by_configuration: np.ndarray) -> ExperimentDetail:
    """The same experiment, the text read with these losses."""
    named = {t.trial: by_configuration.get(t.configuration.removeprefix("c-")) for t in detail.trials}
    lines = {t: (encode_record(evaluation(v)).decode(),) for t, v in named.items() if v is not None}
    metrics = tuple(
        msgspec.structs.replace(m, value=perplexity(v))
        if m.metric == "perplexity" and (v := named[m.trial]) is not None and m.value
        else m
        for m in detail.metrics
    )
    return msgspec.structs.replace(detail, metrics=metrics, evaluations={**detail.evaluations, **lines})


def test_that_the_words_of_perplexity_rest_on_the_texts_interval() -> None:
    random = np.random.default_rng(12)
    base = random.gamma(1.2, 2.0, 512)
    near = base + random.normal(0.004, 0.08, 512)  # as int8 of the starter
    far = base + random.normal(0.02, 0.8, 512)  # as 4 bits: 2 % apart, of which 512 tokens say nothing
    found = compare(with_losses(experiment_detail(3), float32=base, bfloat16=near, int8=far))
    cells = {r.labels["precision"]: r.cells["perplexity"] for r in found.rows}
    assert cells["bfloat16"].word == "equivalent within 3 %"
    assert cells["bfloat16"].ratio_interval is not None
    assert cells["int8"].word == "no difference shown"
    assert cells["float32"].error == pytest.approx(perplexity(base) * stats.sem(base.reshape(4, 128).mean(1)), rel=1e-6)
    assert "paired t interval" in cells["int8"].method


def test_that_bits_per_byte_of_other_tokens_are_compared_over_what_both_scored() -> None:
    random = np.random.default_rng(13)
    base = random.gamma(1.2, 2.0, 1024)
    detail = with_losses(experiment_detail(3), float32=base)
    other = [t.trial for t in detail.trials if t.configuration == "c-int8"]
    longer = evaluation(1.5 * base, bytes_of=6, first_byte=700)
    detail = msgspec.structs.replace(
        detail,
        metrics=tuple(
            msgspec.structs.replace(m, scope="1,024 tokens, 6,144 bytes of the text")
            if m.metric == "perplexity" and m.trial in other
            else m
            for m in detail.metrics
        ),
        evaluations={**detail.evaluations, **dict.fromkeys(other, (encode_record(longer).decode(),))},
    )
    found = compare(detail)
    cells = next(r for r in found.rows if r.labels["precision"] == "int8").cells
    assert cells["perplexity"].ratio is None
    assert cells["bits_per_byte"].ratio_interval is not None
    assert "3,896 bytes that both scored" in cells["bits_per_byte"].method
    assert any("over what both scored" in note for note in found.footnotes)


def test_that_figures_without_parts_have_a_ratio_and_no_verdict() -> None:
    detail = msgspec.structs.replace(experiment_detail(3), evaluations={})
    cell = next(r for r in compare(detail).rows if r.labels["precision"] == "int8").cells["perplexity"]
    assert cell.ratio == pytest.approx(22.9 / 21.4)
    assert (cell.word, cell.ratio_interval, cell.error) == ("", None, None)
    assert "sampling error is not known" in cell.method


@pytest.mark.parametrize("value", [0.3, 1e-3, 1e-5, 1e-9])
def test_that_a_share_above_chance_has_an_interval_that_is_linear_and_no_ratio_near_none(value: float) -> None:
    losses, others = texts(5)
    error, words = own_error("above_chance_ratio", value, along(losses))
    mean = losses.mean()
    blocks = losses.reshape(8, 128).mean(1)
    half = stats.sem(blocks) * stats.t.ppf(0.975, 7) * (1 - value) / mean
    assert error == pytest.approx(stats.sem(blocks) * (1 - value) / mean)
    assert f"{value - half:.4g} to {value + half:.4g} with other text" in words
    exact = RatioEstimate(2.0, None, 3, True, "deterministic")
    hard = along(others + np.repeat(np.arange(8) % 2, 128))
    ratio = with_paired_error("above_chance_ratio", exact, (value, along(losses)), (value / 2, hard))
    if value < 0.01:
        assert ratio.interval is None
        assert "as large as the figures" in ratio.method
    assert not ratio.deterministic


def test_that_a_text_that_blows_a_model_up_has_no_interval() -> None:
    losses = np.repeat([3.0, 3.0, 1800.0], 128)
    assert own_error("perplexity", perplexity(losses), along(losses)) == (None, "")
    ratio = paired(losses, np.full(384, 3.0))
    assert (ratio.interval, ratio.deterministic) == (None, False)
