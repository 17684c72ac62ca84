"""The KV cache axis: how keys and values of past tokens are held during generation."""

from __future__ import annotations

from engines.techniques.model import Axis, Technique

AXIS = Axis(
    id="kv_cache",
    title="KV cache",
    sentence="How keys and values of past tokens are held.",
    default="kv_cache.full",
)

_SOURCE = "llama.cpp (type_k, type_v), https://github.com/ggml-org/llama.cpp"

TECHNIQUES = (
    Technique(
        id="kv_cache.full",
        title="KV full",
        sentence="The engine's own: the compute type in transformers, float16 in llama.cpp.",
        source="https://huggingface.co/docs/transformers/kv_cache",
        implementation="",
        engines=("transformers", "llama.cpp"),
        bits=16,
    ),
    Technique(
        id="kv_cache.q8_0",
        title="KV Q8_0",
        sentence="8 bits in blocks of 32 with one scale: about half the memory a token.",
        source=_SOURCE,
        implementation="",
        packages=("llama-cpp-python",),
        engines=("llama.cpp",),
        bits=8,
    ),
    Technique(
        id="kv_cache.q4_0",
        title="KV Q4_0",
        sentence="4 bits in blocks of 32 with one scale: about a quarter of the memory a token.",
        source=_SOURCE,
        implementation="",
        packages=("llama-cpp-python",),
        engines=("llama.cpp",),
        bits=4,
    ),
)
