"""Parameters of a made model by part, counted exactly from its config; and configs matched in their number. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from engines.techniques.architecture.edited import ATTENTION, POSITIONS, Config, slot, with_slot
from engines.techniques.architecture.shapes import number
from engines.techniques.layers_config import whole_number
from engines.techniques.weights_config import shapes_of_config

MATCHED = "matched"
"""Of the key "workbench": how the number of parameters was matched (`matched`)."""
NEAR = 0.02
"""So far off at the most is matched."""
_WIDTH_STEP = 8


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of parameters, each once: tied weights are those of the embedding."""

    embedding: int
    """Of words, and a table of learned positions."""
    mixer: int
    """Attention, with a trained bias of its positions, or what stands in its place."""
    feed_forward: int
    """With routers and all experts; 0 where the mixer does its work."""
    norms: int
    head: int
    """0 where it is the embedding."""
    idle: int = 0
    """Of those, in experts that one token does not use."""

    @property
    def total(self) -> int:
        return self.embedding + self.mixer + self.feed_forward + self.norms + self.head

    @property
    def active(self) -> int:
        """Parameters that one token uses."""
        return self.total - self.idle


def counts(config: Mapping[str, object]) -> Parts:
    """Raises ValueError where there is no rule for the architecture."""
    parts = dict.fromkeys(("embedding", "mixer", "feed_forward", "norms", "head"), 0)
    experts, in_experts = whole_number(config, "num_local_experts", "num_experts"), 0
    for name, shape in _shapes(config):
        size = _product(shape)
        parts[_part(name)] += size
        in_experts += size if ".experts." in name else 0
    if not parts["embedding"]:
        raise ValueError(f"The parameters of the architecture {config.get('model_type')} cannot be counted here.")
    used = whole_number(config, "num_experts_per_tok")
    return Parts(**parts, idle=in_experts * (experts - used) // experts if experts else 0)


def _shapes(config: Mapping[str, object]) -> Iterator[tuple[str, tuple[int, ...]]]:
    sparse = slot(config, ATTENTION)
    for name, shape in shapes_of_config(config):
        if not (sparse and ".self_attn." in name):
            yield name, shape
    for block in range(number(config, "num_hidden_layers") if sparse else 0):
        yield from _sparse(f"layers.{block}.self_attn", config, whole_number(sparse, "block"))
    ours = slot(config, POSITIONS)
    if ours.get("kind") == "learned":
        yield "position_embedding.weight", (number(config, "max_position_embeddings"), number(config, "hidden_size"))
    elif ours.get("kind") == "t5":
        yield "position_bias.weight", (whole_number(ours, "buckets"), number(config, "num_attention_heads"))


def _sparse(name: str, config: Mapping[str, object], block: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Of one layer of native sparse attention, as its library makes it."""
    hidden, heads, head = (number(config, key) for key in ("hidden_size", "num_attention_heads", "head_dim"))
    kept = number(config, "num_key_value_heads")
    yield f"{name}.to_qkv", ((heads + 2 * kept) * head, hidden)
    yield f"{name}.combine_heads", (hidden, heads * head)
    yield f"{name}.to_strategy_combine", (3 * heads, hidden + 1)
    yield f"{name}.compress_mem_kv", (2, kept, 1, head)
    yield f"{name}.intrablock_positions", (2, kept, block, head)
    yield f"{name}.compress", (2, head * (block * head + 1) + head * (head + 1))


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total


def _part(name: str) -> str:
    if "embed" in name:
        return "embedding"
    if name.startswith("lm_head"):
        return "head"
    if "norm" in name:
        return "norms"
    mixes = ("attn" in name, ".attention." in name, ".mixer." in name, "position_bias" in name)
    return "mixer" if any(mixes) else "feed_forward"


def matched(config: Mapping[str, object], total: int) -> Config:
    """The config with as many parameters as `total`, within 2 % where that can be: its feed-forward width is changed in
    steps of 8; where it has none, its blocks and then its hidden size are. What was done stands under "matched" of the
    key "workbench": `rule` in words, and `off`, the difference as a share of `total`."""
    found = _by_width(config, total) if _width_keys(config) else _by_blocks(config, total)
    reached = counts(found).total
    off = reached / total - 1
    changes = [
        f"{words} {number(config, key):,} → {number(found, key):,}"
        for key, words in _WORDS.items()
        if key in config and config[key] != found[key]
    ]
    rule = f"{', '.join(changes) or 'nothing changed'}: {reached:,} parameters, {off:+.2%} of {total:,}"
    return with_slot(found, MATCHED, rule=rule, off=off)


_WORDS = {
    "intermediate_size": "feed-forward width",
    "moe_intermediate_size": "expert width",
    "num_hidden_layers": "blocks",
    "hidden_size": "hidden size",
}


def _width_keys(config: Mapping[str, object]) -> tuple[str, ...]:
    if config["model_type"] == "qwen2_moe":
        return ("moe_intermediate_size", "shared_expert_intermediate_size")
    return ("intermediate_size",) if "intermediate_size" in config else ()


def _by_width(config: Mapping[str, object], total: int) -> Config:
    """The count is a straight line over the width."""
    keys = _width_keys(config)
    first = number(config, keys[0])
    times = {key: number(config, key) // first for key in keys}

    def wide(width: int) -> Config:
        return {**config, **{key: width * times[key] for key in keys}}

    low, high = counts(wide(_WIDTH_STEP)).total, counts(wide(2 * _WIDTH_STEP)).total
    steps = max(1, round((total - low) / (high - low)) + 1)
    return wide(steps * _WIDTH_STEP)


def _by_blocks(config: Mapping[str, object], total: int) -> Config:
    """The number of blocks that comes nearest, and where that is not near enough the hidden size too."""
    kept = number(config, "num_hidden_layers")
    a_block = counts({**config, "num_hidden_layers": kept + 1}).total - counts(config).total
    layers = max(1, kept + round((total - counts(config).total) / a_block))
    found: Config = {**config, "num_hidden_layers": layers}
    if abs(counts(found).total / total - 1) <= NEAR:
        return found
    hidden, heads = number(config, "hidden_size"), whole_number(config, "num_heads")
    step = max(2, heads // 2)

    def wide(width: int) -> Config:
        more = {"head_dim": 2 * width // heads} if heads else {}
        return {**found, "hidden_size": width, **more}

    widths = range(max(step, hidden // 2 // step * step), 2 * hidden, step)
    return min((wide(width) for width in widths), key=lambda one: abs(counts(one).total - total))
