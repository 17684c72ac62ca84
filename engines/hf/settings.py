"""The transformers engine's own settings, as an order carries them. No torch."""

from __future__ import annotations

from typing import Literal

import msgspec

from engines.protocol.orders import EngineOrder


class HfSettings(msgspec.Struct, frozen=True, kw_only=True):
    attention: Literal["sdpa", "eager"] = "sdpa"
    """Backend of attention."""


def settings_of(engine: EngineOrder) -> HfSettings:
    """Raises `msgspec.ValidationError` for a setting of the wrong type or value."""
    return msgspec.convert(engine.settings, HfSettings)
