"""What stands against an architecture: by the model alone (obstacles), or by how it is used (conflicts). Pure."""

from __future__ import annotations

from engines.protocol.orders import Inference
from engines.techniques.architecture.shapes import BACKBONES, whole
from engines.techniques.facts import MachineFacts, ModelFacts
from engines.techniques.model import Use

WHOLE = {
    "attention.mamba": "Mamba", "attention.mamba2": "Mamba-2", "attention.rwkv": "RWKV", "attention.pythia": "Pythia",
}  # fmt: skip
"""Techniques that replace the whole model, by title."""


def made_from_a_shape(model: ModelFacts, _machine: MachineFacts) -> str | None:
    if model.kind != "random":
        return "A trained model keeps the architecture it was trained with: choose a shape (shape/tiny)."
    if model.architecture not in BACKBONES:
        return f"Architectures are made from llama-style shapes; this model is {model.architecture}: choose a shape."
    return None


def at_least_two_blocks(model: ModelFacts, machine: MachineFacts) -> str | None:
    """transformers spreads the first weights of RWKV over the blocks: with one it divides by zero."""
    if 0 < model.layers < 2:
        return "RWKV needs two blocks or more."
    return made_from_a_shape(model, machine)


def one_sequence(_model: ModelFacts, use: Use) -> str | None:
    """transformers 5.23 adds the states of all sequences of a batch to each; a test shows it."""
    if isinstance(use.workload, Inference) and use.workload.batch_size > 1:
        return "transformers decodes RWKV wrongly for more than one sequence at a time: set batch_size to 1."
    return None


def heads_divide(model: ModelFacts, use: Use) -> str | None:
    kept = whole(use.parameters, "kv_heads")
    if model.heads and model.heads % kept:
        return f"{model.heads} heads cannot share {kept} key-value heads evenly: kv_heads divides the heads."
    return None


def sparse(_model: ModelFacts, use: Use) -> str | None:
    """The library keeps the cache in a form of its own, which transformers' generation does not carry."""
    if isinstance(use.workload, Inference):
        return "Native sparse attention has no cache in transformers' generation: it is for pretraining."
    return None


def turned_in_pairs(model: ModelFacts, use: Use) -> str | None:
    turned = whole(use.parameters, "rope_dims")
    if turned % 2 or (not turned and model.head_dim % 4):
        return "The rotary part of a head turns pairs of values: rope_dims is even."
    return None


def part_of_a_transformer(part: str, model: ModelFacts, use: Use) -> str | None:
    """Against models that bring their own positions and feed-forward part."""
    whole_model = next((title for id, title in WHOLE.items() if id in use.beside), None)
    if whole_model:
        return f"{whole_model} is taken as a whole and has its own {part}: leave the axis out."
    return None


def own_positions(model: ModelFacts, use: Use) -> str | None:
    if "attention.nsa" in use.beside:
        return "Native sparse attention turns queries and keys itself: leave the positions out."
    return part_of_a_transformer("positions", model, use)


def even_width(model: ModelFacts, use: Use) -> str | None:
    if model.hidden % 2:
        return "Sines and cosines come in pairs: the hidden size is even."
    return own_positions(model, use)


def experts_enough(model: ModelFacts, use: Use) -> str | None:
    experts, chosen = whole(use.parameters, "experts"), whole(use.parameters, "top_k")
    if chosen > experts:
        return f"Each token goes to {chosen} of {experts} experts: top_k is at most the number of experts."
    if "attention.mla" in use.beside:
        return "transformers has latent attention with DeepSeek's mixture only, which has no balancing loss."
    return part_of_a_transformer("feed-forward part", model, use)


def buckets_reach(model: ModelFacts, use: Use) -> str | None:
    """The larger half of the buckets has to begin before it ends."""
    if whole(use.parameters, "max_distance") <= whole(use.parameters, "buckets") // 2:
        return "The furthest distance is more than half the number of buckets, which are exact."
    return own_positions(model, use)
