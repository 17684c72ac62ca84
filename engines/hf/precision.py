"""What the precision techniques share, and the floating-point ones. Worker process; imports torch.

The quantised ones stand in `precision_torchao`, `precision_bitsandbytes` and `precision_quanto`, each imported by the
trial that needs it. All of them change linear layers except the output head, and multiply in the compute precision:
"auto" takes bfloat16 only where the device has instructions for it, because elsewhere a bfloat16 product is emulated
and several times slower.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable, Iterator

import torch
from transformers import PreTrainedModel

from engines.hf.count import holds_packed, is_quantised
from engines.hf.load import LoadRequest, load_weights
from engines.worker.failures import WorkerFailure, first_line

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


_MOST = 0.9
"""So large a share of the weights is in the precision asked for at the least."""


def load_float(request: LoadRequest) -> PreTrainedModel:
    """Every weight in the precision that the technique's id names; some modules insist on float32. Raises
    `WorkerFailure` where others are in another."""
    dtype = DTYPES[short(request)]
    model = load_weights(request, dtype)
    weights: Counter[torch.dtype] = Counter()
    for parameter in model.parameters():
        weights[parameter.dtype] += parameter.numel()
    if holds_packed(model) or weights[dtype] < _MOST * weights.total() or set(weights) - {dtype, torch.float32}:
        found = ", ".join(str(name).removeprefix("torch.") for name in sorted(weights, key=str))
        raise WorkerFailure(
            "technique",
            f"{short(request)} was asked for, and the weights of {request.model.title} are {found} in memory.",
            "Its figures would be those of other weights. Choose another precision for this model.",
        )
    return model


def short(request: LoadRequest) -> str:
    """ "nf4" of "precision.nf4"."""
    return request.technique.partition(".")[2]


def reads_from_files(request: LoadRequest) -> bool:
    """Whether transformers reads the model's files itself and can quantise layer by layer while it does, so that a GPU
    never holds the whole model in the compute precision. Other models are quantised in place."""
    return request.model.kind in ("folder", "hub")


def linear_layers(model: PreTrainedModel) -> Iterator[tuple[str, torch.nn.Linear]]:
    """The layers to quantise, with their names: every linear one except the output head."""
    head = model.get_output_embeddings()
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and module is not head:
            yield name, module


def changed(model: PreTrainedModel, request: LoadRequest) -> PreTrainedModel:
    """The model, if anything in it was quantised. Raises `WorkerFailure`: a library may skip every layer silently."""
    if not any(is_quantised(parameter) for parameter in model.parameters()):
        raise WorkerFailure(
            "technique",
            f"{short(request)} changed nothing in {request.model.title}: it has no linear layers that could be "
            "quantised.",
            "Choose another precision for this model.",
        )
    return model


MODULES_OF = {"torchao": "torchao.quantization", "bitsandbytes": "bitsandbytes", "optimum-quanto": "optimum.quanto"}
"""Of the packages that only some precisions need."""


def import_needed(packages: Iterable[str]) -> None:
    """Import the libraries a precision needs beside torch and transformers, so that its load time does not hold that.
    Raises `WorkerFailure` where one is missing or broken."""
    for package in packages:
        if package in MODULES_OF:
            need(MODULES_OF[package], package)


def need(module: str, package: str) -> None:
    """Import one library. Raises `WorkerFailure` where it is missing or broken."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        missing = (
            isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == module.partition(".")[0]
        )
        raise WorkerFailure(
            "package",
            f"The package {package} is missing."
            if missing
            else f"The package {package} is installed but cannot be imported: {first_line(error)}",
            f"Install it into the environment the runner uses: pip install {'' if missing else '--force-reinstall '}"
            f"{package}",
        ) from error


def compute_dtype(choice: str, device: torch.device) -> torch.dtype:
    """The precision quantised weights are multiplied in. "auto": bfloat16 where the device has instructions for it."""
    if choice != "auto":
        return DTYPES[choice]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _cpu_has_bfloat16() else torch.float32


def chosen_dtype(request: LoadRequest) -> torch.dtype:
    """The compute precision of a request."""
    return compute_dtype(str(request.parameters.get("compute", "auto")), request.device)


def _cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself."""
    flags = torch.backends.cpu.get_cpu_capability()
    try:
        with open("/proc/cpuinfo") as stream:  # noqa: PTH123  one line of a long pseudo-file
            words = next((line for line in stream if line.startswith(("flags", "Features"))), "").split()
    except OSError:
        words = []
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(words)) and flags not in ("DEFAULT", "NO AVX")
