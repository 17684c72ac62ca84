"""Cost against length, from stored trials: a curve for each configuration but for its length, its power law, and from
which length on it lies below another's. Pure.

A curve of a reference implementation (`architecture.implementation` among a trial's facts) is drawn and gets neither an
exponent nor a crossing: its time and memory are those of the code. What is counted, the cache, is the architecture's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.comparison.families import Family, families, order_of
from workbench.comparison.trials import ConfigurationTrials
from workbench.metrics.registry import find, metric
from workbench.statistics import intervals
from workbench.statistics.crossing import Crossing, crossing
from workbench.statistics.intervals import Summary
from workbench.statistics.power_law import ByLength, PowerLaw, Refusal, fit
from workbench.store.operations import ConfigurationRow, ExperimentDetail

LENGTHS = {"inference": "prompt_tokens", "training": "sequence_tokens", "pretraining": "sequence_tokens"}
"""Setting that is the length, by kind of work."""
TITLES = {
    "prompt_tokens": "Prompt length",
    "sequence_tokens": "Sequence length",
    "cached_tokens": "Cache length",
}
_CACHED = ("cache_bytes", "cached_tokens")
"""What the cache holds at the end of a request counts by all tokens in it."""
COSTS = (
    "cache_bytes",
    "memory_pss_peak_bytes",
    "device_process_peak_bytes",
    "training_peak_bytes",
    "time_to_first_token_s",
    "inter_token_latency_s",
    "training_step_s",
    "energy_per_token_joules",
    "energy_per_step_joules",
)
"""In the order they are shown; those that no trial has are left out."""
IMPLEMENTATION = "architecture.implementation"
REFERENCE = "reference implementation"
_FLAT = 1e-6
"""Exponents of counted figures up to this are 0 to rounding."""
_WITHHELD = "A reference implementation: its cost is that of the code, not of the architecture."


@dataclass(frozen=True)
class Curve:
    title: str
    color: int
    configurations: Mapping[float, str]
    """By length, rising."""
    values: ByLength
    """Of the trials that count."""
    points: Mapping[float, Summary]
    """By length; those without a value are left out."""
    law: PowerLaw | Refusal
    reference: bool


@dataclass(frozen=True)
class Pair:
    """Two curves and where they cross."""

    first: str
    second: str
    found: Crossing | Refusal


@dataclass(frozen=True)
class LengthCost:
    metric: str
    length: str
    """What the length is: a key of `TITLES`."""
    curves: tuple[Curve, ...]
    against: str
    """Title of the curve that the others are held against."""
    pairs: tuple[Pair, ...]
    """Every other curve, first, against that one, second."""


def costs_of(
    detail: ExperimentDetail, kept: Mapping[str, ConfigurationTrials], against: str | None = None
) -> tuple[LengthCost, ...]:
    """`against`: a configuration whose curve the others are held against, else the first curve. () where no
    configuration was run at two lengths or more."""
    by_kind: dict[str, list[ConfigurationRow]] = {}
    for row in detail.configurations:
        by_kind.setdefault(kind_of(row), []).append(row)
    found: list[LengthCost] = []
    for kind, setting in LENGTHS.items():
        groups = families(by_kind.get(kind, ()), setting, alone="attention")
        swept = [family for family in groups if len({length_of(row, setting) for row in family.rows}) > 1]
        if swept:
            found += [cost for id in COSTS if (cost := _cost(id, setting, swept, detail, kept, against)) is not None]
    return tuple(found)


def kind_of(row: ConfigurationRow) -> str:
    workload = order_of(row).get("workload")
    return str(workload.get("kind", "inference")) if isinstance(workload, dict) else ""


def length_of(row: ConfigurationRow, setting: str) -> float:
    """0 where the order does not say."""
    if setting == _CACHED[1]:  # the last token is generated and not read again
        prompt, new = (length_of(row, name) for name in ("prompt_tokens", "new_tokens"))
        return prompt + new - 1 if prompt and new else 0.0
    workload = order_of(row).get("workload")
    value = workload.get(setting) if isinstance(workload, dict) else None
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else 0.0


def _cost(
    id: str,
    setting: str,
    swept: Sequence[Family],
    detail: ExperimentDetail,
    kept: Mapping[str, ConfigurationTrials],
    against: str | None,
) -> LengthCost | None:
    setting = _CACHED[1] if id == _CACHED[0] else setting
    curves = [curve for family in swept if (curve := _curve(id, setting, family, detail, kept)).points]
    if not curves:
        return None
    pinned = next((c for c in curves if against in c.configurations.values()), curves[0])
    exact = metric(id).exact
    pairs = tuple(Pair(c.title, pinned.title, _crossing(c, pinned, exact)) for c in curves if c is not pinned)
    return LengthCost(id, setting, tuple(curves), pinned.title, pairs)


def _curve(
    id: str, setting: str, family: Family, detail: ExperimentDetail, kept: Mapping[str, ConfigurationTrials]
) -> Curve:
    by_length = {length_of(row, setting): row.configuration for row in family.rows}
    configurations = {length: by_length[length] for length in sorted(by_length) if length > 0}
    values = {length: kept[c].by_block(id) for length, c in configurations.items()}
    points = {n: s for n, v in values.items() if (s := intervals.summarise(list(v.values()))) is not None}
    known = metric(id)
    reference = any(
        REFERENCE in detail.environments.get(t.trial, {}).get(IMPLEMENTATION, "")
        for c in configurations.values()
        for t in kept[c].counted
    )
    withheld = reference and not known.exact
    law = Refusal(_WITHHELD) if withheld else fit({n: values[n] for n in points}, exact=known.exact)
    title = family.title if family.title != family.rows[0].title else family.rows[0].model
    return Curve(title, family.color, configurations, {n: values[n] for n in points}, points, law, reference)


def _crossing(curve: Curve, pinned: Curve, exact: bool) -> Crossing | Refusal:
    if not exact and (curve.reference or pinned.reference):
        return Refusal(_WITHHELD)
    return crossing(curve.values, pinned.values, exact=exact)


# --- in words --------------------------------------------------------------------------------------


def sentences(cost: LengthCost) -> tuple[str, ...]:
    """How the cost grows, then from where on which curve is lower."""
    name = _name(cost.metric)
    grows = "; ".join(f"{curve.title} {law_words(curve.law)}" for curve in cost.curves)
    return (f"{name} against {TITLES[cost.length].lower()}: {grows}.", *(pair_words(cost, p) for p in cost.pairs))


def law_words(law: PowerLaw | Refusal) -> str:
    """ "grows with exponent 1.02 [0.98, 1.06]"."""
    if isinstance(law, Refusal):
        return f"has no exponent ({law.reason.rstrip('.')})"
    figure = exponent(law.exponent, law.interval)
    if law.shape != "bent" and law.interval is not None and law.interval.holds(0):
        return f"shows no growth (exponent {figure})"
    if law.interval is None and abs(law.exponent) < _FLAT:
        return "does not grow (counted)"
    if law.shape == "straight":
        return f"grows with exponent {figure}{'' if law.interval else ' (counted)'}"
    if law.shape == "unclear":
        return f"grows with exponent {figure}; trials scatter too much to show whether a line describes it"
    first, last = law.steps[0], law.steps[-1]
    return (
        f"follows no single power (up to {law.departure:.0%} off a line on log axes): exponent "
        f"{exponent(first.exponent, first.interval)} from {first.low:,.0f} to {first.high:,.0f}, "
        f"{exponent(last.exponent, last.interval)} from {last.low:,.0f} to {last.high:,.0f}"
    )


def exponent(value: float, interval: intervals.Interval | None) -> str:
    """ "1.02 [0.98, 1.06]"; two decimals, more where the interval is narrower."""
    if interval is None:
        return f"{round(value, 6) + 0.0:.3g}"  # never −0
    digits = 2 if interval.high - interval.low > 0.02 else 3
    return f"{value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def pair_words(cost: LengthCost, pair: Pair) -> str:
    """ "MLA: less cache of a sequence than GQA from 1,900 tokens on [1,700, 2,100]."""
    found, name = pair.found, _name(cost.metric)
    name = name[:1].lower() + name[1:]
    if isinstance(found, Refusal):
        return f"{pair.first} against {pair.second}, {name}: no crossing is looked for. {found.reason}"
    known = find(cost.metric)
    more, less = known.words if known is not None else ("more", "less")
    span = f"from {found.low:,.0f} to {found.high:,.0f} tokens"
    unsure = ""
    if found.undecided:
        unsure = f"; no difference shows at {', '.join(f'{n:,.0f}' for n in found.undecided)} tokens"
    if found.lower is None:
        return f"{pair.first} and {pair.second}, {name}: no difference shows {span}."
    begins = less if found.lower == "first" else more
    shown = "{:,.0f}".format if known is not None and known.exact else about  # of counted figures lengths that were run
    if not found.places:
        return f"{pair.first}: {name} {begins} than {pair.second} {span}, no crossing in the measured range{unsure}."
    changes = ", ".join(
        f"{less if place.then == 'first' else more} from {about(place.at)} tokens on "
        f"[{shown(place.interval.low)}, {shown(place.interval.high)}]"
        for place in found.places
    )
    return f"{pair.first}: {name} {begins} than {pair.second} at first, {changes}{unsure}."


def about(length: float) -> str:
    """ "1,900": a length to two digits where it has three or more."""
    digits = max(0, len(f"{length:.0f}") - 2)
    return f"{round(length, -digits):,.0f}"


def _name(id: str) -> str:
    known = find(id)
    return known.title if known is not None else id.replace("_", " ")
