"""Floating-point operations of a training step: by formula, and counted once. Worker process; imports torch.

The formula. A linear layer of `in` inputs and `out` outputs takes 2 in out operations a position forward, as many for
the gradient of its input where anything before it is trained, and as many for that of its weight where that is trained
itself: a frozen layer under an adapter costs 4 in out, not 6. Attention takes 4 T^2 d a layer and sequence forward
(scores and weighted values: T positions, d = heads x width of a head; the full square, not its causal half, as kernels
compute or count it) and 8 T^2 d back, 10 where a fused kernel computes the scores again. Recomputed layers count once
more. Everything else (norms, activations, the loss, the optimiser) is left out; so is what a method multiplies outside
of linear layers.

The counter is torch's (`torch.utils.flop_counter`), which lacks the processor's fused attention: it is given the
formulas of the GPU's. It does not see products with quantised weights and of grouped experts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from engines.hf import shape
from engines.hf.count import is_quantised
from engines.hf.finetune.prompts import MODULE

_LAYER = re.compile(r"\.(\d+)\.")


class Linears:
    """Adds up what linear layers compute within `watching`, forward and back."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self.flops = 0.0
        self.on_the_way_back = False
        """What passes then is computed a second time."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        layers = [m for m in self._model.modules() if isinstance(m, torch.nn.Linear | Conv1D)]
        handles = [layer.register_forward_hook(self._passed) for layer in layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _passed(self, layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        wide = layer.nx if isinstance(layer, Conv1D) else layer.in_features
        assert isinstance(wide, int)
        once = 2.0 * output.numel() * wide
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        gradients = 0 if self.on_the_way_back else inputs[0].requires_grad + weight.requires_grad
        self.flops += once * (1 + gradients)


def attention_flops(model: PreTrainedModel, rows: int, queries: int, keys: int, *, checkpointing: bool) -> float:
    """Of `rows` sequences, forward and back: of `queries` positions to `keys` positions, which a prefix makes more. 0
    for a model without attention, or whose layers are not known."""
    groups = shape.layers_of(model.config).groups
    layers = sum(group.layers for group in groups)
    if not layers:
        return 0.0
    forward = 4.0 * rows * queries * keys * sum(group.layers * group.width for group in groups)
    back = 2.0 if model.config._attn_implementation == "eager" else 2.5
    trained = max(0, layers - _first_trained(model)) / layers
    return forward * (1 + trained * (back + checkpointing))


def _first_trained(model: torch.nn.Module) -> int:
    """Number of the first layer that anything is trained in; 0 where something before all layers is, a large number
    where only what follows them is."""
    numbers, before, seen = set[int](), False, False
    for name, parameter in model.named_parameters():
        found = _LAYER.search(name)
        seen = seen or found is not None
        if parameter.requires_grad:
            if found is not None:
                numbers.add(int(found[1]))
            before = before or not seen or name.startswith(f"{MODULE}.")
    return 0 if before else min(numbers, default=1 << 30)


def counted(step: Callable[[], object]) -> float:
    """By torch's counter. Raises what `step` raises."""
    aten = torch.ops.aten
    formulas: dict[Any, Any] = {
        aten._scaled_dot_product_flash_attention_for_cpu: _fused,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _fused_back,
    }
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with counter:
        step()
    return float(counter.get_total_flops())


class _NoModules:
    """In place of the counter's tracker of modules, which only sums by module are for: its hooks hold every layer that
    checkpointing computes again until the step has ended, as if nothing had been given back."""

    parents: ClassVar = {"Global"}

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _fused(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, _repeated(key, query), _repeated(value, query)))


def _fused_back(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_backward_flop_count(gradient, query, _repeated(key, query), _repeated(value, query)))


def _repeated(shared: Any, query: Any) -> Any:
    """Shape of keys or values as every head of the query has them."""
    return (*query[:2], *shared[2:])


def omitted(model: PreTrainedModel) -> str:
    """What the counter does not see of a model, in a phrase."""
    found = []
    if any(is_quantised(parameter) for parameter in model.parameters()):
        found.append("products with quantised weights")
    if shape.expert_count(model.config) and getattr(model.config, "_experts_implementation", "") != "eager":
        found.append("grouped products of experts")
    return ", ".join(found)
