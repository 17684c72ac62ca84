"""Finds techniques: the built-in modules and third parties' entry points. One that fails to load is kept as a card."""

from __future__ import annotations

import importlib
from functools import cache

from engines.protocol.plugins import Broken, load_plugins
from engines.techniques.model import Axis, Technique

_BUILT_IN = (
    "engines.techniques.precision",
    "engines.techniques.precision_quantised",
    "engines.techniques.precision_stored",
    "engines.techniques.gguf",
    "engines.techniques.kv_cache",
    "engines.techniques.finetune",
    "engines.techniques.adapter",
    "engines.techniques.architecture.attention",
    "engines.techniques.architecture.positions",
    "engines.techniques.architecture.feedforward",
    "engines.techniques.data",
)
"""Modules with `TECHNIQUES: tuple[Technique, ...]`, and `AXIS: Axis` where they open one."""

ENTRY_POINTS = "llm_workbench.techniques"


@cache
def _load() -> tuple[tuple[Axis, ...], tuple[Technique, ...], tuple[Broken, ...]]:
    found_axes: dict[str, Axis] = {}
    found: dict[str, Technique] = {}

    def take(module: object) -> None:
        axis = getattr(module, "AXIS", None)
        if isinstance(axis, Axis):
            found_axes.setdefault(axis.id, axis)
        for technique in getattr(module, "TECHNIQUES", ()):
            if technique.id in found:
                raise ValueError(f"the id {technique.id} is taken")
            found[technique.id] = technique

    for name in _BUILT_IN:
        take(importlib.import_module(name))
    broken = load_plugins(ENTRY_POINTS, take)
    return tuple(found_axes.values()), tuple(found.values()), broken


def axes() -> tuple[Axis, ...]:
    return _load()[0]


def techniques(axis: str | None = None) -> tuple[Technique, ...]:
    """All techniques, or those of one axis, in the order they are shown."""
    return tuple(t for t in _load()[1] if axis is None or t.axis == axis)


def broken() -> tuple[Broken, ...]:
    return _load()[2]


def find(id: str) -> Technique | None:
    return next((t for t in _load()[1] if t.id == id), None)
