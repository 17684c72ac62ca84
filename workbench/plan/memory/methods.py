"""What a fine-tuning method means for memory: what it trains, where, and what it keeps of a block. Pure; any thread.

What each keeps follows from its layer in peft 0.21; tensors that autograd saved in SmolLM2-135M were counted beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engines.data.training.built_in import BUILT_IN
from engines.protocol.orders import AnyTraining, Pretraining, TechniqueOrder, Training
from engines.techniques import ModelFacts
from engines.techniques.finetune import method_of, trained_parameters
from workbench.plan.memory.block import Kept

_FULL, _FREEZE, _PREFIX = "finetune.full", "finetune.freeze", "finetune.prefix"
_LIKE_LORA = Kept(inputs="all-linear", ranks=1)
_KEPT = {
    _FULL: Kept(weights=True),
    _FREEZE: Kept(weights=True),
    # gradients only pass through: biases, virtual tokens, and sums of inputs need no matrix's input
    **dict.fromkeys(("finetune.bitfit", "finetune.prompt", "finetune.p-tuning"), Kept()),
    _PREFIX: Kept(masked=True),
    "finetune.miss": Kept(ranks=1),
    "finetune.ia3": Kept(scaled=True),
    # the layer's output and the adapter's, to scale their sum
    "finetune.dora": Kept(inputs="all-linear", ranks=1, outputs=2, identities=True),
    "finetune.vera": Kept(ranks=1, outputs=1),  # its frozen matrices need no input
    "finetune.loha": Kept(inputs="all-linear", matrices=1),  # the change of a layer is built whole
    "finetune.lokr": Kept(inputs="all-linear", matrices=1),
    "finetune.oft": Kept(inputs="all-linear", own_inputs=True, per_input=3),  # of each rotation three matrices
}
"""Of methods that do not keep what LoRA keeps."""


def with_method(techniques: Sequence[TechniqueOrder], workload: AnyTraining) -> tuple[TechniqueOrder, ...]:
    """Pretraining trains every weight, as full fine-tuning does."""
    return (*techniques, TechniqueOrder(id=_FULL)) if isinstance(workload, Pretraining) else tuple(techniques)


def shares_rows(workload: AnyTraining) -> bool:
    """Whether rows hold several documents that a mask keeps apart: not those of the built-in text, which are one each,
    and not those of pretraining, which see all that is before them."""
    return isinstance(workload, Training) and workload.packing and workload.data != BUILT_IN


def trained_of(facts: ModelFacts, techniques: Sequence[TechniqueOrder]) -> int:
    """Trained parameters; 0 where they are not known, or nothing is trained."""
    method = method_of(techniques)
    return trained_parameters(facts, method) if method is not None else 0


def kept_of(techniques: Sequence[TechniqueOrder]) -> Kept:
    method = method_of(techniques)
    if method is None:
        return Kept()
    kept = _KEPT.get(method.id, _LIKE_LORA)
    if kept.inputs != "none" and method.parameters.get("target_modules") == "attention":
        kept = msgspec.structs.replace(kept, inputs="attention")
    rank = method.parameters.get("start_rank", method.parameters.get("rank"))
    block = method.parameters.get("block_size")
    return msgspec.structs.replace(
        kept,
        ranks=kept.ranks * rank if isinstance(rank, int) else 0,
        per_input=kept.per_input * block if isinstance(block, int) else 0,
    )


def blocks_with_gradients(facts: ModelFacts, techniques: Sequence[TechniqueOrder]) -> int:
    """Blocks that the way back passes: all, or those from the first one that is trained."""
    method = method_of(techniques)
    blocks = method.parameters.get("blocks") if method is not None and method.id == _FREEZE else None
    return min(blocks, facts.layers) if isinstance(blocks, int) else facts.layers


def virtual_tokens(techniques: Sequence[TechniqueOrder]) -> int:
    """Tokens that prompt methods put before every sequence."""
    method = method_of(techniques)
    found = method.parameters.get("virtual_tokens") if method is not None and method.id != _PREFIX else 0
    return found if isinstance(found, int) else 0
