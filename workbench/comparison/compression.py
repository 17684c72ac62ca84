"""The compression rate (MCR) of an experiment's configurations, each against the original of its own model. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.comparison.trials import ConfigurationTrials
from workbench.metrics.compression import NEAR_CHANCE, compression_rate
from workbench.metrics.tasks import TOLD_FROM_CHANCE
from workbench.statistics import intervals as statistics
from workbench.statistics import text_error
from workbench.statistics.intervals import Interval
from workbench.statistics.text_error import TextLoss
from workbench.store.operations import ConfigurationRow
from workbench.units import format_share

RATE = "compression_rate"
BY_ACCURACY = "compression_rate_accuracy"
NOMINAL = "compression_nominal_ratio"


@dataclass(frozen=True)
class Figure:
    """A figure of one configuration against its original; `value` None: `reason` says why."""

    value: float | None = None
    interval: Interval | None = None
    n: int = 0
    method: str = ""
    quality: str = ""
    """How the ratio of quality in it was made, and its interval."""
    reason: str = ""
    scope: str = ""


@dataclass(frozen=True)
class _Facts:
    """What a configuration's trials say about size and quality."""

    size: float | None
    nominal_bits: float | None
    above_chance: float | None
    perplexities: dict[int, float]
    """By block."""
    loss: TextLoss | None
    """Along the text of the perplexity."""
    text: str
    """What the perplexity was taken over; "" where trials differ or have none."""
    accuracy: float | None
    questions: str
    """What the accuracy was taken over; "" where trials differ or have none."""
    errors_above_chance: float | None


def figures(
    configurations: Sequence[ConfigurationRow], kept: Mapping[str, ConfigurationTrials], pinned: str | None
) -> dict[str, dict[str, Figure]]:
    """All figures by metric and configuration. `pinned` is the original where several configurations of a model are
    equally uncompressed."""
    facts = {c.configuration: _facts(kept[c.configuration]) for c in configurations}
    found: dict[str, dict[str, Figure]] = {RATE: {}, BY_ACCURACY: {}, NOMINAL: {}}
    for own in configurations:
        family = [c for c in configurations if c.model == own.model]
        original = _original(family, facts, pinned)
        if original is None or len(family) < 2:
            none = Figure(reason="There is no original of this model with results beside it.")
            for figures_of in found.values():
                figures_of[own.configuration] = none
            continue
        mine, its = facts[own.configuration], facts[original.configuration]
        found[RATE][own.configuration] = _rate(mine, its, original.title)
        found[BY_ACCURACY][own.configuration] = _by_accuracy(mine, its, original.title)
        found[NOMINAL][own.configuration] = _nominal(mine, its, original.title)
    return found


def _facts(trials: ConfigurationTrials) -> _Facts:
    def one(metric: str) -> float | None:
        summary = statistics.summarise([value for _, _, value in trials.values(metric, trials.counted)])
        return summary.value if summary is not None else None

    def scope(metric: str) -> str:
        scopes = {row.scope for _, row, _ in trials.values(metric, trials.counted)}
        return scopes.pop() if len(scopes) == 1 else ""

    return _Facts(
        size=one("tensor_bytes"),
        nominal_bits=one("nominal_bits_per_weight"),
        above_chance=one("above_chance_ratio"),
        perplexities=trials.by_block("perplexity"),
        loss=trials.text_loss,
        text=scope("perplexity"),
        accuracy=one("accuracy_mean_ratio"),
        questions=scope("accuracy_mean_ratio"),
        errors_above_chance=one("accuracy_above_chance_errors"),
    )


def _original(
    family: Sequence[ConfigurationRow], facts: Mapping[str, _Facts], pinned: str | None
) -> ConfigurationRow | None:
    """The configuration with the most bits per weight, or with the most bytes where one does not state its bits; of
    several, the pinned one, then the first."""
    sized = [c for c in family if facts[c.configuration].size is not None]
    bits_told = all(facts[c.configuration].nominal_bits is not None for c in sized)

    def rank(row: ConfigurationRow) -> tuple[float, bool, int]:
        own = facts[row.configuration]
        largest = own.nominal_bits if bits_told else own.size
        return largest or 0.0, row.configuration == pinned, -row.position

    return max(sized, key=rank, default=None)


def _rate(mine: _Facts, its: _Facts, original: str) -> Figure:
    if mine.size is None or its.size is None or mine.size <= 0:
        return Figure(reason="The size of the tensors is not known: no valid trial loaded the model.")
    if not mine.perplexities or not its.perplexities:
        return Figure(reason="No quality was measured, and size alone is not a compression rate.")
    if not mine.text or mine.text != its.text:
        return Figure(reason="Its quality was measured over other text than the original's.")
    least = min((v for v in (mine.above_chance, its.above_chance) if v is not None), default=None)
    if least is not None and least < NEAR_CHANCE:
        return Figure(reason=f"Quality is near chance ({format_share(least)} above it); no ratio is shown.")
    quality = statistics.ratios_to_baseline(its.perplexities, {"": mine.perplexities}).get("")
    if quality is None:
        return Figure(reason="It shares no block with the original.")
    if mine is not its:
        value, its_value = (next(iter(f.perplexities.values())) for f in (mine, its))
        quality = text_error.with_paired_error("perplexity", quality, (value, mine.loss), (its_value, its.loss))
    caution = "" if least is not None else "; nearness to chance not checked: the vocabulary's size was not recorded"
    method = (
        f"counted bytes {its.size:,.0f} / {mine.size:,.0f} x perplexity of the original / own; original: {original}"
        f"{caution}"
    )
    interval = quality.interval
    return Figure(
        value=compression_rate(its.size, mine.size, 1 / quality.ratio),
        interval=None
        if interval is None
        else Interval(
            compression_rate(its.size, mine.size, 1 / interval.high),
            compression_rate(its.size, mine.size, 1 / interval.low),
        ),
        n=quality.blocks,
        method=method,
        quality=quality.method,
        scope=mine.text,
    )


def _by_accuracy(mine: _Facts, its: _Facts, original: str) -> Figure:
    if mine.size is None or its.size is None or mine.size <= 0:
        return Figure(reason="The size of the tensors is not known: no valid trial loaded the model.")
    if mine.accuracy is None or its.accuracy is None:
        return Figure(reason="No accuracy on tasks was measured.")
    if not mine.questions or mine.questions != its.questions:
        return Figure(reason="Its accuracy was measured on other questions than the original's.")
    known = [e for e in (mine.errors_above_chance, its.errors_above_chance) if e is not None]
    if its.accuracy <= 0 or (known and min(known) < TOLD_FROM_CHANCE):
        return Figure(reason="Accuracy is not better than chance; no ratio is shown.")
    caution = "" if len(known) == 2 else "; nearness to chance not checked: what guessing gets is not known"
    method = (
        f"counted bytes {its.size:,.0f} / {mine.size:,.0f} x accuracy {mine.accuracy:.3f} / {its.accuracy:.3f}; "
        f"original: {original}; error over questions not carried through{caution}"
    )
    rate = compression_rate(its.size, mine.size, mine.accuracy / its.accuracy)
    return Figure(value=rate, n=1, method=method, scope=mine.questions)


def _nominal(mine: _Facts, its: _Facts, original: str) -> Figure:
    if not mine.nominal_bits or not its.nominal_bits:
        return Figure(reason="The nominal bits per weight are not known: no valid trial loaded the model.")
    ratio = its.nominal_bits / mine.nominal_bits
    method = f"{its.nominal_bits:g} / {mine.nominal_bits:g} bits per weight as named; original: {original}"
    return Figure(value=ratio, n=1, method=method)
