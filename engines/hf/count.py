"""Parameters and bytes of a loaded model, counted from its tensors. Worker process; imports torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Counted:
    """What a model is made of. Tied weights count once; quantised wrappers count by the tensors inside."""

    parameters: int
    """Logical weights: a quantised matrix counts its elements, not its scales."""
    tensor_bytes: int
    bytes_by_dtype: dict[str, int]
    quantised_parameters: int
    quantised_bytes: int
    float_parameters: int
    float_bytes: int

    @property
    def stored_bits(self) -> float:
        """Bits per quantised weight, scales included; per weight where nothing is quantised."""
        if self.quantised_parameters:
            return 8 * self.quantised_bytes / self.quantised_parameters
        return 8 * self.float_bytes / self.float_parameters if self.float_parameters else 0.0


def is_quantised(tensor: torch.Tensor) -> bool:
    """Whether a tensor is a wrapper around quantised data, or quantised data itself: integers, floats of 8 bits."""
    is_plain = tensor.is_complex() or (tensor.is_floating_point() and tensor.element_size() > 1)
    return hasattr(tensor, "__tensor_flatten__") or not is_plain


def holds_packed(model: torch.nn.Module) -> bool:
    """Whether any weight is quantised: a parameter, or what a library keeps as a buffer (GPTQ's "qweight")."""
    buffers = (b for b in _kept_buffers(model).values() if b.dim() > 1 and b.dtype != torch.bool)
    return any(map(is_quantised, model.parameters())) or any(map(is_quantised, buffers))


def inner_tensors(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The plain tensors that hold a tensor's data: itself, or those inside a wrapper (torchao, quanto), at any depth,
    and those that bitsandbytes hangs on a parameter (scales, their code book, nested scales)."""
    if hasattr(tensor, "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        for name in names:
            yield from inner_tensors(getattr(tensor, name))
        return
    yield tensor
    yield from _hung_on(getattr(tensor, "quant_state", None))  # 4 bits
    scales = getattr(tensor, "SCB", None)  # 8 bits, before the first use
    if isinstance(scales, torch.Tensor):
        yield scales


def _hung_on(state: object) -> Iterator[torch.Tensor]:
    """Tensors of a bitsandbytes QuantState and of the state nested in it."""
    for part in vars(state).values() if hasattr(state, "__dict__") else ():
        if isinstance(part, torch.Tensor):
            yield part
        elif type(part) is type(state):
            yield from _hung_on(part)


def _weights(tensor: torch.Tensor) -> int:
    """Logical weights of a parameter: bitsandbytes packs two in a byte and keeps the shape beside them."""
    shape = getattr(getattr(tensor, "quant_state", None), "shape", None)
    return math.prod(shape) if shape is not None else tensor.numel()


def _kept_scales(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Scales that bitsandbytes' 8-bit layers have moved from their weight to the layer's state at the first use."""
    found: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        scales = getattr(getattr(module, "state", None), "SCB", None)
        if isinstance(scales, torch.Tensor):
            found[f"{name}.weight"] = scales
    return found


def count(model: torch.nn.Module) -> Counted:
    """Count parameters and persistent buffers (bytes as stored on the device). Parts that several tensors share, a code
    book for example, count once."""
    by_dtype: Counter[str] = Counter()
    seen: dict[int, torch.Tensor] = {}  # held, so that no part made on the way is freed and its id given again
    parameters = quantised = quantised_bytes = floats = float_bytes = 0
    own = dict(model.named_parameters(remove_duplicate=False))
    buffers = _kept_buffers(model)
    moved = _kept_scales(model)
    for name, tensor in [*own.items(), *buffers.items()]:
        if id(tensor) in seen:
            continue
        seen[id(tensor)] = tensor
        size = 0
        parts = list(inner_tensors(tensor)) + ([moved[name]] if name in moved else [])
        for part in parts:
            if part is not tensor and id(part) in seen:
                continue
            seen[id(part)] = part
            part_bytes = part.numel() * part.element_size()
            by_dtype[str(part.dtype).removeprefix("torch.")] += part_bytes
            size += part_bytes
        if name not in own:
            continue
        weights = _weights(tensor)
        parameters += weights
        if is_quantised(tensor):
            quantised += weights
            quantised_bytes += size
        else:
            floats += weights
            float_bytes += size
    return Counted(
        parameters=parameters,
        tensor_bytes=sum(by_dtype.values()),
        bytes_by_dtype=dict(by_dtype),
        quantised_parameters=quantised,
        quantised_bytes=quantised_bytes,
        float_parameters=floats,
        float_bytes=float_bytes,
    )


def _kept_buffers(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Persistent buffers. Asked of each module, not of the state dict: bitsandbytes repacks weights to write one."""
    return {
        f"{prefix}.{name}" if prefix else name: buffer
        for prefix, module in model.named_modules(remove_duplicate=False)
        for name, buffer in module._buffers.items()
        if buffer is not None and name not in module._non_persistent_buffers_set
    }
