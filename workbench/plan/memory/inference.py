"""What requests hold beside the weights: the KV cache, the activations of prefill and evaluation. Pure; any thread."""

from __future__ import annotations

import math
from collections.abc import Sequence

from engines.catalogue import find as find_engine
from engines.catalogue.model import Passes
from engines.protocol.orders import EngineOrder, Inference, TechniqueOrder
from engines.techniques import ModelFacts, find
from engines.techniques.layers import cached_numbers


def cache_bytes(facts: ModelFacts, workload: Inference, engine: EngineOrder, bits: float) -> int:
    """KV cache at the last token: for each sequence its depth + prompt + new tokens, of each layer's keys and values. A
    layer with a sliding window keeps no more than that, with room for what the engine computes in one pass if that is
    limited. Of a model whose layers are not known an upper bound: all layers keep everything."""
    tokens = workload.depth_tokens + workload.prompt_tokens + workload.new_tokens
    if facts.attention.unknown:
        numbers = tokens * 2 * facts.layers * facts.kv_heads * facts.head_dim
    else:
        numbers = cached_numbers(facts.attention.groups, tokens, passes_of(engine).tokens)
    return math.ceil(workload.batch_size * numbers * bits / 8)


def cache_bits(techniques: Sequence[TechniqueOrder], compute: int) -> float:
    """Bits of a value in the KV cache, scales included: of its technique, else of the compute type."""
    order = next((t for t in techniques if t.id.startswith("kv_cache.")), None)
    technique = find(order.id) if order is not None else None
    if order is None or technique is None or technique.stored_bits is None:
        return compute
    return technique.stored_bits(order.parameters)


def activation_bytes(facts: ModelFacts, workload: Inference, engine: EngineOrder, bits: int) -> int:
    """The larger of prefill and evaluation: a dozen hidden states a token (residual, attention, feed-forward), eager
    attention's score matrix in float32, logits of the last token of each sequence or of the whole evaluation window.
    An engine that computes so many tokens in one pass has room for the logits of each (98 MiB for 512 of 49,152 words).
    """
    passes = passes_of(engine)
    prefill_tokens, rows = workload.batch_size * workload.prompt_tokens, workload.batch_size
    if passes.tokens:
        prefill_tokens = rows = min(prefill_tokens, passes.tokens)
    prefill = prefill_tokens * facts.hidden * 12 * bits // 8 + rows * facts.vocabulary * 4
    if passes.holds_scores:
        prefill += workload.batch_size * facts.heads * workload.prompt_tokens**2 * 4 * 2
    return max(prefill, evaluation_bytes(facts, workload.perplexity_tokens, engine, bits))


def evaluation_bytes(facts: ModelFacts, tokens: int, engine: EngineOrder, bits: int) -> int:
    """Reading `tokens` of held-out text in windows: a dozen hidden states a token, and its logits in float32 twice."""
    passes = passes_of(engine)
    longest = passes.text_tokens
    window = min(tokens, longest, facts.context_tokens or longest)
    evaluation = window * (facts.hidden * 12 * bits // 8 + 2 * facts.vocabulary * 4)
    return evaluation + (facts.heads * window**2 * 4 * 2 if passes.holds_scores else 0)


def passes_of(engine: EngineOrder) -> Passes:
    known = find_engine(engine.id)
    return known.passes(engine) if known is not None else Passes()
