"""Ranks of methods per metric among models of one size, as spans where intervals leave them open. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from workbench.comparison.training.optima import Optima
from workbench.comparison.trials import ConfigurationTrials
from workbench.metrics.model import Metric
from workbench.metrics.registry import metric
from workbench.statistics.intervals import same, t_interval

RANKED = (
    "test_loss",
    "held_out_loss",
    "memory_mean_bytes",
    "utilisation_ratio",
    "training_latency_s",
    "training_samples_per_parameter_second",
    "power_mean_watts",
    "energy_per_step_joules",
    "training_peak_bytes",
    "trained_parameters",
)
"""EfficientLLM's six for fine-tuning (loss, AMU, PCU, AL, ST, AEC), and what they leave out."""
_SIZES = ((5e8, "under 0.5 B"), (1e9, "0.5 to 1 B"), (4e9, "1 to 4 B"), (1e10, "4 to 10 B"), (2e10, "10 to 20 B"))


@dataclass(frozen=True)
class Rank:
    method: str
    configuration: str
    """The one at the method's own optimum."""
    value: float
    best: int
    """From this rank .."""
    worst: int
    """.. to this one: other methods that are not shown to be better or worse may stand before or after."""

    @property
    def words(self) -> str:
        """ "2", "1 to 3"."""
        return f"{self.best}" if self.best == self.worst else f"{self.best} to {self.worst}"


@dataclass(frozen=True)
class Ranking:
    metric: str
    size: str
    """Of the models that are ranked together: "1 to 4 B parameters"."""
    ranks: tuple[Rank, ...]
    """Best value first."""


def rankings(optima: Optima, kept: Mapping[str, ConfigurationTrials]) -> tuple[Ranking, ...]:
    """Groups of two methods and more, metric by metric."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for result in optima.methods:
        if result.optimum is not None:
            configuration = result.method.configurations[result.optimum.setting]
            groups.setdefault(_size(kept[configuration]), []).append((result.method.title, configuration))
    found = (_ranking(id, size, members, kept) for size, members in groups.items() for id in RANKED)
    return tuple(r for r in found if r is not None)


def _size(trials: ConfigurationTrials) -> str:
    """By the model's parameters, as `tensor_bytes` counted them."""
    counts = [row.n for _, row, _ in trials.values("tensor_bytes", trials.counted) if row.n]
    if not counts:
        return "unknown size"
    return next((f"{words} parameters" for limit, words in _SIZES if counts[0] < limit), "over 20 B parameters")


def _ranking(
    id: str, size: str, members: Sequence[tuple[str, str]], kept: Mapping[str, ConfigurationTrials]
) -> Ranking | None:
    known = metric(id)
    values = {m: kept[m[1]].by_block(id) for m in members}
    values = {m: by_block for m, by_block in values.items() if by_block}
    if len(values) < 2 or known.better == "neither" or _mixed(known, list(values), kept):
        return None
    sign = 1.0 if known.better == "lower" else -1.0
    pairs = list(combinations(values, 2))
    before = dict.fromkeys(values, 0)
    after = dict.fromkeys(values, 0)
    for a, b in pairs:
        order = sign * _shown(values[a], values[b], 1 - 0.05 / len(pairs), exact=known.exact)
        if order:
            first, second = (a, b) if order < 0 else (b, a)
            before[second] += 1
            after[first] += 1
    mean = {m: math.exp(sum(map(math.log, v.values())) / len(v)) for m, v in values.items()}
    ordered = sorted(values, key=lambda m: sign * mean[m])
    return Ranking(id, size, tuple(Rank(*m, mean[m], 1 + before[m], len(values) - after[m]) for m in ordered))


def _mixed(known: Metric, members: Sequence[tuple[str, str]], kept: Mapping[str, ConfigurationTrials]) -> bool:
    """Whether the values are over different text, or on different kinds of device."""
    trials = [kept[c] for _, c in members]
    scopes = {row.scope for t in trials for _, row, _ in t.values(known.id, t.counted)}
    return (known.same_scope and len(scopes) > 1) or (known.by_device and len({t.device for t in trials}) > 1)


def _shown(a: Mapping[int, float], b: Mapping[int, float], confidence: float, *, exact: bool) -> int:
    """Sign of log a/b where it is shown, else 0: paired t interval over common seeds, which all pairs hold together."""
    logs = [math.log(a[s] / b[s]) for s in a if s in b]
    if exact or (len(logs) > 1 and same([*a.values()]) and same([*b.values()])):
        return 0 if not logs or abs(logs[0]) < 1e-9 else (1 if logs[0] > 0 else -1)
    interval = t_interval(logs, confidence)
    if interval is None or interval.low <= 0 <= interval.high:
        return 0
    return 1 if interval.low > 0 else -1
