"""The llama.cpp engine's own settings, as an order carries them. No llama_cpp."""

from __future__ import annotations

from typing import Literal

import msgspec

from engines.protocol.orders import EngineOrder


class LlamaSettings(msgspec.Struct, frozen=True, kw_only=True):
    batch_tokens: int = 2048
    """Tokens submitted at once at the most (`n_batch`)."""
    micro_batch_tokens: int = 512
    """Tokens computed at once at the most (`n_ubatch`)."""
    flash_attention: Literal["auto", "on", "off"] = "auto"
    gpu_layers: int = -1
    """Layers on the GPU; -1 all of them. Without a GPU it has no meaning."""
    memory_map: bool = True
    """The file is mapped, not read."""


def settings_of(engine: EngineOrder) -> LlamaSettings:
    """Raises `msgspec.ValidationError` for a setting of the wrong type or value."""
    return msgspec.convert(engine.settings, LlamaSettings)
