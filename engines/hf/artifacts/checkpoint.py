"""The state of a training after a step, and back: trained weights, optimiser, random generators, and what was spent.

The data position follows from the number of steps: batches have numbers (`engines.data`). Two files, none of them
pickled: tensors as safetensors, the rest as JSON. Worker process; imports torch.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from engines.models import artifacts
from engines.models.files import BrokenModel
from engines.protocol.orders import ResumeOrder
from engines.worker.failures import WorkerFailure

TENSORS, REST = "state.safetensors", "state.json"
_WEIGHT, _OPTIMISER, _RANDOM = "weight.", "optimiser.", "random."


class _Rest(msgspec.Struct):
    groups: list[dict[str, Any]]
    """Of the optimiser."""
    scalars: dict[str, dict[str, Any]]
    """What the optimiser keeps of a parameter besides tensors, by the parameter's number."""
    python: Any
    numpy: Any
    spent: dict[str, float]


def save(model: torch.nn.Module, optimiser: torch.optim.Optimizer, spent: Mapping[str, float], folder: Path) -> None:
    """Write the state into an empty folder. Raises OSError, SafetensorError."""
    state = optimiser.state_dict()
    tensors = {f"{_WEIGHT}{name}": p.detach() for name, p in model.named_parameters() if p.requires_grad}
    scalars: dict[str, dict[str, Any]] = {}
    for number, kept in state["state"].items():
        for name, value in kept.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{_OPTIMISER}{number}.{name}"] = value
            else:
                scalars.setdefault(str(number), {})[name] = value
    tensors[f"{_RANDOM}cpu"] = torch.get_rng_state()
    device = next(model.parameters()).device
    if device.type == "cuda":
        tensors[f"{_RANDOM}cuda"] = torch.cuda.get_rng_state(device)
    save_file(_apart(tensors), folder / TENSORS)
    name, keys, *rest = np.random.get_state(legacy=True)
    numpy_state = [name, [int(key) for key in keys], *rest]
    written = _Rest(state["param_groups"], scalars, random.getstate(), numpy_state, dict(spent))
    (folder / REST).write_bytes(msgspec.json.encode(written))


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """On the host, where there is room beside the model. Copies where several share memory, which safetensors refuses:
    8-bit optimisers share tables between parameters."""
    found, seen = dict[str, torch.Tensor](), set[int]()
    for name, tensor in tensors.items():
        on_host = tensor.to("cpu").contiguous()
        place = on_host.untyped_storage().data_ptr()
        found[name] = on_host.clone() if place in seen else on_host
        seen.add(place)
    return found


def restore(order: ResumeOrder, model: torch.nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, float]:
    """Put a state back into a model and an optimiser made as they were made then; returns what was spent. Raises
    `WorkerFailure` where its files are damaged or belong to another training."""
    folder = Path(order.path)
    made = artifacts.read(folder)
    try:
        if made is None or made.sha256 != order.sha256:
            raise BrokenModel(f"{folder} is not the checkpoint that was chosen.", "Resume the trial again.")
        artifacts.check(folder, made)
        tensors = load_file(folder / TENSORS)
        rest = msgspec.json.decode((folder / REST).read_bytes(), type=_Rest)
    except (BrokenModel, OSError) as error:
        raise WorkerFailure(
            "engine", f"The checkpoint cannot be used. {error}", "Resume the trial again: an earlier one may be whole."
        ) from error
    _restore_weights(model, tensors)
    state: dict[int, dict[str, Any]] = {int(number): dict(kept) for number, kept in rest.scalars.items()}
    for name, tensor in tensors.items():
        if name.startswith(_OPTIMISER):
            number, _, key = name.removeprefix(_OPTIMISER).partition(".")
            state.setdefault(int(number), {})[key] = tensor
    groups = [group | {"betas": tuple(group["betas"])} if "betas" in group else group for group in rest.groups]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    torch.set_rng_state(tensors[f"{_RANDOM}cpu"])
    if f"{_RANDOM}cuda" in tensors:
        torch.cuda.set_rng_state(tensors[f"{_RANDOM}cuda"], next(model.parameters()).device)
    version, keys, gauss = rest.python
    random.setstate((version, tuple(keys), gauss))
    np.random.set_state((rest.numpy[0], np.array(rest.numpy[1], dtype=np.uint32), *rest.numpy[2:]))
    return rest.spent


def _restore_weights(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Raises `WorkerFailure` where others are trained than those that were saved."""
    saved = {name.removeprefix(_WEIGHT): t for name, t in tensors.items() if name.startswith(_WEIGHT)}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if {n: t.shape for n, t in saved.items()} != {n: p.shape for n, p in trained.items()}:
        raise WorkerFailure(
            "engine",
            "The checkpoint holds other parameters than those that this trial trains.",
            "It was written with another version of the libraries. Retry the trial from its beginning.",
        )
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(saved[name])
