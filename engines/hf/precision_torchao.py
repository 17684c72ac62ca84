"""torchao's precisions: int8, int4 and float8 weights, float8 products. Worker process; imports torch.

A quantised layer keeps its class; its weight becomes a wrapper around the data and a scale a row (int8, float8) or a
scale and a zero point a group (int4). int4 takes the tile-packed format: its kernel is part of torch, needs compute
capability 8.0 and bfloat16, and pads rows to 1,024 weights. int4 and float8 products have not been run by us.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from engines.hf.load import LoadRequest, empty_model, load_weights
from engines.hf.precision import changed, chosen_dtype, linear_layers, reads_from_files, short
from engines.worker.failures import WorkerFailure

GROUP_SIZES = (128, 64, 32)
"""What "auto" chooses from."""


def load_int8(request: LoadRequest) -> PreTrainedModel:
    """8-bit rows with one float32 scale each."""
    from torchao.quantization import Int8WeightOnlyConfig

    return _load(request, chosen_dtype(request), Int8WeightOnlyConfig(set_inductor_config=False))


def load_float8(request: LoadRequest) -> PreTrainedModel:
    """float8 (e4m3) rows with one float32 scale each, widened for every product."""
    from torchao.quantization import Float8WeightOnlyConfig

    return _load(request, chosen_dtype(request), Float8WeightOnlyConfig(set_inductor_config=False))


def load_float8_dynamic(request: LoadRequest) -> PreTrainedModel:
    """float8 rows, and activations rounded to float8 row by row; scales by row need bfloat16 around them."""
    _gpu_only(request)
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow

    config = Float8DynamicActivationFloat8WeightConfig(granularity=PerRow(), set_inductor_config=False)
    return _load(request, torch.bfloat16, config)


def load_int4(request: LoadRequest) -> PreTrainedModel:
    """4-bit groups, tile-packed for torch's own kernel."""
    _gpu_only(request)
    widths = [layer.in_features for _, layer in linear_layers(empty_model(request))]
    size = group_size(str(request.parameters.get("group_size", "auto")), widths, request.model.title)
    return _load(request, torch.bfloat16, int4_config(size))


def int4_config(size: int) -> object:
    """Settings of torchao for groups of so many weights. It would try to tune a compiler that is not used here."""
    from torchao.quantization import Int4WeightOnlyConfig
    from torchao.quantization.quantize_.workflows import Int4PackingFormat

    return Int4WeightOnlyConfig(
        group_size=size, int4_packing_format=Int4PackingFormat.TILE_PACKED_TO_4D, set_inductor_config=False
    )


def group_size(chosen: str, widths: Sequence[int], title: str) -> int:
    """Weights in a group: as chosen, or the largest that divides every layer's width. Raises `WorkerFailure`: torchao
    would leave the other layers as they are and say nothing."""
    sizes = GROUP_SIZES if chosen == "auto" else (int(chosen),)
    for size in sizes:
        if all(width % size == 0 for width in widths):
            return size
    left = sum(width % sizes[-1] != 0 for width in widths)
    raise WorkerFailure(
        "technique",
        f"Groups of {sizes[-1]} weights do not divide the width of {left} of {len(widths)} layers of {title}.",
        "Choose another precision for this model." if chosen == "auto" else "Choose a smaller group size, or auto.",
    )


def _load(request: LoadRequest, dtype: torch.dtype, config: object) -> PreTrainedModel:
    """The model with torchao's settings applied to its linear layers, everything else in `dtype`."""
    from torchao.quantization import quantize_
    from transformers import TorchAoConfig

    if reads_from_files(request):
        return changed(load_weights(request, dtype, TorchAoConfig(config)), request)
    model = load_weights(request, dtype)
    layers = {id(layer) for _, layer in linear_layers(model)}
    quantize_(model, config, filter_fn=lambda module, _: id(module) in layers)
    return changed(model, request)


def _gpu_only(request: LoadRequest) -> None:
    if request.device.type != "cuda":
        raise WorkerFailure(
            "technique",
            f"{short(request)} of torchao needs a GPU.",
            "Choose nf4 or a GGUF format for the processor, or run this on a machine with a GPU.",
        )
