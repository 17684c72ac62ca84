"""A llama.cpp context: KV cache and buffers of a model for so many sequences of so many tokens. Worker process."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.llama.failures import context_failure, decode_failure
from engines.llama.library import Library

KV_TYPES = {"full": ("GGML_TYPE_F16", "f16"), "q8_0": ("GGML_TYPE_Q8_0", "q8_0"), "q4_0": ("GGML_TYPE_Q4_0", "q4_0")}
"""Technique of the axis kv_cache -> name of ggml's type, and how it is written."""
_CELLS = 256
_FLASH = {"auto": -1, "off": 0, "on": 1}


@dataclass(frozen=True)
class Settings:
    """What a context is made for."""

    tokens: int
    """Of one sequence."""
    sequences: int
    batch_tokens: int
    micro_batch_tokens: int
    threads: int
    """0 leaves llama.cpp's own default."""
    kv_cache: str = "full"
    flash_attention: str = "auto"
    on_gpu: bool = False


class Context:
    """One `llama_context`. Raises `WorkerFailure` where it cannot be made."""

    def __init__(self, library: Library, model: int, settings: Settings) -> None:
        api = library.api
        self._library = library
        self.settings = settings
        self._parameters = self._made_parameters(api, settings)
        library.words.forget()
        self.pointer = int(api.llama_init_from_model(model, self._parameters) or 0)
        if not self.pointer:
            raise context_failure(library.words, settings.tokens * settings.sequences)
        self.memory = api.llama_get_memory(self.pointer)
        self.vocabulary = int(api.llama_vocab_n_tokens(api.llama_model_get_vocab(model)))
        self.batch_tokens = int(api.llama_n_batch(self.pointer))
        self.flash = flash_attention(library.words.lines)
        """"on", "off", or "not told"."""

    def _made_parameters(self, api: Any, settings: Settings) -> Any:
        made = api.llama_context_default_params()
        # llama.cpp rounds the cache of a sequence up to this multiple, but not their sum
        made.n_ctx = -(-settings.tokens // _CELLS) * _CELLS * settings.sequences
        made.n_seq_max = settings.sequences
        made.n_batch = settings.batch_tokens
        made.n_ubatch = settings.micro_batch_tokens
        if settings.threads > 0:
            made.n_threads = made.n_threads_batch = settings.threads
        made.type_k = made.type_v = getattr(api, KV_TYPES[settings.kv_cache][0])
        made.flash_attn_type = _FLASH[settings.flash_attention]
        made.offload_kqv = made.op_offload = settings.on_gpu
        made.swa_full = False  # as llama.cpp's own programs do
        made.kv_unified = False  # sequences share no prefix here: a cache of each is faster
        return made

    def decode(self, batch: Any) -> None:
        """Compute a batch, outside every timed loop. Raises `WorkerFailure`."""
        code = self._library.api.llama_decode(self.pointer, batch)
        if code:
            raise decode_failure(self._library.words, code)

    def rows(self, count: int) -> np.ndarray[Any, Any]:
        """Logits (float32) of the last batch's `count` wanted rows, in their order: a view that the next batch
        overwrites. Waits for the device."""
        return self.view(self._library.logits_address(self.pointer), count)

    def view(self, address: int, count: int) -> np.ndarray[Any, Any]:
        pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, (count, self.vocabulary))

    def clear(self) -> None:
        """Empty the KV cache."""
        self._library.api.llama_memory_clear(self.memory, False)

    def keep(self, tokens: int) -> bool:
        """Forget all but the first `tokens` tokens of every sequence; False where this kind of cache cannot."""
        api = self._library.api
        return all(
            api.llama_memory_seq_rm(self.memory, sequence, tokens, -1) for sequence in range(self.settings.sequences)
        )

    def state_bytes(self) -> int:
        """Size of what the first sequence has in the cache, with llama.cpp's bookkeeping."""
        return int(self._library.api.llama_state_seq_get_size(self.pointer, 0))

    def facts(self) -> dict[str, str]:
        """What the context was made with: by llama.cpp's own account where it has a function for it."""
        api, made = self._library.api, self._parameters
        cache = KV_TYPES[self.settings.kv_cache][1]
        return {
            "llama.context.n_ctx": str(api.llama_n_ctx(self.pointer)),
            "llama.context.n_ctx_seq": str(api.llama_n_ctx_seq(self.pointer)),
            "llama.context.n_seq_max": str(api.llama_n_seq_max(self.pointer)),
            "llama.context.n_batch": str(self.batch_tokens),
            "llama.context.n_ubatch": str(api.llama_n_ubatch(self.pointer)),
            "llama.context.n_threads": str(api.llama_n_threads(self.pointer)),
            "llama.context.n_threads_batch": str(api.llama_n_threads_batch(self.pointer)),
            "llama.context.flash_attention": f"{self.flash} (asked: {self.settings.flash_attention})",
            "llama.context.type_k": cache,
            "llama.context.type_v": cache,
            "llama.context.kv_unified": _yes(made.kv_unified),
            "llama.context.swa_full": _yes(made.swa_full),
            "llama.context.offload_kqv": _yes(made.offload_kqv),
            "llama.context.op_offload": _yes(made.op_offload),
        }

    def close(self) -> None:
        """Free it; closing twice does nothing."""
        if self.pointer:
            self._library.api.llama_free(self.pointer)
            self.pointer = 0


def _yes(value: object) -> str:
    return "yes" if value else "no"


def flash_attention(lines: Iterable[str]) -> str:
    """What llama.cpp chose, from what it said while it made a context: "on", "off", or "not told"."""
    chosen = "not told"
    for line in lines:
        _, asked, value = line.partition("flash_attn            = ")
        if asked:
            chosen = {"enabled": "on", "disabled": "off"}.get(value.strip(), chosen)
        elif line.endswith("Flash Attention enabled"):
            chosen = "on"
        elif "Flash Attention not supported" in line or "forcing off" in line:
            chosen = "off"
    return chosen
