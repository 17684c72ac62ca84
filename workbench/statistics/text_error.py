"""How far a figure of quality might move with another stretch of its text. Pure functions, any thread.

A loss is a mean over the tokens of one text, so it has a sampling error. Trials of a deterministic engine do not show
it: they read the same text. A trial records the loss of short parts of it (`Evaluation.part_nll`); blocks of
`BLOCK_TOKENS` tokens stand for independent draws, with Student's t. A ratio is paired: both configurations read the
same blocks, so what makes a block hard for both cancels out (Miller 2024, arXiv 2411.00640). docs/statistics.md has its
coverage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from engines.protocol.records import Evaluation
from workbench.statistics.intervals import SAME, Floats, Interval, RatioEstimate, t_quantile

BLOCK_TOKENS = 128
LEAST_BLOCKS = 3
BY_BYTE, ABOVE_CHANCE = "bits_per_byte", "above_chance_ratio"
METRICS = ("perplexity", BY_BYTE, ABOVE_CHANCE)
"""Figures of the mean loss, of a token or of a byte."""
_CUT_CHARACTER = 4
"""Bytes by which engines may differ over where a part ends that cuts a character in two."""
_MOST_ERROR = 1.0
"""Half an interval of a logarithm, at the most: beyond it a figure is as uncertain as it is large, and its ratio, a
first-order estimate, means nothing."""
_TOO_UNCERTAIN = "no interval: the sampling error of the text is as large as the figures"
_NO_PARTS = "figures without the loss of the text's parts: the sampling error is not known"


@dataclass(frozen=True)
class TextLoss:
    """Loss along a text, summed from its first scored token to each part's end. Arrays of shape (parts + 1,)."""

    text: str
    """Hash."""
    tokens: Floats
    bytes: Floats
    """Places in the text."""
    losses: Floats


def read(found: Evaluation | None) -> TextLoss | None:
    """None where the evaluation kept no parts."""
    if found is None or not found.part_nll or len(found.part_nll) != len(found.part_bytes) or found.part_tokens < 1:
        return None
    ends = [min(found.tokens, found.part_tokens * (n + 1)) for n in range(len(found.part_nll))]
    losses = np.array([0.0, *accumulate(found.part_nll)])
    if not np.all(np.isfinite(losses)):
        return None
    places = np.array([*accumulate(found.part_bytes, initial=found.first_byte)], float)
    return TextLoss(found.data_hash, np.array([0.0, *ends]), places, losses)


def own_error(metric: str, value: float, text: TextLoss | None, confidence: float = 0.95) -> tuple[float | None, str]:
    """Standard error of one configuration's figure over its text, and the interval in words; None where the text is too
    short or kept no parts."""
    if text is None or value <= 0:
        return None, ""
    edges = _edges(text)
    weights = np.diff((text.bytes if metric == BY_BYTE else text.tokens)[edges])
    shares = _shares(metric, value, np.diff(text.losses[edges]), weights)
    if len(shares) < LEAST_BLOCKS:
        return None, ""
    half = t_quantile(confidence, len(shares) - 1) * _error(shares)
    if metric != ABOVE_CHANCE and half > _MOST_ERROR:
        return None, ""
    # a share above chance is linear in the loss, and may be none; the others are positive
    ways = (1 - half, 1 + half) if metric == ABOVE_CHANCE else (math.exp(-half), math.exp(half))
    ends = " to ".join(f"{value * way:.4g}" for way in ways)
    return value * _error(shares), f"nominal 95 %: {ends} with other text, from {_stretches(shares, text)}"


