"""On what basis training trials are compared: equal steps, tokens, time or loss, as they were asked to stop. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from workbench.comparison.training.methods import workload_of
from workbench.store.operations import ExperimentDetail, MetricRow
from workbench.units import counted, format_duration

Kind = Literal["steps", "tokens", "time", "loss"]


@dataclass(frozen=True)
class Basis:
    kind: Kind | None
    """None: configurations stop by different rules."""
    least: float
    """Steps (warm-up included), tokens, s, or loss; 0 where `kind` is None."""
    most: float
    """More than `least` where they were not asked for the same."""
    tokens_differ: bool = False
    """At equal steps: a step has more tokens in some configurations than in others."""
    capped: int = 0
    """At equal tokens or time: trials that the largest number of steps ended before that."""
    alone: bool = False
    """Only one configuration trains: nothing is compared on this basis."""

    @property
    def equal(self) -> bool:
        return self.kind is not None and self.least == self.most and not self.capped

    @property
    def words(self) -> str:
        """ "at equal steps: 200", for under a chart or a table; "" of one configuration alone."""
        if self.alone:
            return ""
        if self.kind is None:
            return "on no equal basis: configurations stop by different rules"
        if self.least != self.most:
            return f"not at equal {self.kind}: {self._amount(self.least)} to {self._amount(self.most)}"
        more = "; a step has more tokens in some configurations than in others" if self.tokens_differ else ""
        if self.capped:
            more = f", but {counted(self.capped, 'trials')} ended at the largest number of steps before that"
        return f"at equal {self.kind}: {self._amount(self.least)}{more}"

    def _amount(self, value: float) -> str:
        if self.kind == "time":
            return format_duration(value)
        return f"{value:g}" if self.kind == "loss" else f"{value:,.0f}"


_CLEARLY = 0.95
"""Share of what may be spent under which it is not spent: warm-up steps and data are reckoned, not counted."""
_RULES: dict[str, tuple[Kind, str]] = {
    "steps": ("steps", ""),
    "tokens": ("tokens", "token_budget"),
    "time": ("time", "time_budget_s"),
    "loss": ("loss", "target_loss"),
}


def basis_of(detail: ExperimentDetail) -> Basis | None:
    """None where nothing trains."""
    loads = [load for c in detail.configurations if (load := workload_of(c))]
    if not loads:
        return None
    rules = {str(load.get("stop_at", "steps")) for load in loads}
    if len(rules) > 1 or not rules <= set(_RULES):
        return Basis(None, 0.0, 0.0)
    kind, key = _RULES[rules.pop()]
    amounts = [_steps(load) if kind == "steps" else _of(load, key) for load in loads]
    a_step = {
        _of(load, "batch_size", 1) * _of(load, "accumulation", 1) * _of(load, "sequence_tokens") for load in loads
    }
    differ = kind == "steps" and len(a_step) > 1
    return Basis(kind, min(amounts), max(amounts), differ, _capped(detail, kind), alone=len(loads) == 1)


def _capped(detail: ExperimentDetail, kind: Kind) -> int:
    """Completed trials that made as many steps as their workload allows, and so clearly had tokens or time left.
    Who reached a loss is said by `reaching`."""
    if kind not in ("tokens", "time"):
        return 0
    loads = {c.configuration: load for c in detail.configurations if (load := workload_of(c))}
    known = {(r.trial, r.metric): r for r in detail.metrics if r.value is not None}
    return sum(
        _ran_out_of_steps(t.trial, loads[t.configuration], kind, known)
        for t in detail.trials
        if t.outcome == "completed" and t.configuration in loads
    )


def _ran_out_of_steps(
    trial: str, load: dict[str, object], kind: Kind, known: Mapping[tuple[str, str], MetricRow]
) -> bool:
    a_step, tokens = known.get((trial, "training_latency_s")), known.get((trial, "training_tokens_per_second"))
    if a_step is None or a_step.value is None or tokens is None or not a_step.n or a_step.n < _of(load, "steps"):
        return False
    warm = (a_step.n + _of(load, "warmup_steps")) / a_step.n
    if kind == "tokens":
        return (tokens.n or 0) * warm < _CLEARLY * _of(load, "token_budget")
    return a_step.value * a_step.n * warm < _CLEARLY * _of(load, "time_budget_s")


def _steps(load: dict[str, object]) -> float:
    return _of(load, "steps") + _of(load, "warmup_steps")


def _of(load: dict[str, object], key: str, default: float = 0.0) -> float:
    value = load.get(key, default)
    return float(value) if isinstance(value, (int, float)) else default
