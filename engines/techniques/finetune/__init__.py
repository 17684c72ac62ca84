"""The fine-tuning axis: which parameters training changes. Only experiments that train use it."""

from __future__ import annotations

from collections.abc import Sequence

from engines.protocol.orders import AnyTraining, Scalar, TechniqueOrder
from engines.techniques.facts import ModelFacts
from engines.techniques.finetune import adapters, lora, parts, prompts
from engines.techniques.model import Axis
from engines.techniques.registry import find

FINETUNE = "finetune"
AXIS = Axis(
    id=FINETUNE,
    title="Fine-tuning",
    sentence="Which parameters training changes.",
    default="",
)
TECHNIQUES = (*lora.TECHNIQUES, *adapters.TECHNIQUES, *prompts.TECHNIQUES, *parts.TECHNIQUES)


def trained_parameters(model: ModelFacts, technique: TechniqueOrder) -> int:
    """Parameters that a method trains, exactly; 0 where the model's shapes or the method are not known."""
    method = find(technique.id)
    if method is None or method.trained is None:
        return 0
    return method.trained(model, {**method.defaults(), **technique.parameters})


def method_of(techniques: Sequence[TechniqueOrder]) -> TechniqueOrder | None:
    """The method among an order's techniques."""
    return next((order for order in techniques if order.id.partition(".")[0] == FINETUNE), None)


def virtual_tokens(techniques: Sequence[TechniqueOrder]) -> int:
    """Positions that a method takes before each sequence."""
    order = method_of(techniques)
    found = setting_of(order, "virtual_tokens") if order is not None else 0
    return found if isinstance(found, int) else 0


def learning_rate(training: AnyTraining, techniques: Sequence[TechniqueOrder]) -> float:
    """The highest rate of the schedule: the experiment's, or the method's own where that is 0. 0.0 without a method."""
    order = method_of(techniques)
    if training.learning_rate or order is None:
        return training.learning_rate
    return float(setting_of(order, "learning_rate") or 0.0)


def setting_of(order: TechniqueOrder, name: str) -> Scalar:
    """A parameter of an order or its default; None where the method has no such setting."""
    method = find(order.id)
    return order.parameters.get(name, method.defaults().get(name) if method is not None else None)
