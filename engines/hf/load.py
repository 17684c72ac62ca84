"""Weights and tokenizer of a `ModelOrder`, in one floating-point precision. Worker process; imports torch.

The techniques of `engines.hf.precision` call `load_weights`; nothing else decides how a model is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import cached_file

from engines.hf import files
from engines.hf.architecture.build import build, class_of, config_of
from engines.hf.explained import explained
from engines.hf.shape import layers_of
from engines.protocol.orders import ModelOrder, Scalar
from engines.techniques.precision_stored import AS_STORED, DEQUANTISED, WIDENED_WHILE_LOADING
from engines.techniques.stored_precision import StoredPrecision, stored_precision
from engines.techniques.unfit import unfit_config
from engines.worker.failures import WorkerFailure

Config = dict[str, object]
"""A model's configuration, in the keys of config.json."""


@dataclass(frozen=True)
class LoadRequest:
    """What a technique's implementation is given."""

    model: ModelOrder
    technique: str
    """Id of the technique being applied: "precision.int8"."""
    device: torch.device
    attention: str
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    allow_network: bool = False
    trains: bool = False
    """Whether the model is trained."""
    seed: int | None = None
    """Of random weights; None: by the configuration alone, the same in every trial."""
    configure: Callable[[Config], Config] | None = None
    """What the techniques of stage "config" make of the configuration, before the model is built from it."""


def load_weights(
    request: LoadRequest, dtype: torch.dtype | Literal["auto"], quantization: object | None = None
) -> PreTrainedModel:
    """The model on its device, every floating weight in `dtype` ("auto": in that of the files, of which there must be
    some), in evaluation mode. Files that are quantised are widened unless the technique wants them as they are.

    `quantization` is a transformers quantisation config, applied while reading where the kind allows it; whoever gives
    one checks what came of it. Raises `WorkerFailure` of kind "model" or "technique", and whatever says that memory
    ran out.
    """
    model = request.model
    with explained(model):
        if model.kind == "random":
            assert dtype != "auto"
            loaded = _random(request, dtype)
        elif model.kind == "folder":
            files.check_folder(Path(model.path))
            loaded = _pretrained(request, dtype, model.path, quantization_config=quantization, local_files_only=True)
        elif model.kind == "gguf":
            files.check_gguf(Path(model.path))
            loaded = _pretrained(request, dtype, str(Path(model.path).parent), **_gguf_arguments(model.path))
        else:
            os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"  # else pickled weights are sent to a service on the hub
            loaded = _pretrained(
                request,
                dtype,
                model.path,
                quantization_config=quantization,
                revision=model.revision or None,
                local_files_only=not request.allow_network,
            )
    loaded.eval()
    loaded.requires_grad_(False)
    return loaded


def empty_model(request: LoadRequest) -> PreTrainedModel:
    """The model's layers without their weights (meta device): what its widths are, in well under a second."""
    model = request.model
    with explained(model):
        config = configured(request)
        with torch.device("meta"):
            empty: PreTrainedModel = class_of(config).from_config(config, trust_remote_code=False)
    return empty


def stored_of(request: LoadRequest) -> StoredPrecision | None:
    """What a model's files are quantised in, by its config.json."""
    with explained(request.model):
        config = configured(request)
    return stored_precision(config.to_dict())


def configured(request: LoadRequest) -> PretrainedConfig:
    """The configuration that the model is built from."""
    model = request.model
    if model.kind == "random":
        return _made(model, _edited(request, model.config))
    gguf = model.kind == "gguf"
    config: PretrainedConfig = AutoConfig.from_pretrained(
        str(Path(model.path).parent) if gguf else model.path,
        gguf_file=Path(model.path).name if gguf else None,
        revision=model.revision or None,
        local_files_only=model.kind != "hub" or not request.allow_network,
        trust_remote_code=False,
    )
    return _made(model, _edited(request, config.to_dict())) if request.configure is not None else config


def _edited(request: LoadRequest, config: Mapping[str, object]) -> Config:
    return request.configure(dict(config)) if request.configure is not None else dict(config)


def local_files(model: ModelOrder) -> Path | None:
    """The folder or file on this machine that the model was read from; None for random weights."""
    if model.kind == "random":
        return None
    if model.kind != "hub":
        return Path(model.path)
    config = cached_file(
        model.path,
        "config.json",
        revision=model.revision or None,
        local_files_only=True,
        _raise_exceptions_for_missing_entries=False,
    )
    return Path(config).parent if config else None


