"""The llama.cpp engine as data. Any process; imports none of its libraries."""

from __future__ import annotations

from engines.catalogue.model import EngineInfo

ENGINE = EngineInfo(
    id="llama.cpp",
    title="llama.cpp",
    factory="engines.llama.engine:LlamaEngine",
    preflight="engines.llama.preflight:preflight",
    packages=("llama-cpp-python", "gguf"),
    extra="gguf",
)
