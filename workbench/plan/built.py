"""A model of random weights as a configuration builds it: techniques change its shape, and pretraining gives it a
vocabulary of its own. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.orders import Pretraining, TechniqueOrder, Workload
from engines.protocol.problems import Problem
from engines.techniques.architecture.costs import facts, reference_speed
from engines.techniques.architecture.counts import MATCHED
from engines.techniques.architecture.edited import architectural, slot
from engines.techniques.architecture.made import made
from engines.techniques.architecture.shapes import BACKBONES


def as_built(model: ResolvedModel, techniques: Sequence[TechniqueOrder], load: Workload) -> ResolvedModel:
    """With the facts of what will be built; the order stays what the experiment names."""
    pretrains = isinstance(load, Pretraining)
    if model.order.kind != "random" or model.facts.architecture not in BACKBONES:
        return model
    if not pretrains and not architectural(techniques):
        return model
    begin = {**model.order.config, **({"vocab_size": load.vocabulary_tokens} if isinstance(load, Pretraining) else {})}
    config = made(begin, techniques, load)
    return msgspec.structs.replace(
        model,
        facts=facts(config),
        shape=facts(begin),
        config=config,
        quality_available=model.quality_available or pretrains,
    )


def notes_of_building(title: str, model: ResolvedModel, device_kind: str) -> Iterator[Problem]:
    """What was changed to match the number of parameters, and where the speed of an architecture says nothing of it."""
    if not model.config:
        return
    if rule := slot(model.config, MATCHED).get("rule"):
        yield Problem(severity="note", place=title, message=f"Matched in size: {rule}.")
    if why := reference_speed(model.config, device_kind):
        yield Problem(severity="note", place=title, message=f"Reference implementation: {why} Its quality counts.")
