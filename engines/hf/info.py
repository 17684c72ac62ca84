"""The transformers engine as data. Any process; imports none of its libraries."""

from __future__ import annotations

from engines.catalogue.model import EngineInfo

ENGINE = EngineInfo(
    id="transformers",
    title="transformers",
    factory="engines.hf.engine:HfEngine",
    preflight="engines.hf.preflight:preflight",
    template="engines.hf.beforehand",
    packages=("torch", "transformers", "accelerate"),
    extra="transformers",
)