def random_seed(config: Mapping[str, object]) -> int:
    """Seed of random weights: from the config alone, so that every trial of a model has the same weights."""
    text = json.dumps(config, sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def _random(request: LoadRequest, dtype: torch.dtype) -> PreTrainedModel:
    """Seeded random weights made where they will be used, in `dtype`: nothing passes through float32 or the host."""
    config = configured(request)
    attention = _attention(request, config)
    torch.manual_seed(random_seed(request.model.config) if request.seed is None else request.seed)
    with torch.device(request.device):
        model = build(_edited(request, request.model.config), dtype, attention)
    return model.to(request.device)


def _made(model: ModelOrder, config: Config) -> PretrainedConfig:
    if not isinstance(config.get("model_type"), str):
        raise WorkerFailure("model", f"{model.title} has no model_type.", "Name the architecture, for example llama.")
    return config_of(config)


def _pretrained(
    request: LoadRequest, dtype: torch.dtype | Literal["auto"], source: str, **arguments: Any
) -> PreTrainedModel:
    arguments = {name: value for name, value in arguments.items() if value is not None}
    if request.device.type != "cpu":
        arguments["device_map"] = {"": request.device}
    config = configured(request)
    if request.configure is not None:
        arguments["config"] = config
    stored = None if "gguf_file" in arguments else _meet_stored(request, config, arguments)
    model: PreTrainedModel
    model, info = class_of(config).from_pretrained(
        source,
        dtype=dtype,
        attn_implementation=_attention(request, config),
        output_loading_info=True,
        trust_remote_code=False,
        use_safetensors=True,
        **arguments,
    )
    missing = sorted(info.get("missing_keys", ())) + sorted(str(k) for k in info.get("mismatched_keys", ()))
    if missing:  # transformers fills them with random numbers and goes on
        edited = request.configure is not None
        raise WorkerFailure(
            "technique" if edited else "model",
            f"The files of {request.model.title} lack {len(missing)} of the model's tensors ({missing[0]}, ...).",
            "A technique changes the configuration to one that these weights do not fit. Leave it out, or use random "
            "weights."
            if edited
            else "They belong to another model or are not complete. Fetch the model again.",
        )
    if stored is not None and dtype != "auto":
        if stored.method == "bitsandbytes":
            # straight after reading: the first use may repack them, and then this gives others without an error
            model = model.dequantize(dtype)
        _cast(model, dtype)
    return model


def _cast(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """What transformers leaves in the type of quantised files, whatever it was asked for: embeddings, norms, and what
    some methods make of the matrices. As when it loads plain files, some modules insist on float32."""
    insist = {*(model._keep_in_fp32_modules or ()), *(model._keep_in_fp32_modules_strict or ())}
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and not any(part in name for part in insist):
            parameter.data = parameter.data.to(dtype)


def _meet_stored(request: LoadRequest, config: PretrainedConfig, arguments: dict[str, Any]) -> StoredPrecision | None:
    """What the files are quantised in, None where they are not; `arguments` are changed so that they are read as the
    technique wants. Raises `WorkerFailure` where that cannot be: transformers would keep the quantisation they have."""
    stored = stored_precision(config.to_dict())
    if stored is None or request.technique == AS_STORED:
        return stored
    if "quantization_config" in arguments or stored.method not in DEQUANTISED:
        raise WorkerFailure(
            "technique",
            f"The files of {request.model.title} hold {stored.kind} weights: there is no "
            f"{request.technique.partition('.')[2]} of them.",
            "Choose the precision “as stored”.",
        )
    if stored.method in WIDENED_WHILE_LOADING:
        config.quantization_config["dequantize"] = True
        arguments["config"] = config
    return stored


def _attention(request: LoadRequest, config: PretrainedConfig) -> str | None:
    """The backend asked for; None where no layer has attention. Raises `WorkerFailure` for what writes no text."""
    if why := unfit_config(config.to_dict()):
        raise WorkerFailure("model", f"{request.model.title}: {why}", "Choose a model made for text generation.")
    return request.attention if layers_of(config).attend else None


def _gguf_arguments(path: str) -> dict[str, object]:
    arguments: dict[str, object] = {"gguf_file": Path(path).name, "local_files_only": True}
    try:
        from transformers import GgufConfig
    except ImportError:  # before 5.23 every GGUF file was dequantised
        return arguments
    return {**arguments, "quantization_config": GgufConfig(dequantize=True)}
