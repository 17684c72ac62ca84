"""The layers of a model by the header of its GGUF file, as llama.cpp reads it. Pure; no llama.cpp.

Rules: `load_arch_hparams` of each architecture in https://github.com/ggml-org/llama.cpp (src/models), as
llama-cpp-python 0.3.36 has it. Most of a model's shape is in its metadata, one number for all layers or a list with one
for each; which layers see a window is often only in llama.cpp's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engines.protocol.gguf_types import ListLength
from engines.techniques.layers import LayerGroup, Layers, grouped


@dataclass(frozen=True)
class _Windows:
    """Which layers see a window: all but one in `every`, which is the last of each run or, with `first`, the first."""

    every: int
    first: bool = False
    default: int = 0
    """The window where the file names none; 0: then there is none."""


_WINDOWS = {
    "gemma2": _Windows(2, default=4096),
    "gemma3": _Windows(6),
    "gemma3n": _Windows(5),
    "gpt-oss": _Windows(2),
    "exaone-moe": _Windows(4, default=128),
    "smallthinker": _Windows(4, first=True),
    "cohere2moe": _Windows(4, first=True),
    "plamo3": _Windows(8),
    **dict.fromkeys(("cohere2", "olmo2", "afmoe", "mellum"), _Windows(4)),
    "exaone4": _Windows(4, default=4096),
}
_NO_WINDOW = frozenset({"llama", "phi3", "phimoe", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "mistral3", "starcoder2"})
"""llama.cpp lets every layer of these see everything, whatever window the file names."""
_STATES_BY_INTERVAL = frozenset({"qwen3next", "qwen35", "qwen35moe"})
_BESIDE_A_STATE = frozenset({"falcon-h1"})
"""Every layer has both attention and a recurrent part."""
_WITHOUT_ATTENTION = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})


class _Unknown(Exception):
    """Why a shape is not known."""


def layers_of_gguf(metadata: Mapping[str, object]) -> Layers:
    """The layers, or why they are not known. `metadata` holds scalars, texts, and tuples for lists of numbers."""
    try:
        return _Reader(metadata).layers()
    except _Unknown as why:
        return Layers(unknown=str(why))


class _Reader:
    def __init__(self, metadata: Mapping[str, object]) -> None:
        self._all = metadata
        self._kind = str(metadata.get("general.architecture", ""))
        self._count = self._number("block_count") - self._number("nextn_predict_layers")  # those draft tokens only

    def layers(self) -> Layers:
        count = self._count
        if count <= 0:
            raise _Unknown("the file does not say how many layers it has")
        if self._kind in _WITHOUT_ATTENTION:
            return grouped(LayerGroup(1, 0, 0) for _ in range(count))
        heads = self._each("attention.head_count")
        if heads is None:
            raise _Unknown("the file does not say how many attention heads it has")
        kv_heads = self._each("attention.head_count_kv") or heads
        for place in self._places_of_states(kv_heads):
            kv_heads[place] = 0
        windows = self._windows(kv_heads)
        sharing = self._shared_from()
        return grouped(
            self._layer(heads[place], kv_heads[place], windows[place], keeps=place < sharing) for place in range(count)
        )

    def _layer(self, heads: int, kv_heads: int, window: int, *, keeps: bool) -> LayerGroup:
        if not kv_heads:
            return LayerGroup(1, 0, 0)
        key, value = self._head_sizes(heads, "_swa" if window else "")
        latent = self._number("attention.key_length_mla"), self._number("attention.value_length_mla")
        if all(latent):  # what is kept is one latent vector, of which the value is a part
            return LayerGroup(1, heads * sum(latent) / 2, kv_heads * key if keeps else 0, window)
        return LayerGroup(1, heads * (key + value) / 2, kv_heads * (key + value) if keeps else 0, window)

    def _head_sizes(self, heads: int, ending: str) -> tuple[int, int]:
        whole = self._number("embedding_length") // heads if heads else 0
        key, value = (
            self._number(f"attention.{name}_length{ending}") or self._number(f"attention.{name}_length") or whole
            for name in ("key", "value")
        )
        if not key or not value:
            raise _Unknown("the file does not say how large an attention head is")
        return key, value

    def _places_of_states(self, kv_heads: list[int]) -> list[int]:
        """Layers that keep a state in place of tokens, beside those whose list says that they have no such heads."""
        named = self._each("attention.recurrent_layers")
        if named is not None:
            return [place for place, is_state in enumerate(named) if is_state]
        if self._kind in _STATES_BY_INTERVAL:
            interval = self._number("full_attention_interval") or 4
            return [place for place in range(self._count) if (place + 1) % interval]
        has_states = any(name.startswith((f"{self._kind}.ssm.", f"{self._kind}.wkv.")) for name in self._all)
        if has_states and self._kind not in _BESIDE_A_STATE and 0 not in kv_heads:
            raise _Unknown("the file has recurrent layers and does not say which")
        return []

    def _windows(self, kv_heads: list[int]) -> list[int]:
        """The window of each layer; 0 for those that see everything."""
        none, rule = [0] * self._count, _WINDOWS.get(self._kind)
        size = self._number("attention.sliding_window") or (rule.default if rule is not None else 0)
        if self._kind == "smallthinker" and size:
            size = 4096  # whatever the file says
        if self._kind in _NO_WINDOW or not size or (self._kind == "exaone4" and self._count != 64):
            return none
        if self._kind in ("lfm2", "lfm2moe"):
            return [size if heads else 0 for heads in kv_heads]
        pattern = self._all.get(f"{self._kind}.attention.sliding_window_pattern")
        if isinstance(pattern, tuple) and len(pattern) >= self._count:
            return [size if sees else 0 for sees in pattern[: self._count]]
        if rule is None:
            raise _Unknown(f"the file names a window of {size:,} tokens and does not say which layers have it")
        every = self._number("attention.sliding_window_pattern") or rule.every
        whole = 0 if rule.first else every - 1
        return [0 if place % every == whole else size for place in range(self._count)]

    def _shared_from(self) -> int:
        """The first layer that uses the keys and values of another."""
        if self._kind == "gemma3n":
            return 20
        return self._count - self._number("attention.shared_kv_layers")

    def _number(self, name: str) -> int:
        """0 where it is not given as one number."""
        value = self._all.get(f"{self._kind}.{name}")
        return value if isinstance(value, int) and not isinstance(value, bool | ListLength) else 0

    def _each(self, name: str) -> list[int] | None:
        """One number for every layer; None where the file has none. Raises `_Unknown`."""
        value = self._all.get(f"{self._kind}.{name}")
        if isinstance(value, tuple) and len(value) >= self._count and all(isinstance(item, int) for item in value):
            return list(value[: self._count])
        if isinstance(value, int) and not isinstance(value, bool | ListLength):
            return [value] * self._count
        if value is None:
            return None
        raise _Unknown(f"{name} of the file is no number, and no list with one for each of its {self._count} layers")
