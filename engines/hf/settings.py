"""The transformers engine's own settings, as an order carries them. No torch."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from engines.protocol.orders import EngineOrder
from engines.protocol.settings import Setting


class HfSettings(msgspec.Struct, frozen=True, kw_only=True):
    attention: Annotated[
        Literal["sdpa", "eager"],
        Setting(
            title="Attention kernel",
            help="How transformers computes attention: sdpa is PyTorch's fused kernel, eager the plain formula",
        ),
    ] = "sdpa"


def settings_of(engine: EngineOrder) -> HfSettings:
    """Raises `msgspec.ValidationError` for a setting of the wrong type or value."""
    return msgspec.convert(engine.settings, HfSettings)
