"""What stands against a fine-tuning method: by the model alone (obstacles), or by how it is used (conflicts). Pure.

Where peft cannot do something, that was tried with peft 0.21.2: docs/techniques.md.
"""

from __future__ import annotations

from collections.abc import Callable

from engines.techniques.facts import MachineFacts, ModelFacts
from engines.techniques.finetune.counts import HEAD, adapted, matches, names_of, whole
from engines.techniques.model import Use
from engines.techniques.precision_stored import AS_STORED, DEQUANTISED
from engines.techniques.weights import is_key_or_value, is_second_of_mlp

Obstacle = Callable[[ModelFacts, MachineFacts], str | None]
Conflict = Callable[[ModelFacts, Use], str | None]

FOUR_BIT = frozenset({"precision.nf4", "precision.fp4"})
_SHOWN = 8


def needs_floats(model: ModelFacts, _machine: MachineFacts) -> str | None:
    if model.kind == "gguf":
        return "A GGUF file cannot be trained: choose the model's folder in Hugging Face format."
    if model.quantised and model.quantised_by not in DEQUANTISED:
        return f"Its files hold {model.quantised} weights, which cannot be trained: choose another model."
    return None


def needs_linear(method: str) -> Obstacle:
    """Of what peft has for torch's linear layers only."""

    def obstacle(model: ModelFacts, machine: MachineFacts) -> str | None:
        if problem := needs_floats(model, machine):
            return problem
        if model.weights.transposed:
            return f"The layers of {model.architecture} are Conv1D; {method} adapts linear layers only."
        return None

    return obstacle


def needs_biases(model: ModelFacts, machine: MachineFacts) -> str | None:
    if problem := needs_floats(model, machine):
        return problem
    if model.weights.known and not model.weights.biases:
        return "The model has no biases, so BitFit would train nothing. IA3 trains about as few parameters."
    return None


def needs_full_cache(model: ModelFacts, machine: MachineFacts) -> str | None:
    if problem := needs_floats(model, machine):
        return problem
    if any(group.window or not group.cached for group in model.attention.groups):
        return "Prefix tuning needs layers that all attend to every earlier token; some of this model's do not."
    return None


def together(*conflicts: Conflict) -> Conflict:
    """The first that stands against it."""

    def conflict(model: ModelFacts, use: Use) -> str | None:
        return next((found for one in conflicts if (found := one(model, use))), None)

    return conflict


def as_stored(_model: ModelFacts, use: Use) -> str | None:
    if use.precision == AS_STORED:
        return "Quantised files cannot be trained as they are stored: choose the precision float32 or bfloat16."
    return None


def layers(model: ModelFacts, use: Use) -> str | None:
    """Against layers that the model does not have, and heads that are the embeddings too."""
    names, weights = names_of(use.parameters), model.weights
    if HEAD in names and weights.tied:
        return "The output head is also the embedding matrix: an adapter on it cannot be merged. Leave lm_head out."
    if not weights.known:
        return None
    known = {matrix.name for matrix in weights.layers} | {HEAD}
    for name in names:
        if not any(matches(layer, (name,)) for layer in known):
            there = ", ".join(sorted({layer.rpartition(".")[2] for layer in known})[:_SHOWN])
            return f"No linear layer of this model is called {name}. There are: {there}."
    if not adapted(model, use.parameters):
        return "The model has no linear layers in its attention: set target_modules to all-linear."
    return None


def experts(model: ModelFacts, use: Use) -> str | None:
    if not use.parameters.get("experts"):
        return None
    if model.weights.known and not any(matrix.experts for matrix in model.weights.matrices):
        return "The model has no experts to adapt: leave experts out."
    if use.parameters.get("dropout"):
        return "Adapters on experts cannot have dropout: set dropout to 0."
    if use.precision in FOUR_BIT:
        return "The experts are not stored in 4 bits by this library, and adapters on them are untested there."
    return None


def something_to_scale(model: ModelFacts, _use: Use) -> str | None:
    names = [matrix.name for matrix in model.weights.layers]
    if model.weights.known and not any(is_key_or_value(name) or is_second_of_mlp(name) for name in names):
        return "None of its layers is known to make keys, values or the feed-forward's output: IA3 would scale nothing."
    return None


def no_checkpointing(_model: ModelFacts, use: Use) -> str | None:
    if getattr(use.workload, "checkpointing", False):
        return "Prefix tuning needs the cache, which checkpointing turns off: set checkpointing to false."
    return None


def rank_fits(model: ModelFacts, use: Use) -> str | None:
    """Of methods whose rank is at most the width of the matrix."""
    found = adapted(model, use.parameters)
    least = min((min(matrix.inputs, matrix.outputs) for matrix in found), default=0)
    if least and whole(use.parameters, "rank") > least:
        return f"Its narrowest layer has {least} inputs or outputs: choose a rank of at most {least}."
    return None


def not_in_four_bits(why: str) -> Conflict:
    def conflict(_model: ModelFacts, use: Use) -> str | None:
        return why if use.precision in FOUR_BIT else None

    return conflict


def only_in_four_bits(_model: ModelFacts, use: Use) -> str | None:
    if use.precision in FOUR_BIT:
        return None
    return "QLoRA trains on a 4-bit base: choose the precision nf4 or fp4, or name none."


def virtual_tokens(method: str) -> Conflict:
    """Against sequences that hold several documents, and those that are too long with the virtual tokens."""

    def conflict(model: ModelFacts, use: Use) -> str | None:
        work, count = use.workload, whole(use.parameters, "virtual_tokens")
        if getattr(work, "packing", False):
            return f"{method} puts tokens before each document; packed sequences hold several: set packing to false."
        sequence = getattr(work, "sequence_tokens", 0)
        if model.context_tokens and sequence + count > model.context_tokens:
            most = model.context_tokens
            return f"{sequence:,} tokens and {count} virtual ones are more than its context of {most:,} tokens."
        return None

    return conflict


def no_checkpoints(_model: ModelFacts, use: Use) -> str | None:
    """Against methods whose state is more than weights and optimiser."""
    if getattr(use.workload, "checkpoint_every", 0):
        return (
            "AdaLoRA keeps the importance of each direction, which checkpoints do not hold: set checkpoint_every to 0."
        )
    return None


def enough_blocks(model: ModelFacts, use: Use) -> str | None:
    there, wanted = len(model.weights.blocks), whole(use.parameters, "blocks")
    if there and wanted > there:
        return f"The model has {there} blocks: choose at most {there}."
    return None
