"""Finds engines: the built-in ones and other packages' entry points."""

from __future__ import annotations

import importlib
from functools import cache

from engines.catalogue.model import EngineInfo
from engines.protocol.plugins import Broken, load_plugins

_BUILT_IN = ("engines.hf.info", "engines.llama.info")
"""Modules with `ENGINE: EngineInfo`. The first is the default engine."""

ENTRY_POINTS = "llm_workbench.engines"


@cache
def _load() -> tuple[dict[str, EngineInfo], tuple[Broken, ...]]:
    found: dict[str, EngineInfo] = {}

    def take(module: object) -> None:
        engine = getattr(module, "ENGINE", None)
        if not isinstance(engine, EngineInfo):
            raise TypeError("it has no ENGINE of type EngineInfo")
        if engine.id in found:
            raise ValueError(f"the id {engine.id} is taken")
        taken = {setting.name for other in found.values() for setting in other.settings}
        if again := taken & {setting.name for setting in engine.settings}:
            raise ValueError(f"another engine has the setting {min(again)}")
        found[engine.id] = engine

    for name in _BUILT_IN:
        take(importlib.import_module(name))
    return found, load_plugins(ENTRY_POINTS, take)


def engines() -> tuple[EngineInfo, ...]:
    """All engines in the order they are shown, the default first."""
    return tuple(_load()[0].values())


def find(id: str) -> EngineInfo | None:
    return _load()[0].get(id)


def broken() -> tuple[Broken, ...]:
    return _load()[1]
