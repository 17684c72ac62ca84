"""Parameters and bytes of a loaded model, counted from its tensors. Worker process; imports torch."""

from __future__ import annotations

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


def inner_tensors(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The plain tensors that hold a tensor's data: itself, or those inside a wrapper (torchao), at any depth."""
    if not hasattr(tensor, "__tensor_flatten__"):
        yield tensor
        return
    names, _ = tensor.__tensor_flatten__()
    for name in names:
        yield from inner_tensors(getattr(tensor, name))


def count(model: torch.nn.Module) -> Counted:
    """Count parameters and persistent buffers (bytes as stored on the device)."""
    by_dtype: Counter[str] = Counter()
    seen: set[int] = set()
    parameters = quantised = quantised_bytes = floats = float_bytes = 0
    own = dict(model.named_parameters(remove_duplicate=False))
    kept = set(model.state_dict().keys())
    buffers = {name: b for name, b in model.named_buffers(remove_duplicate=False) if name in kept}
    for name, tensor in [*own.items(), *buffers.items()]:
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        size = 0
        for part in inner_tensors(tensor):
            part_bytes = part.numel() * part.element_size()
            by_dtype[str(part.dtype).removeprefix("torch.")] += part_bytes
            size += part_bytes
        if name not in own:
            continue
        parameters += tensor.numel()
        if hasattr(tensor, "__tensor_flatten__"):
            quantised += tensor.numel()
            quantised_bytes += size
        else:
            floats += tensor.numel()
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
