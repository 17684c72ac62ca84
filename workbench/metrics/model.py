"""What a metric is. To add one: a function in a module of this package and an entry in `registry.METRICS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from workbench.metrics.trial import TrialRecords

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Value:
    """A metric of one trial, in base units. `n` counts what it was made of (tokens, samples, requests)."""

    value: float
    method: str
    n: int | None = None
    scope: str = ""
    """What exactly it was taken over, where the metric's window is not enough to tell whether two values compare
    ("512 tokens, 2210 bytes of TEXT (hash)"); "" is the metric's window."""


@dataclass(frozen=True)
class NotAvailable:
    """Why there is no value, in a sentence. Never zero instead."""

    reason: str
    n: int | None = None
    """0: the trial ended before there was a value, see `Metric.censored`."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    id: str
    """"decode_tokens_per_second"."""
    title: str
    """"Decode throughput"."""
    definition: str
    """One or two sentences with the formula and its source."""
    unit: str
    """Base unit as stored: "tokens/s", "s", "B", "J/token", "ratio"."""
    better: Better
    window: str = "measured requests"
    """Or "decode", "whole trial", ..."""
    version: int = 1
    """Rises with the formula: stored values of older ones are made again."""
    compute: Callable[[TrialRecords], Value | NotAvailable]
    shown_unit: str = ""
    """Practical unit ("GiB", "ms"); "" as stored."""
    group: str = "speed"
    """"speed", "latency", "memory", "energy", "quality", "cost"."""
    primary: bool = False
    """Shown in the comparison table before the user chooses columns."""
    exact: bool = False
    """Counted, not measured: the same in every trial of a configuration, so one trial is enough."""
    same_scope: bool = False
    """Ratios only between values of the same scope (perplexity over the same tokens)."""
    censored: bool = False
    """A trial may end before there is a value (a loss that was not reached): it then counts as infinite in a median,
    and no mean and no ratio is formed."""
    needs: tuple[str, ...] = ()
    """Kinds of record, columns of telemetry, phases and assumptions it is made from: ("request", "energy_joules")."""
    estimate: bool = False
    """Rests on a figure that the user set and nobody measured: labelled as an estimate everywhere it shows."""
    compared: bool = False
    """Needs another configuration beside this one: the comparison computes it, no trial has it."""
    task: Literal["any", "generate", "train"] = "any"
    """The kind of trial it speaks of; a table of other trials leaves it out."""
    counts: str = "readings"
    """What the `n` of its values counts, in the plural."""
    beside: tuple[str, ...] = ()
    """Metrics that it is not to be read without: mean power says nothing unless the energy of a token is known."""
    by_device: bool = False
    """Another quantity on a processor than on a GPU, so that no ratio is formed between the two."""
    nouns: tuple[str, str] = ("", "")
    """Words for a higher and a lower value against the baseline ("more", "less"); "" picks them from the group."""

    @property
    def of_requests(self) -> bool:
        """Made from requests, which training has none of."""
        return "request" in self.needs and "step" not in self.needs

    @property
    def words(self) -> tuple[str, str]:
        """Words for higher and lower: ("faster", "slower")."""
        if self.nouns != ("", ""):
            return self.nouns
        if self.group == "speed":
            return ("faster", "slower") if self.better == "higher" else ("slower", "faster")
        if self.group == "latency":
            return ("slower", "faster")
        if self.group == "quality":
            return ("better", "worse") if self.better == "higher" else ("worse", "better")
        return ("more", "less")
