"""What a model's shape means for its work, from its file's header; and its cache, measured. Worker process.

A fact that the file does not tell without doubt is left out: figures that need it then say so.
"""

from __future__ import annotations

import re
from typing import Any

from engines.llama.batches import Tokens
from engines.llama.context import Context
from engines.llama.library import Library
from engines.models.gguf import FLOATS, GgufModel
from engines.protocol.gguf_types import ListLength
from engines.techniques.layers import layer_details
from engines.techniques.layers_gguf import layers_of_gguf

KV_FACT = "cache.bytes_per_token"
_BOOKKEEPING_BYTES = 12
"""What llama.cpp's state says of each cell beside keys and values: position, number of sequences, one sequence. Of a
model with a sliding window it says so twice: layers with the window have a cache of their own."""
_EXPERTS = re.compile(r"ffn_(gate|up|down|gate_up)_exps\.")


def details(header: GgufModel, file_type: str) -> dict[str, str]:
    """Facts of `ModelLoaded.details`: "architecture", "file_type", "quantised_parameters", "vocabulary", "layers",
    "kv_heads", "head_size", "context_tokens", of a mixture of experts "experts" and "active_parameters", and what
    `layer_details` says."""
    quantised = sum(tensor.weights for tensor in header.tensors if tensor.dtype not in FLOATS)
    found = {"architecture": header.architecture, "file_type": file_type, "quantised_parameters": str(quantised)}
    vocabulary = header.metadata.get("tokenizer.ggml.tokens")
    layers = layers_of_gguf(header.metadata)
    kv_heads = header.metadata.get(f"{header.architecture}.attention.head_count_kv")
    numbers: dict[str, float | None] = {
        "vocabulary": int(vocabulary) if isinstance(vocabulary, ListLength) else header.number("vocab_size"),
        "layers": header.number("block_count"),
        "kv_heads": header.number("attention.head_count")
        if kv_heads is None
        else header.number("attention.head_count_kv"),
        "head_size": head_sizes(header)[0],
        "context_tokens": header.number("context_length"),
        "active_parameters": active_parameters(header),
    }
    found |= {name: f"{value:.15g}" for name, value in numbers.items() if value}
    experts = header.number("expert_count")
    if experts:
        found["experts"] = str(experts)
    return found | layer_details(layers)


def head_sizes(header: GgufModel) -> tuple[int | None, int | None]:
    """Size of one head's key and value."""
    heads, width = header.number("attention.head_count"), header.number("embedding_length")
    whole = width // heads if heads and width else None
    return header.number("attention.key_length") or whole, header.number("attention.value_length") or whole


def active_parameters(header: GgufModel) -> int | None:
    """Parameters that one token uses in a mixture of experts; None for a dense model."""
    experts, used = header.number("expert_count"), header.number("expert_used_count")
    if not experts or not used:
        return None
    among = sum(tensor.weights for tensor in header.tensors if _EXPERTS.search(tensor.name))
    return round(header.parameters - among * (1 - used / experts)) if among else None


def stored_bits(header: GgufModel) -> float:
    """Bits per quantised weight, scales included; per weight where nothing is quantised."""
    quantised = [tensor for tensor in header.tensors if tensor.dtype not in FLOATS]
    among = quantised or header.tensors
    weights = sum(tensor.weights for tensor in among)
    return 8 * sum(tensor.size_bytes for tensor in among) / weights if weights else 0.0


def named_bits(file_type: str) -> float:
    """Bits per weight that the name of a file's type promises: 4 of "Q4_K - Medium", 16 of "BF16"; 0 where none."""
    digits = re.search(r"\d+", file_type)
    return float(digits.group()) if digits else 0.0


def compute_type(header: GgufModel, *, on_gpu: bool) -> str:
    """What most products are computed in: on a processor int8 for quantised weights (llama.cpp quantises the
    activations to match), else the weights' own type. "" where it is not known."""
    if on_gpu:
        return ""
    sizes = header.bytes_by_type()
    most = max(sizes, key=lambda name: sizes[name], default="")
    return {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}.get(most, "int8" if most else "")


def cache_facts(library: Library, context: Context, *, windowed: bool) -> dict[str, str]:
    """Bytes that one more token of one sequence takes in the cache, over all layers: the cache's own state after two
    tokens less that after one, less llama.cpp's 12 bytes of bookkeeping a cache. Empties the cache. `windowed`: some
    layers see a window only, and have a cache of their own."""
    rows: Any = Tokens(library.api.llama_batch, 1)
    context.clear()
    sizes = []
    for position in range(2):
        rows.position[0] = position
        context.decode(rows.batch(0, 1))
        sizes.append(context.state_bytes())
    context.clear()
    grown = sizes[1] - sizes[0] - _BOOKKEEPING_BYTES * (2 if windowed else 1)
    if grown <= 0:
        return {"cache.problem": "The model keeps no cache that grows with the tokens."}
    return {KV_FACT: str(grown)}
