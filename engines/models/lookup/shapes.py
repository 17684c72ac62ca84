"""Models that are only a shape, with random weights: for pretraining, and for what an architecture costs to run.
"shape/tiny". Pure; any thread.
"""

from __future__ import annotations

from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.canonical import digest
from engines.protocol.orders import ModelOrder
from engines.techniques.architecture.costs import facts
from engines.techniques.architecture.shapes import SHAPES

SHAPE = "shape/"
"""Begins the ref of one."""


def resolved_shape(name: str) -> ResolvedModel | None:
    """None where there is no such shape."""
    if name not in SHAPES:
        return None
    config = dict(SHAPES[name])
    order = ModelOrder(ref=f"{SHAPE}{name}", title=name, kind="random", config=config, fingerprint=digest(config))
    return ResolvedModel(order=order, facts=facts(config), quality_available=False)
