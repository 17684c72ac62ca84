"""The transformers engine as data. Any process; imports none of its libraries."""

from __future__ import annotations

from collections.abc import Iterator

from engines.catalogue.model import EngineInfo, Obstacle, Passes, Planned
from engines.hf.settings import HfSettings, settings_of
from engines.protocol.orders import AnyTraining, EngineOrder, Inference, Pretraining
from engines.protocol.settings import settings_of as described
from engines.techniques import find
from engines.techniques.adapter import MERGED, UNMERGED
from engines.techniques.facts import ModelFacts
from engines.techniques.model import Stage, Technique
from engines.techniques.unfit import EAGER_ONLY


def _obstacles(order: Planned, model: ModelFacts | None) -> Iterator[Obstacle]:
    if isinstance(order.workload, Inference) and order.workload.depth_tokens:
        yield Obstacle(
            "The transformers engine cannot start at a context depth yet.",
            "Set depth_tokens to 0, or use the llama.cpp engine.",
        )
    if order.model.adapter and not isinstance(order.workload, Inference):
        yield Obstacle(
            "Training on a base with an adapter beside it is not possible yet.",
            'Train on the merged model: keep = "model" writes one.',
        )
    if isinstance(order.workload, Pretraining) and order.model.kind != "random":
        yield Obstacle(
            "Pretraining begins with random weights, and this model has its own.",
            "Choose a shape, for example shape/tiny, or fine-tune the model.",
        )
    yield from _two_of_one(order)
    if model is None:
        return
    if not model.attention.attend:
        message = "No layer of this model has attention: the attention backend does not matter."
        yield Obstacle(message, severity="note")
    elif settings_of(order.engine).attention == "sdpa" and model.architecture in EAGER_ONLY:
        message = f"transformers has no sdpa attention for {model.architecture} models."
        yield Obstacle(message, fixes=(("Attention eager", "engine.attention", "eager"),))


def _two_of_one(order: Planned) -> Iterator[Obstacle]:
    """A request has one cache, and training one optimiser."""
    known = [technique for named in order.techniques if (technique := find(named.id)) is not None]
    kinds: tuple[tuple[Stage, str], ...] = (("cache", "KV cache"), ("optimiser", "optimiser"))
    for stage, what in kinds:
        found: list[Technique] = [technique for technique in known if technique.stage == stage]
        if len(found) > 1:
            names = " and ".join(technique.title for technique in found)
            yield Obstacle(f"{names} each make the {what}.", "Choose one of them.", kind="technique")
        elif found and isinstance(order.workload, AnyTraining) and order.workload.optimiser != "adamw":
            yield Obstacle(
                f"{found[0].title} makes the optimiser: the workload's {order.workload.optimiser} has no effect.",
                "Choose adamw beside it.",
                kind="technique",
                fixes=(("AdamW", "workload.optimiser", "adamw"),),
            )


def _passes(engine: EngineOrder) -> Passes:
    return Passes(holds_scores=settings_of(engine).attention == "eager")


ENGINE = EngineInfo(
    id="transformers",
    title="transformers",
    factory="engines.hf.engine:HfEngine",
    preflight="engines.hf.preflight:preflight",
    template="engines.hf.beforehand",
    works=("inference", "training", "pretraining"),
    offers=("model",),
    techniques=("kv_cache.full", UNMERGED, MERGED),
    stages={
        "data": ("pretraining",),
        "config": (),
        "load": (),
        "model": (),
        "cache": ("inference",),
        "decode": ("inference",),
        "optimiser": ("training", "pretraining"),
    },
    packages=("torch", "transformers", "accelerate"),
    extra="transformers",
    modules=("torch", "transformers", "accelerate"),
    installed_bytes=3_000_000_000,
    settings=described(HfSettings),
    named_settings=("attention",),
    obstacles=_obstacles,
    passes=_passes,
)
