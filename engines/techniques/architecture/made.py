"""The config that an order builds a model of random weights from: its shape as its techniques change it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engines.protocol.orders import Pretraining, TechniqueOrder, Workload
from engines.techniques.architecture.counts import counts, matched
from engines.techniques.architecture.edited import Config, architectural, edited
from engines.techniques.architecture.shapes import BACKBONES


def made(config: Mapping[str, object], techniques: Sequence[TechniqueOrder], load: Workload) -> Config:
    """The same where no technique of architecture changes it, or where it is no shape, which stands against them."""
    if config.get("model_type") not in BACKBONES:
        return dict(config)
    return in_size(config, edited(config, techniques), techniques, load)


def in_size(shape: Mapping[str, object], found: Config, techniques: Sequence[TechniqueOrder], load: Workload) -> Config:
    """What architectures make of a shape, with as many parameters as it where pretraining asks for that."""
    if not architectural(techniques) or not isinstance(load, Pretraining) or not load.match_parameters:
        return found
    return matched(found, counts(shape).total)
