"""On what basis training trials are compared: equal steps, tokens, time or loss, as they were asked to stop. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.comparison.training.methods import workload_of
from workbench.store.operations import ExperimentDetail
from workbench.units import format_duration

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

    @property
    def equal(self) -> bool:
        return self.kind is not None and self.least == self.most

    @property
    def words(self) -> str:
        """ "at equal steps: 200", for under a chart or a table."""
        if self.kind is None:
            return "on no equal basis: configurations stop by different rules"
        if not self.equal:
            return f"not at equal {self.kind}: {self._amount(self.least)} to {self._amount(self.most)}"
        more = "; a step has more tokens in some configurations than in others" if self.tokens_differ else ""
        return f"at equal {self.kind}: {self._amount(self.least)}{more}"

    def _amount(self, value: float) -> str:
        if self.kind == "time":
            return format_duration(value)
        return f"{value:g}" if self.kind == "loss" else f"{value:,.0f}"


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
    return Basis(kind, min(amounts), max(amounts), kind == "steps" and len(a_step) > 1)


def _steps(load: dict[str, object]) -> float:
    return _of(load, "steps") + _of(load, "warmup_steps")


def _of(load: dict[str, object], key: str, default: float = 0.0) -> float:
    value = load.get(key, default)
    return float(value) if isinstance(value, (int, float)) else default
