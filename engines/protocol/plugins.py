"""What other packages add: modules named in an entry point group. One that fails to load is kept with its error.

Any process; a plug-in's module imports no machine-learning library.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any


@dataclass(frozen=True)
class Broken:
    """A plug-in that could not be loaded: shown with its error, never fatal."""

    name: str
    error: str


def load_plugins(group: str, take: Callable[[object], None]) -> tuple[Broken, ...]:
    """Hand every module of a group to `take`, which may raise."""
    broken: list[Broken] = []
    for point in entry_points(group=group):
        try:
            take(point.load())
        except Exception as error:  # noqa: BLE001  a third party's code may raise anything
            broken.append(Broken(point.name, f"{type(error).__name__}: {error}"))
    return tuple(broken)


def imported(target: str) -> Any:
    """What "module:name" names. Raises ImportError, AttributeError."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
