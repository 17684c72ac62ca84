"""The type an engine is described by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Work = Literal["inference", "training"]


@dataclass(frozen=True)
class EngineInfo:
    """One engine. Places of code are "module:name" and are imported in a worker only."""

    id: str
    """As `EngineOrder.id`."""
    title: str
    factory: str
    """The engine's class, called with the order, the ring and the stop."""
    preflight: str = ""
    """Checks the order before anything heavy is imported; raises `WorkerFailure`. "" for none."""
    template: str = ""
    """The module whose import is all that a template process does; "" where every worker starts plainly."""
    works: tuple[Work, ...] = ("inference",)
    """Kinds of work it can do."""
    packages: tuple[str, ...] = ()
    """What it needs installed, the engine's own package first."""
    extra: str = ""
    """The extra of this application's package that installs them."""
