"""A model that was found, as a value. Pure."""

from __future__ import annotations

import msgspec

from engines.protocol.orders import ModelOrder
from engines.protocol.problems import Problem
from engines.techniques import ModelFacts


class ResolvedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the experiment after looking it up: its order, its facts, and cautions (it will be downloaded)."""

    order: ModelOrder
    facts: ModelFacts
    quality_available: bool = True
    """False for random weights, and without a tokenizer."""
    shape: ModelFacts | None = None
    """Of a model that techniques change before it is built: its facts without them; `facts` are of what is built."""
    config: dict[str, object] = {}
    """What it is built from then."""
    problems: tuple[Problem, ...] = ()
    """Notes and warnings; an error comes in place of a `ResolvedModel`."""
    identified: bool = True
    """False while its files are being read: the order has no fingerprint yet."""
