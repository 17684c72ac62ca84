"""Configurations of a training experiment as methods: those that differ in nothing but the learning rate are one. Pure.

The rate counts as it was used: a workload's, or the method's own where the workload leaves it to the method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engines.protocol.work import Pretraining, Training, tag_of
from engines.techniques import find
from workbench.comparison.families import families, order_of
from workbench.plan import labels as naming
from workbench.store.operations import ConfigurationRow, ExperimentDetail

RATE = "learning_rate"
_TRAINS = frozenset(tag_of(kind) for kind in (Training, Pretraining))
RATE_FACT = "training.learning_rate"
"""Environment fact with the rate that the worker used."""


@dataclass(frozen=True)
class Method:
    title: str
    """What tells it from the other methods: "LoRA (rank 16)"."""
    configurations: Mapping[float, str]
    """Configuration by learning rate, rising."""
    color: int
    """Of its first configuration."""

    @property
    def rates(self) -> tuple[float, ...]:
        return tuple(self.configurations)


def workload_of(configuration: ConfigurationRow) -> dict[str, object]:
    """Its workload where that is training, else {}."""
    found = order_of(configuration).get("workload")
    return found if isinstance(found, dict) and found.get("kind") in _TRAINS else {}


def methods_of(detail: ExperimentDetail) -> tuple[Method, ...]:
    """In the order of their first configurations; () where nothing trains."""
    trained = [c for c in detail.configurations if workload_of(c)]
    return tuple(
        Method(family.title, _by_rate([(rate_of(row, detail), row) for row in family.rows]), family.color)
        for family in families(trained, RATE, alone="finetune")
    )


def _by_rate(found: Sequence[tuple[float, ConfigurationRow]]) -> dict[float, str]:
    """Of several, those whose rate is known."""
    known = [(rate, row) for rate, row in found if rate > 0 or len(found) == 1]
    return {rate: row.configuration for rate, row in sorted(known, key=lambda f: f[0])}


def rate_of(configuration: ConfigurationRow, detail: ExperimentDetail) -> float:
    """0 where nothing says it."""
    trials = [t.trial for t in detail.trials if t.configuration == configuration.configuration]
    said = next((f[RATE_FACT] for t in trials if RATE_FACT in (f := detail.environments.get(t, {}))), None)
    return _number(said) or _number(workload_of(configuration).get(RATE)) or _own_rate(order_of(configuration))


def _own_rate(order: Mapping[str, object]) -> float:
    for choice in naming.stored_techniques(order):
        known = find(choice.id)
        rate = {**(known.defaults() if known is not None else {}), **choice.parameters}.get(RATE)
        if rate:
            return _number(rate)
    return 0.0


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
