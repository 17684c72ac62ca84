"""The weight matrices, biases and blocks of a model, by name and shape: what each fine-tuning method would train. Pure.

Only what lies in the numbered blocks counts: embeddings and the output head are left alone. Names and shapes come from
a file's header (`engines.models.lookup.facts`) or from a config (`engines.techniques.weights_config`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

Shapes = Iterable[tuple[str, Sequence[int]]]
"""(name, shape) of tensors; a linear layer's is (outputs, inputs)."""

_BLOCK = re.compile(r"(?P<before>.*?)(?:^|\.)(?P<number>\d+)\.(?P<inside>.+)")
_EXPERT = re.compile(r"(?P<before>.*experts)\.\d+\.(?P<leaf>\w+)\.weight")
_BUFFERS = (".masked_bias", ".inv_freq")
"""Ends of names in old files that are no parameters."""
_DOWN = frozenset({"down_proj", "w2", "dense_4h_to_h", "fc2", "c_proj", "fc_out", "wo"})
_STEM_UP, _STEM_DOWN = "gate_up_proj", "down_proj"
ROUTERS = frozenset({"gate", "router", "shared_expert_gate"})
"""Last parts of the names of layers that choose experts: no method adapts them."""


class Matrix(msgspec.Struct, frozen=True):
    """Alike linear layers, one or more in each of some blocks."""

    name: str
    """Inside the block: "self_attn.q_proj"."""
    inputs: int
    outputs: int
    count: int
    experts: int = 0
    """How many are stacked in one parameter; 0: it is a layer of its own."""
    bias: bool = False

    @property
    def in_attention(self) -> bool:
        return in_attention(self.name)


class Weights(msgspec.Struct, frozen=True):
    """What there is to train; empty where it is not known."""

    matrices: tuple[Matrix, ...] = ()
    biases: int = 0
    """Parameters in biases, those of norms included."""
    blocks: tuple[int, ...] = ()
    """Parameters of each block, in order."""
    tied: bool = False
    """Whether the output head is the embeddings' matrix."""
    transposed: bool = False
    """Whether the layers are Conv1D: stored the other way round, and no torch.nn.Linear."""

    @property
    def known(self) -> bool:
        return bool(self.matrices)

    @property
    def layers(self) -> tuple[Matrix, ...]:
        """Without stacked experts."""
        return tuple(matrix for matrix in self.matrices if not matrix.experts)


def in_attention(name: str) -> bool:
    """Whether a layer belongs to attention, by its name."""
    return "attn" in name or "attention" in name


def is_key_or_value(name: str) -> bool:
    """Whether a layer makes keys or values, alone or together with queries."""
    leaf = name.rpartition(".")[2]
    return in_attention(name) and leaf in (
        "k_proj", "v_proj", "key", "value", "query_key_value", "c_attn", "qkv_proj", "Wqkv",
    )  # fmt: skip


def is_second_of_mlp(name: str) -> bool:
    """Whether a layer brings the feed-forward's width back to the hidden one."""
    return not in_attention(name) and name.rpartition(".")[2] in _DOWN


def split_block(name: str) -> tuple[str, int, str] | None:
    """("model.layers", 3, "mlp.down_proj.weight") of "model.layers.3.mlp.down_proj.weight"; None outside blocks."""
    found = _BLOCK.fullmatch(name)
    return (found["before"], int(found["number"]), found["inside"]) if found else None


def is_router(name: str) -> bool:
    return name.rpartition(".")[2] in ROUTERS


def weights_of(shapes: Shapes, *, transposed: bool = False, tied: bool = False) -> Weights:
    """By the names and shapes of all parameters. Of a model with several kinds of blocks (vision and text) nothing is
    said: which of them transformers loads is not known."""
    everything = list(shapes)
    matrices: Counter[tuple[str, int, int]] = Counter()
    stacked: dict[tuple[str, str], list[int]] = {}
    blocks: dict[int, int] = {}
    places, biased, biases = set[str](), set[str](), 0
    for name, shape in everything:
        if len(shape) > 3 or name.endswith(_BUFFERS):
            continue
        is_bias = len(shape) == 1 and name.endswith(".bias")
        biases += shape[0] if is_bias else 0
        part = split_block(name)
        if part is None:
            continue
        place, number, inside = part
        inside = inside.replace("block_sparse_moe.", "mlp.")  # as transformers renames it
        places.add(place)
        blocks[number] = blocks.get(number, 0) + math.prod(shape)
        stem = inside.removesuffix(".weight")
        if expert := _EXPERT.fullmatch(inside):
            down = expert["leaf"] in _DOWN
            of = stacked.setdefault((f"{place}.{number}", f"{expert['before']}.{_STEM_DOWN if down else _STEM_UP}"), [])
            of.extend(shape)
        elif len(shape) == 3 and "experts." in inside:
            matrices[(f"{stem}:{shape[0]}", shape[2], shape[1])] += 1
        elif len(shape) == 2 and stem != inside and not is_router(stem):
            outputs, inputs = (shape[1], shape[0]) if transposed else (shape[0], shape[1])
            matrices[(stem, inputs, outputs)] += 1
        elif is_bias:
            biased.add(inside.removesuffix(".bias"))
    if len(places) != 1:
        return Weights(tied=tied, transposed=transposed)
    for (_, name), flat in stacked.items():
        pairs = list(zip(flat[::2], flat[1::2], strict=True))
        outputs, inputs = pairs[0]
        fused = name.endswith(_STEM_UP)
        experts = len(pairs) // (2 if fused else 1)
        matrices[(f"{name}:{experts}", inputs, outputs * (2 if fused else 1))] += 1
    return Weights(
        matrices=tuple(
            Matrix(
                name=name.partition(":")[0],
                inputs=inputs,
                outputs=outputs,
                count=count,
                experts=int(name.partition(":")[2] or 0),
                bias=name in biased,
            )
            for (name, inputs, outputs), count in matrices.items()
        ),
        biases=biases,
        blocks=tuple(blocks[number] for number in sorted(blocks)),
        tied=tied,
        transposed=transposed,
    )
