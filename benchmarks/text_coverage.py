"""Does the paired interval of a perplexity ratio hold what a longer text says? (python -m benchmarks.text_coverage ID)

Takes an experiment (the newest without an ID) that scored a long text (`perplexity_tokens = 9600` or more), cuts it
into stretches of 512, 1,024 and 2,048 tokens that overlap by three quarters, and counts how often the interval of a
stretch holds the ratio over the whole text, for every configuration against the first.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from statistics import median

import numpy as np

from workbench.running.workbench import Workbench
from workbench.statistics.intervals import RatioEstimate
from workbench.statistics.text_error import TextLoss, read, with_paired_error
from workbench.store.operations import GetExperiment

LENGTHS = (512, 1024, 2048)


def coverage(own: TextLoss, other: TextLoss, tokens: int) -> tuple[int, int, float]:
    """Stretches whose interval holds the ratio over the whole text, of how many, and the median half-width (ln)."""
    truth = _log_ratio(own, other)
    held, halves = 0, list[float]()
    for mine, its in zip(_stretches(own, tokens), _stretches(other, tokens), strict=True):
        values = tuple(math.exp(text.losses[-1] / text.tokens[-1]) for text in (mine, its))
        exact = RatioEstimate(values[0] / values[1], None, 1, True, "")
        found = with_paired_error("perplexity", exact, (values[0], mine), (values[1], its)).interval
        assert found is not None
        held += found.low <= math.exp(truth) <= found.high
        halves.append(math.log(found.high / found.low) / 2)
    return held, len(halves), median(halves)


def _log_ratio(own: TextLoss, other: TextLoss) -> float:
    return float(own.losses[-1] - other.losses[-1]) / float(own.tokens[-1])


def _stretches(text: TextLoss, tokens: int) -> Iterator[TextLoss]:
    part = int(text.tokens[1])
    count = tokens // part
    for first in range(0, len(text.tokens) - count, max(1, count // 4)):
        cut = slice(first, first + count + 1)
        yield TextLoss(
            text.text,
            text.tokens[cut] - text.tokens[first],
            text.bytes[cut],
            np.asarray(text.losses[cut] - text.losses[first]),
        )


def table(named: dict[str, TextLoss]) -> Iterator[str]:
    (first, baseline), *others = named.items()
    for name, own in others:
        yield f"{name} / {first}: {math.exp(_log_ratio(own, baseline)):.4f} over {own.tokens[-1]:,.0f} tokens"
        for tokens in LENGTHS:
            held, of, half = coverage(own, baseline, tokens)
            yield f"  {tokens:5,d} tokens: ±{math.expm1(half) * 100:.2f} %, held in {held} of {of} stretches"


def main() -> None:
    with Workbench() as session:
        detail = session.store.execute(GetExperiment(experiment=sys.argv[1] if len(sys.argv) > 1 else ""))
    named = {
        c.title: next((t.trial for t in detail.trials if t.configuration == c.configuration), "")
        for c in detail.configurations
    }
    found = {title: text for title, trial in named.items() if (text := read(detail.evaluations.get(trial, ())))}
    sys.stdout.write("\n".join(table(found)) + "\n")


if __name__ == "__main__":
    main()
