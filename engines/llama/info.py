"""The llama.cpp engine as data. Any process; imports none of its libraries."""

from __future__ import annotations

from collections.abc import Iterator

from engines.catalogue.model import EngineInfo, Obstacle, Passes, Planned
from engines.llama.settings import LlamaSettings, settings_of
from engines.protocol.orders import EngineOrder
from engines.protocol.settings import settings_of as described
from engines.protocol.work import sequences_of
from engines.techniques import find, gguf, kv_cache
from engines.techniques.facts import ModelFacts
from engines.techniques.gguf import SEQUENCES

PIECE_TOKENS = 128
"""Tokens of a text computed at once: llama.cpp keeps the logits of each that is scored."""
_FULL_CACHE = "kv_cache.full"


def _obstacles(order: Planned, _model: ModelFacts | None) -> Iterator[Obstacle]:
    batch, own = sequences_of(order.workload), settings_of(order.engine)
    if batch > SEQUENCES:
        yield Obstacle(
            f"llama.cpp holds at most {SEQUENCES} sequences, not {batch:,}.",
            "Lower the batch.",
            fixes=((f"Batch {SEQUENCES}", f"workload.batch_size.{batch}", SEQUENCES),),
        )
    elif batch > own.batch_tokens:
        yield Obstacle(
            f"{batch:,} sequences cannot go on with {own.batch_tokens:,} tokens submitted at once.",
            "Raise batch_tokens, or lower the batch.",
            fixes=((f"Batch tokens {batch}", "engine.batch_tokens", batch),),
        )
    if order.model.adapter:
        yield Obstacle(
            "llama.cpp computes no adapter beside a model here.",
            'Use transformers, or train with keep = "model" and choose the merged model.',
        )
    cache = next((t.id for t in order.techniques if t.id.startswith("kv_cache.")), _FULL_CACHE)
    technique = find(cache)
    if own.flash_attention == "off" and cache != _FULL_CACHE and technique is not None:
        yield Obstacle(
            f"{technique.title} needs flash attention, which this experiment turns off.",
            "Set flash attention to auto or on, or leave the KV cache at full precision.",
            kind="technique",
            fixes=(
                ("Flash attention auto", "engine.flash_attention", "auto"),
                ("Use full", f"techniques.{technique.axis}.{technique.short}", _FULL_CACHE),
            ),
        )


def _passes(engine: EngineOrder) -> Passes:
    return Passes(tokens=settings_of(engine).micro_batch_tokens, text_tokens=PIECE_TOKENS, answers_together=False)


def _maps_files(engine: EngineOrder) -> bool:
    return settings_of(engine).memory_map


ENGINE = EngineInfo(
    id="llama.cpp",
    title="llama.cpp",
    factory="engines.llama.engine:LlamaEngine",
    preflight="engines.llama.preflight:preflight",
    packages=("llama-cpp-python", "gguf"),
    techniques=tuple(technique.id for technique in (*gguf.TECHNIQUES, *kv_cache.TECHNIQUES)),
    extra="gguf",
    modules=("llama_cpp", "gguf"),
    installed_bytes=1_000_000_000,
    settings=described(LlamaSettings),
    obstacles=_obstacles,
    passes=_passes,
    converts_models=True,
    maps_files=_maps_files,
    cache_type="float16",
    batch="sequences that decode together",
)
