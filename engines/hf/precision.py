"""What the precision techniques do: float32, bfloat16, float16 and int8 weights. Worker process; imports torch.

int8 is torchao's weight-only quantisation: linear layers except the output head hold 8-bit rows with one float32 scale
each, and are multiplied in the compute precision. On a processor without bfloat16 instructions that is float32, because
a bfloat16 product is emulated there and several times slower.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from engines.hf.load import LoadRequest, load_weights
from engines.worker.failures import WorkerFailure

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_float(request: LoadRequest) -> PreTrainedModel:
    """Every weight in the precision that the technique's id names."""
    return load_weights(request, DTYPES[request.technique.partition(".")[2]])


def load_int8(request: LoadRequest) -> PreTrainedModel:
    """Linear layers except the output head as torchao int8 tensors; the rest in the compute precision."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    dtype = compute_dtype(str(request.parameters.get("compute", "auto")), request.device)
    config = Int8WeightOnlyConfig(set_inductor_config=False)
    if request.model.kind in ("folder", "hub"):
        from transformers import TorchAoConfig

        # layer by layer while reading, so that a GPU never holds the whole model in the compute precision
        model = load_weights(request, dtype, TorchAoConfig(config))
    else:
        model = load_weights(request, dtype)
        head = model.get_output_embeddings()
        quantize_(model, config, filter_fn=lambda module, _: isinstance(module, torch.nn.Linear) and module is not head)
    if not any(is_quantised(parameter) for parameter in model.parameters()):
        raise WorkerFailure(
            "technique",
            f"int8 changed nothing in {request.model.title}: it has no linear layers that torchao can quantise.",
            "Choose another precision for this model.",
        )
    return model


def is_quantised(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a wrapper around quantised data, or integer data itself."""
    return hasattr(tensor, "__tensor_flatten__") or not (tensor.is_floating_point() or tensor.is_complex())


def compute_dtype(choice: str, device: torch.device) -> torch.dtype:
    """The precision int8 weights are multiplied in. "auto": bfloat16 where the device has instructions for it."""
    if choice != "auto":
        return DTYPES[choice]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself."""
    flags = torch.backends.cpu.get_cpu_capability()
    try:
        with open("/proc/cpuinfo") as stream:  # noqa: PTH123  one line of a long pseudo-file
            words = next((line for line in stream if line.startswith(("flags", "Features"))), "").split()
    except OSError:
        words = []
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(words)) and flags not in ("DEFAULT", "NO AVX")
