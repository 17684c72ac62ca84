"""bitsandbytes' precisions: LLM.int8() and the 4-bit types nf4 and fp4. Worker process; imports torch.

On a processor with AVX-512 bfloat16 a 4-bit layer repacks its weights at its first use: in another order, with bfloat16
scales, a double quantisation undone. `settled` makes every layer do so before anything is counted or timed.
"""

from __future__ import annotations

from functools import partial

import torch
from transformers import PreTrainedModel

from engines.hf.load import LoadRequest, load_weights
from engines.hf.precision import changed, chosen_dtype, linear_layers, reads_from_files, short
from engines.worker.failures import WorkerFailure, first_line, is_out_of_memory


def load_llm_int8(request: LoadRequest) -> PreTrainedModel:
    """8-bit rows with one float32 scale each; columns of activations above the threshold are multiplied in 16 bits."""
    import bitsandbytes
    from transformers import BitsAndBytesConfig

    threshold = float(request.parameters.get("threshold", 6.0) or 0.0)
    dtype = chosen_dtype(request)
    if reads_from_files(request):
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=threshold)
        return changed(load_weights(request, dtype, config), request)
    model = load_weights(request, dtype)
    for name, layer in linear_layers(model):
        new = bitsandbytes.nn.Linear8bitLt(
            layer.in_features,
            layer.out_features,
            layer.bias is not None,
            has_fp16_weights=False,
            threshold=threshold,
            device="meta",
        )
        # it quantises what comes from the processor's memory and nothing else
        new.weight = bitsandbytes.nn.Int8Params(
            layer.weight.data.cpu(), requires_grad=False, has_fp16_weights=False
        ).to(request.device)
        _replace(model, name, layer, new)
    return changed(model, request)


def load_four_bit(request: LoadRequest) -> PreTrainedModel:
    """nf4 or fp4, as the technique's id says: blocks of 64 weights with one scale each."""
    import bitsandbytes
    from transformers import BitsAndBytesConfig

    kind, double = short(request), bool(request.parameters.get("double_quantisation", False))
    dtype = chosen_dtype(request)
    if reads_from_files(request):
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=kind,
            bnb_4bit_use_double_quant=double,
            bnb_4bit_compute_dtype=dtype,
        )
        return _ready(changed(load_weights(request, dtype, config), request), request)
    model = load_weights(request, dtype)
    for name, layer in linear_layers(model):
        new = bitsandbytes.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            layer.bias is not None,
            compute_dtype=dtype,
            compress_statistics=double,
            quant_type=kind,
            device="meta",
        )
        new.weight = bitsandbytes.nn.Params4bit(
            layer.weight.data, requires_grad=False, compress_statistics=double, quant_type=kind, module=new
        ).to(request.device)
        _replace(model, name, layer, new)
    return _ready(changed(model, request), request)


def _ready(model: PreTrainedModel, request: LoadRequest) -> PreTrainedModel:
    return never_packed(model) if request.trains else settled(model, request)


def never_packed(model: PreTrainedModel) -> PreTrainedModel:
    """The model with 4-bit layers that stay in training mode, also in `model.eval()`: they have no dropout, so their
    output is the same. A layer that was packed for a processor passes no gradient to its input, and what is dequantised
    from it is garbage without an error (bitsandbytes 0.50.2)."""
    import bitsandbytes

    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            module.training = True
            module.__dict__["train"] = partial(_stay, module)
    return model


def _stay(module: torch.nn.Module, _mode: bool = True) -> torch.nn.Module:
    return module


def _replace(model: PreTrainedModel, name: str, old: torch.nn.Linear, new: torch.nn.Linear) -> None:
    if old.bias is not None:
        new.bias = old.bias
    model.set_submodule(name, new.eval())


def settled(model: PreTrainedModel, request: LoadRequest) -> PreTrainedModel:
    """The model after one pass over one token: in the form in which its weights are used. Raises `WorkerFailure` where
    a layer's widths do not suit the form of this processor."""
    try:
        with torch.no_grad():
            model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=model.device), use_cache=False)
    except (AssertionError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        raise WorkerFailure(
            "technique",
            f"bitsandbytes cannot multiply the {short(request)} layers of {request.model.title}: {first_line(error)}",
            "On this processor layers need output widths in multiples of 32 and input widths in multiples of 64. "
            "Choose another precision for this model.",
        ) from error
    return model
