"""A model that was found on this computer, as a value."""

from __future__ import annotations

from typing import Literal

import msgspec


class LocalModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model found on this computer. `ref` goes into an experiment as it is."""

    ref: str
    title: str
    aside: str = ""
    """What the title ends with in brackets."""
    source: str
    """"starter", "Trained here", "Hugging Face cache", "LM Studio", "Ollama", or the folder the user added."""
    kind: Literal["folder", "gguf"]
    path: str
    size_bytes: int
    architecture: str = ""
    """From config.json; "" for GGUF files, whose header is read when the model is chosen."""
    made_by: str = ""
    """Of a trained one the method, its experiment and how long: "LoRA, support, 60 steps"."""
    problem: str = ""
    """Why it cannot be used, where that shows without opening the weights."""
