"""The llama.cpp engine's own settings, as an order carries them. No llama_cpp."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from engines.protocol.orders import EngineOrder
from engines.protocol.settings import Setting


class LlamaSettings(msgspec.Struct, frozen=True, kw_only=True):
    batch_tokens: Annotated[
        int,
        Setting(
            title="Batch tokens",
            short="Batch",
            minimum=1,
            maximum=1_000_000,
            unit="tokens",
            help="Tokens submitted to llama.cpp at once at the most (n_batch)",
        ),
    ] = 2048
    micro_batch_tokens: Annotated[
        int,
        Setting(
            title="Micro-batch tokens",
            short="Micro-batch",
            minimum=1,
            maximum=1_000_000,
            unit="tokens",
            help="Tokens that llama.cpp computes at once at the most (n_ubatch), and no more than the batch",
        ),
    ] = 512
    flash_attention: Annotated[
        Literal["auto", "on", "off"],
        Setting(
            title="Flash attention",
            short="Flash att.",
            help="llama.cpp's fused attention; automatic leaves it the choice. A quantised KV cache needs it",
        ),
    ] = "auto"
    gpu_layers: Annotated[
        int,
        Setting(
            title="GPU layers",
            minimum=-1,
            maximum=10_000,
            unit="layers",
            suffix="-1: all",
            help="Layers that llama.cpp puts on the GPU; -1: all. Without a GPU it has no meaning",
        ),
    ] = -1
    memory_map: Annotated[
        bool,
        Setting(
            title="Memory map",
            short="Memory",
            help="llama.cpp maps the file: pages come when they are needed and can be given back. Off reads it whole",
        ),
    ] = True


def settings_of(engine: EngineOrder) -> LlamaSettings:
    """Raises `msgspec.ValidationError` for a setting of the wrong type or value."""
    own = msgspec.convert(engine.settings, LlamaSettings)
    return msgspec.structs.replace(own, micro_batch_tokens=min(own.micro_batch_tokens, own.batch_tokens))
