"""What a fine-tuning method means for memory: what it trains, where, and what it keeps of a block. Pure; any thread."""

from __future__ import annotations

from collections.abc import Sequence

from engines.protocol.orders import TechniqueOrder
from engines.techniques import ModelFacts
from engines.techniques.finetune import method_of, trained_parameters
from workbench.plan.memory.block import Kept, Where

_WHOLE = frozenset({"finetune.full", "finetune.freeze"})
_BESIDE_NOTHING = frozenset({"finetune.bitfit", "finetune.prefix", "finetune.prompt", "finetune.p-tuning"})
"""Their gradients pass through the blocks, and no matrix's input is needed."""
_OUTPUTS = {"finetune.dora": 2}
"""DoRA keeps the layer's output and the adapter's, to scale their sum."""


def trained_of(facts: ModelFacts, techniques: Sequence[TechniqueOrder]) -> int:
    """Trained parameters; 0 where they are not known, or nothing is trained."""
    order = method_of(techniques)
    return trained_parameters(facts, order) if order is not None else 0


def kept_of(techniques: Sequence[TechniqueOrder]) -> Kept:
    order = method_of(techniques)
    if order is None or order.id in _BESIDE_NOTHING:
        return Kept()
    if order.id in _WHOLE:
        return Kept(weights=True)
    where: Where = "attention" if order.parameters.get("target_modules") == "attention" else "all-linear"
    rank = order.parameters.get("rank")
    return Kept(adapters=where, rank=rank if isinstance(rank, int) else 0, outputs=_OUTPUTS.get(order.id, 0))


def blocks_with_gradients(facts: ModelFacts, techniques: Sequence[TechniqueOrder]) -> int:
    """Blocks that the way back passes: all, or those from the first one that is trained (freeze)."""
    order = method_of(techniques)
    blocks = order.parameters.get("blocks") if order is not None and order.id == "finetune.freeze" else None
    return min(blocks, facts.layers) if isinstance(blocks, int) else facts.layers


def virtual_tokens(techniques: Sequence[TechniqueOrder]) -> int:
    """Tokens that prompt methods put before every sequence."""
    order = method_of(techniques)
    found = order.parameters.get("virtual_tokens") if order is not None and order.id != "finetune.prefix" else 0
    return found if isinstance(found, int) else 0
