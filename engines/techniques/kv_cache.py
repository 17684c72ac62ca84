"""The KV cache axis: how keys and values of past tokens are held during generation."""

from __future__ import annotations

from functools import partial

from engines.protocol.orders import Scalar
from engines.techniques.facts import MachineFacts, ModelFacts
from engines.techniques.gguf import INSTALL
from engines.techniques.model import Axis, Technique

AXIS = Axis(
    id="kv_cache",
    title="KV cache",
    sentence="How keys and values of past tokens are held.",
    default="kv_cache.full",
)

BLOCK = 32
"""Values in a block of a quantised KV cache."""


def _heads_in_blocks(model: ModelFacts, _machine: MachineFacts) -> str | None:
    if model.head_dim % BLOCK:
        return f"Its heads have {model.head_dim} values, no multiple of the block of {BLOCK}: leave the KV cache full."
    return None


def _bits(bits: float, _parameters: dict[str, Scalar]) -> float:
    return bits


_in_blocks = partial(
    Technique,
    source="llama.cpp (type_k, type_v), https://github.com/ggml-org/llama.cpp",
    implementation="",
    stage="cache",
    packages=("llama-cpp-python",),
    install=INSTALL,
    engines=("llama.cpp",),
    obstacle=_heads_in_blocks,
)

TECHNIQUES = (
    Technique(
        id="kv_cache.full",
        title="KV full",
        sentence="The engine's own: the compute type in transformers, float16 in llama.cpp.",
        source="https://huggingface.co/docs/transformers/kv_cache",
        implementation="",
        stage="cache",
        engines=("transformers", "llama.cpp"),
        bits=16,
    ),
    _in_blocks(
        id="kv_cache.q8_0",
        title="KV Q8_0",
        sentence="8 bits in blocks of 32 with one scale: about half the memory a token.",
        bits=8,
        stored_bits=partial(_bits, 8.5),
    ),
    _in_blocks(
        id="kv_cache.q4_0",
        title="KV Q4_0",
        sentence="4 bits in blocks of 32 with one scale: about a quarter of the memory a token.",
        bits=4,
        stored_bits=partial(_bits, 4.5),
    ),
)
