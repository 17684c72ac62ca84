"""Configurations that differ in nothing but one setting: a learning rate, a length. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from workbench.plan import labels as naming
from workbench.store.operations import ConfigurationRow

_PARTS = ("model", "techniques", "workload", "engine", "device")
"""Of an order: what is run, and on what."""


@dataclass(frozen=True)
class Family:
    title: str
    """What tells it from the other families: "LoRA (rank 16)"."""
    rows: tuple[ConfigurationRow, ...]
    """By position."""

    @property
    def color(self) -> int:
        """Of its first configuration."""
        return self.rows[0].color


def order_of(configuration: ConfigurationRow) -> dict[str, object]:
    """The stored order; {} where it cannot be read."""
    try:
        found = json.loads(configuration.resolved)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def families(configurations: Sequence[ConfigurationRow], setting: str, alone: str = "") -> tuple[Family, ...]:
    """In the order of their first configurations. A `setting` of the workload, or of a technique, does not count.
    `alone` is the axis that names a family where there is no other."""
    groups: dict[str, list[ConfigurationRow]] = {}
    for configuration in sorted(configurations, key=lambda c: c.position):
        order = _stripped(configuration, setting)
        same = json.dumps({name: order.get(name) for name in _PARTS}, sort_keys=True)
        groups.setdefault(same, []).append(configuration)
    titles = _titles([rows[0] for rows in groups.values()], setting, alone)
    return tuple(Family(title, tuple(rows)) for title, rows in zip(titles, groups.values(), strict=True))


def _stripped(configuration: ConfigurationRow, setting: str) -> dict[str, object]:
    order = order_of(configuration)
    workload, techniques = order.get("workload"), order.get("techniques")
    kept = {k: v for k, v in workload.items() if k != setting} if isinstance(workload, dict) else {}
    choices = [_without(choice, setting) for choice in techniques] if isinstance(techniques, list) else []
    return {**order, "workload": kept, "techniques": choices}


def _without(choice: object, setting: str) -> object:
    if not isinstance(choice, dict):
        return choice
    parameters = choice.get("parameters")
    kept = {k: v for k, v in parameters.items() if k != setting} if isinstance(parameters, dict) else {}
    return {**choice, "parameters": kept}


def _titles(rows: Sequence[ConfigurationRow], setting: str, alone: str) -> list[str]:
    labelled = [
        naming.labels_of(msgspec.structs.replace(row, resolved=json.dumps(_stripped(row, setting)))) for row in rows
    ]
    naming.fill_axes(labelled)
    varying, _ = naming.split(labelled)
    name = naming.axis_label(alone)
    return [
        naming.short_title(labels, varying, labels.get(name, row.title))
        for labels, row in zip(labelled, rows, strict=True)
    ]
