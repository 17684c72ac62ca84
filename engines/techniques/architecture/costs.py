"""What an architecture costs to run, by formula: facts for planning, bytes of its cache, and where the speed of its
implementation says nothing of it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engines.models.lookup.facts import facts_of_config
from engines.techniques.architecture.counts import counts
from engines.techniques.architecture.edited import ATTENTION, POSITIONS, slot
from engines.techniques.architecture.shapes import number
from engines.techniques.facts import ModelFacts
from engines.techniques.layers import cached_numbers
from engines.techniques.layers_config import layers_of_config
from engines.techniques.weights import Weights

_DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_STATE_BYTES = 4
"""Recurrent states are float32 whatever the model computes in."""


def facts(config: Mapping[str, object]) -> ModelFacts:
    """What planner and memory estimate know of a made model, with random weights."""
    parts, dtype = counts(config), str(config.get("dtype", "float32"))
    found = facts_of_config(
        config,
        kind="random",
        parameters=parts.total,
        linear_parameters=0,
        stored_bytes=parts.total * _DTYPE_BYTES[dtype],
        stored_dtype=dtype,
        has_tokenizer=False,
    )
    if slot(config, ATTENTION):
        found = msgspec.structs.replace(found, weights=Weights(tied=found.weights.tied))
    linear = sum(matrix.count * matrix.inputs * matrix.outputs for matrix in found.weights.layers)
    return msgspec.structs.replace(found, linear_parameters=linear)


def cache_bytes(config: Mapping[str, object], tokens: int, bytes_per_value: int) -> int:
    """What transformers keeps of one sequence of `tokens`, at `bytes_per_value` of the model's precision: keys and
    values, of a window one token less than it; or a state, whatever the tokens."""
    if slot(config, ATTENTION):
        return 0  # it is run without one: every token computes all before it again
    kind, layers = config["model_type"], number(config, "num_hidden_layers")
    hidden = number(config, "hidden_size")
    if kind == "rwkv":  # two shifted inputs; numerator, denominator and maximum of the average
        return layers * hidden * (2 * bytes_per_value + 3 * _STATE_BYTES)
    if kind in ("mamba", "mamba2"):
        inner, state = number(config, "expand") * hidden, number(config, "state_size")
        convolved = inner + (2 * number(config, "n_groups") * state if kind == "mamba2" else 0)
        held = convolved * number(config, "conv_kernel") * bytes_per_value
        return layers * (held + inner * state * _STATE_BYTES)
    return cached_numbers(layers_of_config(config).groups, tokens, spare=-1) * bytes_per_value


def reference_speed(config: Mapping[str, object], device_kind: str) -> str:
    """Why the speed of this implementation says nothing of the architecture on a kind of device; "" where it does."""
    kind, where = config["model_type"], slot(config, POSITIONS).get("kind")
    if kind in ("mamba", "mamba2", "rwkv") and device_kind == "cpu":
        return "On processors transformers computes the recurrence in plain torch, without the kernels made for it."
    if slot(config, ATTENTION).get("kind") == "nsa":
        return "The sparse branches are computed in plain torch, without the kernels made for them."
    if where in ("alibi", "t5"):
        return "The bias keeps attention from the fused causal kernel: a part of its cost is this implementation's."
    return ""
