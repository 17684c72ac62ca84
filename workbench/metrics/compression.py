"""The model compression rate (MCR): what the comparison computes from two configurations. Pure arithmetic."""

from __future__ import annotations

from functools import partial

from workbench.metrics.model import Metric, NotAvailable
from workbench.metrics.trial import TrialRecords

NEAR_CHANCE = 0.1
"""A model whose loss is within this share of that of even guessing has no quality to speak of."""


def compression_rate(original_bytes: float, bytes: float, quality_ratio: float) -> float:
    """EfficientLLM's MCR: (original size/compressed size) x (compressed quality/original quality)."""
    return original_bytes / bytes * quality_ratio


def _elsewhere(records: TrialRecords) -> NotAvailable:
    return NotAvailable("Needs the original beside it: computed in the comparison.")


_against_original = partial(Metric, unit="ratio", better="higher", compute=_elsewhere, compared=True, counts="blocks")

METRICS = (
    _against_original(
        id="compression_rate",
        title="Compression rate",
        definition="MCR of EfficientLLM: (original size / compressed size) x (compressed quality / original quality), "
        "from counted bytes of the tensors and perplexity (its ratio is original / compressed). Blank without quality "
        "and near chance.",
        window="load and evaluate",
        group="quality",
        beside=("compression_nominal_ratio",),
        needs=("tensor_bytes", "perplexity", "above_chance_ratio"),
    ),
    _against_original(
        id="compression_rate_accuracy",
        title="Compression rate, by accuracy",
        definition="MCR of EfficientLLM with the mean accuracy on tasks as quality: (original size / compressed size) "
        "x (accuracy / original accuracy), over the same questions. Blank near chance.",
        window="load and evaluate",
        group="quality",
        beside=("compression_nominal_ratio",),
        needs=("tensor_bytes", "accuracy_mean_ratio", "accuracy_above_chance_errors"),
    ),
    _against_original(
        id="compression_nominal_ratio",
        title="Compression, nominal",
        definition="Nominal bits per weight of the original / of this configuration (16/4), as papers often state it: "
        "no bytes counted, no quality.",
        window="load",
        group="memory",
        exact=True,
        needs=("nominal_bits_per_weight",),
    ),
)