def with_paired_error(
    metric: str,
    ratio: RatioEstimate,
    own: tuple[float, TextLoss | None],
    other: tuple[float, TextLoss | None],
    comparisons: int = 1,
    confidence: float = 0.95,
) -> RatioEstimate:
    """A ratio of two configurations' figures with the paired error over the text they both read, added to that between
    trials. `own` and `other`: value and loss. `comparisons`: ratios that are to hold together (Bonferroni). Without
    parts, or over different texts, a deterministic ratio has no interval and no verdict."""
    if ratio.interval is None and (not ratio.deterministic or _identical(ratio, own[1], other[1])):
        return ratio
    pair = _paired(metric, own[1], other[1])
    if pair is None or min(own[0], other[0]) <= 0:
        return ratio if ratio.interval else RatioEstimate(ratio.ratio, None, ratio.blocks, False, _NO_PARTS)
    (mine, my_weights), (its, its_weights), common_bytes = pair
    shares = _shares(metric, own[0], mine, my_weights) - _shares(metric, other[0], its, its_weights)
    if len(shares) < LEAST_BLOCKS:
        how = f"{len(shares)} blocks of text, too few for an interval"
        return ratio if ratio.interval else RatioEstimate(ratio.ratio, None, ratio.blocks, False, how)
    centre = float(np.sum(mine) / np.sum(its)) if common_bytes else ratio.ratio
    half = t_quantile(1 - (1 - confidence) / comparisons, len(shares) - 1) * _error(shares)
    if ratio.interval is not None:
        half = math.hypot(half, math.log(ratio.interval.high / ratio.interval.low) / 2)
    if half > _MOST_ERROR:
        return RatioEstimate(centre, None, ratio.blocks, False, _TOO_UNCERTAIN, common_bytes)
    interval = Interval(centre * math.exp(-half), centre * math.exp(half))
    together = f", {comparisons} ratios together (Bonferroni)" if comparisons > 1 else ""
    size = f"{len(shares)} stretches of the {common_bytes:,.0f} bytes that both scored"
    method = f"the same {size if common_bytes else _stretches(shares, own[1])}, paired t interval{together}"
    if not ratio.deterministic:
        method += f"; widened by {ratio.method}"
    return RatioEstimate(centre, interval, ratio.blocks, False, method, common_bytes)


def _identical(ratio: RatioEstimate, own: TextLoss | None, other: TextLoss | None) -> bool:
    """Whether two deterministic configurations gave every part of the text the same loss."""
    if abs(ratio.ratio - 1) > SAME:
        return False
    return own is None or other is None or np.array_equal(own.losses, other.losses)


Blocks = tuple[Floats, Floats]
"""Loss and weight (tokens or bytes) of each."""


def _paired(metric: str, own: TextLoss | None, other: TextLoss | None) -> tuple[Blocks, Blocks, float] | None:
    """The blocks that both read, and how many bytes they are where only a part of either stretch is common to both (0:
    all of it is); None where none is."""
    if own is None or other is None or not own.text or own.text != other.text:
        return None
    if np.array_equal(own.tokens, other.tokens) and np.max(np.abs(own.bytes - other.bytes)) <= _CUT_CHARACTER:
        edges = _edges(own)
        weights = np.diff((own.bytes if metric == BY_BYTE else own.tokens)[edges])
        return (np.diff(own.losses[edges]), weights), (np.diff(other.losses[edges]), weights), 0
    if metric != BY_BYTE:
        return None
    # other tokens: the loss between two places of the text, even within a part
    first, end = max(own.bytes[0], other.bytes[0]), min(own.bytes[-1], other.bytes[-1])
    a_block = BLOCK_TOKENS * max((t.bytes[-1] - t.bytes[0]) / t.tokens[-1] for t in (own, other))
    places = np.linspace(first, end, max(0, int((end - first) // a_block)) + 1)
    if end <= first:
        return None
    weights = np.diff(places)
    mine, its = (np.diff(np.interp(places, text.bytes, text.losses)) for text in (own, other))
    return (mine, weights), (its, weights), float(end - first)


def _edges(text: TextLoss) -> list[int]:
    """Places of the parts at which blocks of `BLOCK_TOKENS` tokens or a little more begin and end; what is left at the
    end belongs to the last block."""
    edges = [0]
    for part, tokens in enumerate(text.tokens):
        if tokens - text.tokens[edges[-1]] >= BLOCK_TOKENS:
            edges.append(part)
    return [*edges[:-1], len(text.tokens) - 1] if len(edges) > 1 else [0, len(text.tokens) - 1]


def _shares(metric: str, value: float, losses: Floats, weights: Floats) -> Floats:
    """What each block adds to the error of ln(figure), to first order."""
    if not len(losses):
        return losses
    mean = float(np.sum(losses) / np.sum(weights))
    if metric == "perplexity":
        slope = 1.0
    elif metric == BY_BYTE:
        slope = 1 / mean
    else:  # 1 - mean / ln(vocabulary)
        slope = -(1 - value) / (mean * value)
    return slope * (losses - mean * weights) / float(np.sum(weights))


def _error(shares: Floats) -> float:
    """Standard error of the logarithm."""
    n = len(shares)
    return math.sqrt(n / (n - 1) * float(np.sum(shares**2)))


def _stretches(shares: Floats, text: TextLoss | None) -> str:
    tokens = 0 if text is None else round(float(text.tokens[-1]) / len(shares))
    return f"{len(shares)} stretches of about {tokens} tokens of the text"
