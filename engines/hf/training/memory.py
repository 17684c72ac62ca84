"""What memory holds at the peak of a training step, by part. Worker process; imports torch.

torch's own tracker (`torch.distributed._tools.mem_tracker`) follows every storage through one step; it makes that step
three times slower and is no public interface. Where it cannot be used, what autograd keeps for the way back is counted
instead (`torch.autograd.graph.saved_tensors_hooks`), and temporary memory is not known: it is given as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from engines.hf.count import inner_tensors
from engines.hf.training.optimisers import states
from engines.protocol.records import MemoryParts
from engines.worker.failures import is_out_of_memory

Step = Callable[[], object]
FAILURES = (ImportError, AttributeError, AssertionError, KeyError, NotImplementedError, RuntimeError, TypeError)
"""What a look through torch's private or young interfaces may come to."""
_PARTS = {
    "Parameter": "weights_bytes",
    "Buffer": "weights_bytes",
    "Gradient": "gradients_bytes",
    "Optstate": "optimiser_bytes",
    "Activation": "activations_bytes",
}
"""By what the tracker calls it; the rest is temporary."""


def memory_parts(model: torch.nn.Module, optimiser: torch.optim.Optimizer, step: Step) -> MemoryParts:
    """Of one step with one pass of the model, on its device. The optimiser has its states already, and parameters may
    have gradients of an earlier pass. Raises what `step` raises."""
    try:
        return tracked(model, optimiser, step)
    except FAILURES as error:
        if is_out_of_memory(error):
            raise
        optimiser.zero_grad(set_to_none=True)
    return saved(model, optimiser, step)


def tracked(model: torch.nn.Module, optimiser: torch.optim.Optimizer, step: Step) -> MemoryParts:
    """By the tracker: parts of the moment of the peak."""
    tracker = _tracker()
    for parameter in model.parameters():
        if not parameter.requires_grad:  # it would hook on to a gradient that never comes
            tracker._param_to_grad_hook_handles[parameter] = (_NoHook(), _NoHook())
    tracker.track_external(model, optimiser)
    with tracker:
        step()
    device = next(model.parameters()).device
    sizes = dict.fromkeys((*_PARTS.values(), "temporary_bytes"), 0)
    peak = 0
    for name, size in tracker.get_tracker_snapshot("peak")[device].items():
        kind = getattr(name, "value", name)
        if kind == "Total":
            peak = int(size)
        else:
            sizes[_PARTS.get(kind, "temporary_bytes")] += int(size)
    return MemoryParts(**sizes, peak_bytes=peak, method="mem_tracker")


def _tracker() -> Any:
    """torch's, without its figures of each module: it would ask all of them at every operation, which takes a minute
    for a step of a second where a model has adapters."""
    from torch.distributed._tools.mem_tracker import MemTracker

    class Tracker(MemTracker):
        def _update_peak_stats(self, peak_state: object) -> None:
            for device, now in self._curr_mem_snap.items():
                if self._peak_mem.get(device, 0) < now["Total"]:
                    self._peak_mem[device] = now["Total"]
                    self._peak_mem_snap[device] = dict(now)

    return Tracker()


class _NoHook:
    def remove(self) -> None:
        """Nothing to take away."""


def saved(model: torch.nn.Module, optimiser: torch.optim.Optimizer, step: Step) -> MemoryParts:
    """By what autograd keeps, each storage once, parameters apart: the end of the forward pass, with all gradients."""
    held = storages(_held(model))
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.update(storages([tensor]))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    weights, activations = sum(held.values()), sum(size for place, size in kept.items() if place not in held)
    gradients = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    optimiser_bytes = sum(storages(states(optimiser)).values())
    return MemoryParts(
        weights_bytes=weights,
        gradients_bytes=gradients,
        optimiser_bytes=optimiser_bytes,
        activations_bytes=activations,
        temporary_bytes=0,
        peak_bytes=weights + gradients + optimiser_bytes + activations,
        method="saved_tensors",
    )


def _held(model: torch.nn.Module) -> Iterable[torch.Tensor]:
    for tensor in (*model.parameters(), *model.buffers()):
        yield from inner_tensors(tensor)


def storages(tensors: Iterable[torch.Tensor]) -> dict[int, int]:
    """Bytes by place, each storage once."""
    found = (tensor.untyped_storage() for tensor in tensors)
    return {storage.data_ptr(): storage.nbytes() for storage in found}
