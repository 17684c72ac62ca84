"""Quality on held-out text. Pure functions over one trial's records."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from engines.protocol.records import Evaluation
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.trial import TrialRecords

NO_RULE = "begin token not recorded"
"""In the scope of figures from versions that put no begin token before a text, whatever the tokenizer's rule."""


def _evaluation(records: TrialRecords) -> Evaluation | NotAvailable:
    found = next((e for e in reversed(records.evaluations) if e.name == "perplexity"), None)
    if found is not None:
        if found.tokens < 1 or not math.isfinite(found.nll_sum):
            return NotAvailable("The evaluation gave no finite loss.")
        return found
    if any(s.name == "evaluate" for s in records.spans):
        return NotAvailable("The evaluation ended without a result.")
    return NotAvailable("The trial had no evaluation on held-out text.")


def _quality(
    figure: Callable[[Evaluation], float | None],
    method: Callable[[Evaluation], str],
    scope: Callable[[Evaluation], str],
    why_not: str,
) -> Callable[[TrialRecords], Value | NotAvailable]:
    def compute(records: TrialRecords) -> Value | NotAvailable:
        found = _evaluation(records)
        if isinstance(found, NotAvailable):
            return found
        value = figure(found)
        if value is None or not math.isfinite(value):
            return NotAvailable(why_not)
        how = f"{method(found)}, context {found.context_tokens} tokens, {_begin(found)}"
        return Value(value, how, found.tokens, scope(found))

    return compute


def _perplexity(found: Evaluation) -> float | None:
    loss = found.nll_sum / found.tokens
    return math.exp(loss) if loss < 700 else None


def bits_per_byte(found: Evaluation) -> float | None:
    return found.nll_sum / math.log(2) / found.text_bytes if found.text_bytes > 0 else None


def above_chance(records: TrialRecords) -> Value | NotAvailable:
    """1 − loss / ln(vocabulary): 0 is uniform guessing over the vocabulary, 1 certainty."""
    found, vocabulary = _evaluation(records), records.detail("vocabulary")
    if isinstance(found, NotAvailable):
        return found
    if vocabulary is None or vocabulary <= 1:
        return NotAvailable("The size of the vocabulary was not recorded; without it chance is not known.")
    share = 1 - found.nll_sum / found.tokens / math.log(vocabulary)
    return Value(share, f"1 − mean token loss / ln {vocabulary:,.0f}, {_begin(found)}", found.tokens, scope_of(found))


def scope_of(found: Evaluation) -> str:
    """Which tokens were scored: windows of another size begin elsewhere in the text."""
    windows = f", windows of {found.context_tokens:,} tokens" if found.context_tokens > 0 else ""
    after = f", each after {found.begin}" if found.begin else ""
    return f"{found.tokens:,} tokens, {found.text_bytes:,} bytes of {text_of(found)}{windows}{after}"


def text_of(found: Evaluation) -> str:
    """The text by name and the first digits of its hash. A figure that may lack the model's begin token compares with
    none that follows its tokenizer's rule."""
    digits = found.data_hash.removeprefix("sha256:")[:8]
    named = f"{found.data_name} ({digits})" if digits else found.data_name
    return named if found.begin is not None else f"{named}, {NO_RULE}"


def _begin(found: Evaluation) -> str:
    if found.begin is None:
        return NO_RULE
    return f"begin token {found.begin} in every window" if found.begin else "no begin token"


def stretch_of(found: Evaluation) -> str:
    """Bytes are a method, not a scope: the same number of tokens is another stretch of the text for every tokenizer."""
    return f"Σ token loss / ln 2 / bytes, over {found.text_bytes:,} bytes, {found.tokens:,} tokens"


_held_out = partial(
    Metric, window="evaluate", version=3, group="quality", task="generate", counts="tokens", same_scope=True
)

METRICS = (
    _held_out(
        id="perplexity",
        title="Perplexity",
        definition="exp(mean token loss) on held-out text. Compared only over the same tokens: perplexities of "
        "different tokenizers say nothing about each other. Every window begins with the tokenizer's begin token, if "
        "it adds one.",
        unit="ratio",
        better="lower",
        compute=_quality(
            _perplexity,
            lambda _: "exponential of the mean token loss",
            scope_of,
            "The loss is too large for a perplexity.",
        ),
        primary=True,
        beside=("bits_per_byte",),
        needs=("evaluation",),
    ),
    _held_out(
        id="bits_per_byte",
        title="Bits per byte",
        definition="Σ token loss / ln 2 / bytes of the text: comparable where tokenizers differ. Compared only over "
        "the same text; tokenizers that make longer tokens are asked over a longer stretch of it.",
        unit="bit/B",
        better="lower",
        compute=_quality(bits_per_byte, stretch_of, text_of, "The evaluated text has no bytes."),
        needs=("evaluation",),
    ),
    _held_out(
        id="above_chance_ratio",
        title="Quality above chance",
        definition="1 − mean token loss / ln(vocabulary): 0 is guessing evenly among all tokens, 1 is certainty. "
        "Near 0 a model has no quality to compare.",
        unit="ratio",
        better="higher",
        compute=above_chance,
        shown_unit="%",
        needs=("evaluation", "model_loaded"),
    ),
)
