"""What applies to an order: the techniques it names, and a precision where it names none. An axis that is not named is
not used, but weights always have a precision. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from engines.protocol.orders import ModelOrder, TechniqueOrder
from engines.techniques.gguf import STORED
from engines.techniques.precision_stored import AS_STORED
from engines.techniques.registry import find

UNNAMED_PRECISION = {"gguf": STORED, "quantised": AS_STORED, "": "precision.float32"}
"""By what keeps a precision of its own (`keeps_of`, `ModelFacts.keeps`). Stored orders rest on it: it never changes."""


def names_gguf(model: ModelOrder) -> bool:
    """Whether a model is GGUF files, here or on the hub."""
    return model.kind == "gguf" or (model.kind == "hub" and model.path.count("/") > 1)


def keeps_of(model: ModelOrder) -> str:
    """What keeps a precision of its own: "gguf", "quantised", or "" for a model that is read in any."""
    return "gguf" if names_gguf(model) else "quantised" if model.stored else ""


def precision_of(model: ModelOrder, techniques: Sequence[TechniqueOrder]) -> TechniqueOrder:
    """The precision that an order names; where it names none, that which a technique brings, or the model's own."""
    named = next((t for t in techniques if t.id.partition(".")[0] == "precision"), None)
    if named is not None:
        return named
    brought = (technique.base for t in techniques if (technique := find(t.id)) is not None)
    technique = find(next(filter(None, brought), UNNAMED_PRECISION[keeps_of(model)]))
    assert technique is not None
    return TechniqueOrder(id=technique.id, parameters=technique.defaults())


def applied(model: ModelOrder, techniques: Sequence[TechniqueOrder]) -> tuple[TechniqueOrder, ...]:
    """All techniques that apply: those named, and a precision."""
    precision = precision_of(model, techniques)
    return (*techniques,) if precision in techniques else (*techniques, precision)
