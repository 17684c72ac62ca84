"""What a comparison of training trials says: all values first, then the sentences that tables, cards and the command
line show. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from workbench.comparison.training.basis import Basis, basis_of
from workbench.comparison.training.methods import methods_of
from workbench.comparison.training.optima import JUDGES, MethodResult, Optima, optima_of
from workbench.comparison.training.ranks import Ranking, rankings
from workbench.comparison.training.reaching import Reach, stored_reach
from workbench.comparison.training.seeds import seeds_of
from workbench.comparison.trials import ConfigurationTrials
from workbench.statistics.optimum import TOLERANCE
from workbench.statistics.seeds import Seeds, share
from workbench.store.operations import ExperimentDetail
from workbench.units import counted, format_duration, format_ratio

ONE_RATE = "One learning rate: may rank rates, not methods."
WEIGHTS_FACT = "training.trained_sha256"
"""Environment fact with the hash of all trained weights after the last step."""


@dataclass(frozen=True)
class TrainingComparison:
    basis: Basis
    optima: Optima
    seeds: Seeds | None
    reach: tuple[Reach, ...]
    """Where the trials were given a target loss."""
    rankings: tuple[Ranking, ...]
    identical: tuple[tuple[str, str], ...]
    """Titles of configurations that ended with the same weights, seed by seed: one method under two names."""
    titles: Mapping[str, str]
    """Of configurations."""


def training_comparison(
    detail: ExperimentDetail,
    kept: Mapping[str, ConfigurationTrials],
    baseline: str | None,
    margin: float,
    titles: Mapping[str, str],
) -> TrainingComparison | None:
    """`titles` tell configurations apart. None where nothing trains."""
    basis = basis_of(detail)
    if basis is None:
        return None
    optima = optima_of(methods_of(detail), kept, baseline, margin)
    identical = tuple((titles[a], titles[b]) for a, b in _identical(detail, kept))
    reach = stored_reach(kept)
    return TrainingComparison(basis, optima, seeds_of(optima), reach, rankings(optima, kept), identical, titles)


def _identical(detail: ExperimentDetail, kept: Mapping[str, ConfigurationTrials]) -> Iterable[tuple[str, str]]:
    hashes = {
        c: {t.block: h for t in trials.counted if (h := detail.environments.get(t.trial, {}).get(WEIGHTS_FACT))}
        for c, trials in kept.items()
    }
    for a, b in combinations(hashes, 2):
        common = hashes[a].keys() & hashes[b].keys()
        if common and all(hashes[a][s] == hashes[b][s] for s in common):
            yield a, b


# --- in words --------------------------------------------------------------------------------------


def sentences(found: TrainingComparison) -> tuple[str, ...]:
    """From the verdict to the cautions; what has nothing to say is left out."""
    optima = found.optima
    said = [f"Training compared {found.basis.words}."] if found.basis.words else []
    if optima.reason:
        said.append(optima.reason)
    said += [f"{a} and {b} ended with identical weights: they are one method here." for a, b in found.identical]
    if optima.methods and not optima.reason and len(optima.methods) > 1:
        said.append(_verdicts(optima))
    if any(len(m.method.rates) > 1 for m in optima.methods):
        said += [_optimum(m) for m in optima.methods if m.optimum is not None]
        if optima.unequal_tuning:
            counts = ", ".join(f"{m.method.title} {len(m.method.rates)}" for m in optima.methods)
            said.append(f"Unequal tuning: learning rates tried are {counts}. The more are tried, the lower the best.")
    elif optima.one_rate and len(optima.methods) > 1:
        said.append(ONE_RATE)
    if found.seeds is not None:
        said.append(found.seeds.words())
    said += [reach_words(r, found.titles) for r in found.reach]
    return tuple(said)


def _verdicts(optima: Optima) -> str:
    """ "Test loss against LoRA: DoRA no difference shown 0.997x [0.99, 1.004] over 5 seeds; ..." """
    what = "Test loss" if optima.judged_on == JUDGES else "Held-out loss (no test loss was made)"
    where = "" if optima.one_rate else ", each method at its own learning rate"
    told = [_verdict(m) for m in optima.methods if m.word != "baseline"]
    return f"{what} against {optima.baseline}{where}: {'; '.join(told)}."


def _verdict(result: MethodResult) -> str:
    title = result.method.title
    if result.optimum is None:
        return f"{title} not available"
    if result.against is None or (result.against.interval is None and not result.against.deterministic):
        return f"{title} no verdict, which takes two seeds"
    ends = (result.against.interval.low, result.against.interval.high) if result.against.interval is not None else ()
    edge = " (provisional: its optimum lies at an edge)" if result.optimum.edge not in ("", "only") else ""
    ratio = format_ratio(result.against.ratio, *ends)
    return f"{title} {result.word} {ratio} over {counted(result.against.blocks, 'seeds')}{edge}"


def _optimum(result: MethodResult) -> str:
    best, title = result.optimum, result.method.title
    assert best is not None
    if best.edge == "only":
        return f"{title}: one learning rate ({best.setting:g})."
    low = f"{best.low:.2g}{' or lower' if best.open_low else ''}"
    high = f"{best.high:.2g}{' or higher' if best.open_high else ''}"
    said = f"{title}: lowest at learning rate {best.setting:g}, within {share(TOLERANCE)} of it from {low} to {high}"
    if result.unfinished:
        return f"{said}; not all of its trials have ended."
    if best.edge and best.next_setting is not None:
        return f"{said}; the optimum lies at the {best.edge} edge: run {best.next_setting:.2g} too."
    return f"{said}."


def reach_words(found: Reach, titles: Mapping[str, str]) -> str:
    """ "LoRA reached the target loss in 4 of 5 trials (probability 28 to 99 %), in a median of 40 s ..." """
    ends = found.probability
    said = (
        f"{titles.get(found.configuration, found.configuration)} reached the target loss in {found.reached} of "
        f"{found.trials} trials (probability {100 * ends.low:.0f} to {100 * ends.high:.0f} %)"
    )
    time = found.medians.get("time")
    if time is None or not math.isfinite(time.value):
        return f"{said}; the median time is not reached." if found.unreached else f"{said}."
    if time.interval is None:
        return f"{said}, in a median of {format_duration(time.value)}."
    high = format_duration(time.interval.high) if math.isfinite(time.interval.high) else "no known limit"
    low = format_duration(time.interval.low)
    return f"{said}, in a median of {format_duration(time.value)} ({low} to {high})."
