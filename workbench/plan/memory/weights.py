"""How a configuration's weights are held: their bytes, and the type that is computed in. Pure; any thread."""

from __future__ import annotations

import math
from collections.abc import Sequence

from engines.protocol.orders import TechniqueOrder
from engines.techniques import MachineFacts, ModelFacts, Technique, find
from engines.techniques.gguf import STORED
from engines.techniques.precision import BFLOAT16_FLAGS
from engines.techniques.precision_stored import AS_STORED

_STORED_BITS = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16}


def weight_bytes(facts: ModelFacts, techniques: Sequence[TechniqueOrder], machine: MachineFacts) -> int:
    """Bytes of the weights as held: changed weights by their technique's bits, the rest in the compute type."""
    technique, order = storing(techniques)
    if technique is None or order is None or technique.id in (STORED, AS_STORED):
        return facts.stored_bytes
    bits = technique.stored_bits(order.parameters) if technique.stored_bits else technique.bits
    if technique.shaped_bits is not None:
        bits = technique.shaped_bits(facts) or bits
    changed = facts.parameters if technique.changes == "all" else facts.linear_parameters
    rest = facts.parameters - changed
    return math.ceil((changed * bits + rest * compute_bits(facts, techniques, machine)) / 8)


def compute_bits(facts: ModelFacts, techniques: Sequence[TechniqueOrder], machine: MachineFacts) -> int:
    """Bits of the type that activations and the KV cache are held in."""
    technique, order = storing(techniques)
    if technique is None or order is None:
        return _STORED_BITS.get(facts.stored_dtype, 16)
    if technique.changes == "all":
        return max(16, round(technique.bits))
    chosen = order.parameters.get("compute", "auto")
    if isinstance(chosen, str) and chosen in _STORED_BITS:
        return _STORED_BITS[chosen]
    return 16 if machine.device_kind == "cuda" or machine.processor_flags & BFLOAT16_FLAGS else 32


def storing(techniques: Sequence[TechniqueOrder]) -> tuple[Technique | None, TechniqueOrder | None]:
    """The chosen technique that decides how weights are stored."""
    for order in techniques:
        technique = find(order.id)
        if technique is not None and technique.changes != "none":
            return technique, order
    return None, None
