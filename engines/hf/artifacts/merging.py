"""A base and an adapter as one model: merged once into a folder of the cache, which every precision can be made from.

Merging into quantised weights would round the adapter away, so the base is read with floating weights, those of
quantised files widened, and precisions are applied to the merged model. Worker process; imports torch.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import msgspec
import torch

from engines.hf import files
from engines.hf.load import LoadRequest, load_weights
from engines.hf.tokenizer import load_tokenizer
from engines.host.locked import locked
from engines.models import artifacts, merged_cache
from engines.models.artifacts import Made
from engines.protocol.orders import ModelOrder, TrialOrder
from engines.protocol.places import places
from engines.techniques.adapter import MERGED
from engines.worker.engine import NotKept
from engines.worker.failures import WorkerFailure

_FLOATS = {"F16": torch.float16, "BF16": torch.bfloat16}


def asks_for_merged(order: TrialOrder) -> bool:
    return bool(order.model.adapter) and any(t.id == MERGED for t in order.techniques)


def merged_model(model: ModelOrder) -> ModelOrder | None:
    """The merged model once it is in the cache, else None."""
    folder = _place(model)
    made = artifacts.read(folder)
    if made is None or not folder.is_dir():
        return None
    return msgspec.structs.replace(
        model,
        kind="folder",
        path=str(folder),
        adapter="",
        adapter_hash="",
        stored="",
        fingerprint=made.sha256,
        origin="; ".join(part for part in (model.origin, f"merged into {made.merged_into}") if part),
    )


def with_merged(order: TrialOrder) -> TrialOrder:
    """The order with its merged model in the place of base and adapter, where it asks for that."""
    if not asks_for_merged(order):
        return order
    whole = merged_model(order.model)
    assert whole is not None, "merge() comes first"
    merged_cache.take(Path(whole.path))
    return msgspec.structs.replace(order, model=whole)


def merge(order: TrialOrder, attention: str) -> dict[str, str]:
    """Put the merged model into the cache; returns facts. Raises `WorkerFailure`."""
    model, folder = order.model, _place(order.model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / ".lock", lambda: None):
        if (there := artifacts.read(folder)) is None:
            there = _merge(order, attention, folder)
            merged_cache.trim(places().cache)
    return {"adapter.merged_into": there.merged_into, "adapter.merged_sha256": there.sha256, "adapter.of": model.title}


def _merge(order: TrialOrder, attention: str, folder: Path) -> Made:
    from engines.hf.artifacts import keep  # brings peft
    from engines.hf.artifacts.adapter import check_adapter

    model = order.model
    check_adapter(model)
    dtype = _stored_dtype(model)
    technique = f"precision.{str(dtype).removeprefix('torch.')}"
    base = msgspec.structs.replace(model, adapter="", adapter_hash="")
    request = LoadRequest(
        model=base,
        technique=technique,
        device=torch.device("cpu"),
        attention=attention,
        allow_network=order.allow_network,
    )
    whole, into = keep.merged(load_weights(request, dtype), Path(model.adapter))
    if model.stored:
        into = f"{into}, dequantised from {model.stored}"
    made = Made(
        artifact="model",
        trial=order.trial,
        title=model.title,
        experiment_title=order.experiment_title,
        step=0,
        base=base,
        merged_into=into,
    )
    try:
        keep.store(folder, made, partial(keep.save_model, whole, load_tokenizer(base)))
    except NotKept as problem:
        raise WorkerFailure("engine", f"The merged model could not be written. {problem}", "Then try again.") from None
    done = artifacts.read(folder)
    assert done is not None
    return done


def _place(model: ModelOrder) -> Path:
    content = f"{model.fingerprint or model.path} {model.adapter_hash}"
    return merged_cache.place(places().cache) / hashlib.sha256(content.encode()).hexdigest()[:32]


def _stored_dtype(model: ModelOrder) -> torch.dtype:
    """The type of a base's files, so that a merged model is as large as its base; float32 where they are quantised."""
    if model.kind != "folder" or model.stored:
        return torch.float32
    counts: dict[str, int] = {}
    for file in files.weight_files(Path(model.path)):
        for tensor in files.tensors(file):
            counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.weights
    return _FLOATS.get(max(counts, key=lambda name: counts[name]), torch.float32)
