"""What one block of a model keeps of each token for the way back, by fine-tuning method: autograd's saved tensors of a
llama block of transformers with peft's adapters, counted from their sources and held to real models
(benchmarks/finetune_memory.py). Other architectures are taken as llama blocks of their size. Pure; any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from engines.techniques import ModelFacts


@dataclass(frozen=True)
class Shape:
    """Widths of a block: of its residual stream, its queries, its keys (and values), and inside its feed-forward."""

    hidden: int
    queries: int
    keys: int
    inner: int
    heads: int

    @property
    def inputs(self) -> int:
        """Inputs of its seven matrices together, each counted for itself."""
        return 5 * self.hidden + self.queries + self.inner

    @property
    def outputs(self) -> int:
        return 2 * self.hidden + self.queries + 2 * self.keys + 2 * self.inner

    @property
    def matrices(self) -> int:
        """Weights of its seven matrices."""
        return 2 * self.hidden * (self.queries + self.keys) + 3 * self.hidden * self.inner


def shape_of(facts: ModelFacts) -> Shape:
    """The block that has as many weights in its linear layers as the model's blocks on average."""
    queries, keys = facts.heads * facts.head_dim, facts.kv_heads * facts.head_dim
    a_layer = facts.linear_parameters // max(1, facts.layers)
    inner = max(0, a_layer - 2 * facts.hidden * (queries + keys)) // max(1, 3 * facts.hidden)
    return Shape(facts.hidden, queries, keys, inner, facts.heads)


@dataclass(frozen=True)
class Numbers:
    """Bytes of a number: of the weights, in matrix products, and of the adapters."""

    weights: int
    products: int
    autocast: bool

    @property
    def adapters(self) -> int:
        """Of an adapter's own products: they are held in float32, whatever the model is."""
        return self.products if self.autocast else 4

    @property
    def shares_inputs(self) -> bool:
        """Whether an adapter reads the very tensor its layer reads, and not a copy in another type."""
        return self.weights == self.products == 4


Where = Literal["all-linear", "attention", "none"]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a method keeps of a block beside what any gradient passing through it needs."""

    inputs: Where = "none"
    """Which matrices have something trained beside them that needs their inputs."""
    own_inputs: bool = False
    """Each of those keeps a copy of its own, whatever its type."""
    weights: bool = False
    """The block's own matrices and norms are trained."""
    ranks: int = 0
    """Width of what stands between an adapter's two matrices."""
    outputs: int = 0
    """How many copies of every adapted matrix's output are kept."""
    scaled: bool = False
    """Keys, values and the feed-forward's product are scaled by trained vectors."""
    matrices: int = 0
    """How many matrices as large as each of the block's are built and kept, whatever the tokens."""
    per_input: int = 0
    """Numbers that are built and kept for each input of a matrix, whatever the tokens."""
    identities: bool = False
    """It multiplies its matrices through an identity as wide as each input, which nothing keeps."""
    masked: bool = False
    """It brings an attention mask of its own."""


def built_bytes(shape: Shape, numbers: Numbers, method: Kept) -> int:
    """Of one block, whatever the tokens."""
    return numbers.adapters * (method.matrices * shape.matrices + method.per_input * shape.inputs)


def thrown_away_bytes(shape: Shape, method: Kept) -> int:
    """Of one block, whatever the tokens: large enough to leave holes in the heap."""
    return 4 * (5 * shape.hidden**2 + shape.queries**2 + shape.inner**2) if method.identities else 0


def kept_bytes(shape: Shape, numbers: Numbers, method: Kept, *, masked: bool = False) -> int:
    """Of one token in one block. Through the block: the residual stream of its two norms in float32 with their scales;
    queries, keys, values and attention's result with a scale for each head; three vectors of the feed-forward. Under an
    attention mask (rows of several documents) keys and values are repeated for every head."""
    keys = shape.queries if masked or method.masked else shape.keys
    through = 2 * (shape.hidden + 1) * 4 + shape.heads * 4
    through += numbers.products * (2 * shape.queries + 2 * keys + 3 * shape.inner)
    return through + _trained_weights(shape, numbers, method) + _adapters(shape, numbers, method)


def _trained_weights(shape: Shape, numbers: Numbers, method: Kept) -> int:
    if not method.weights:
        return 0
    norms = 2 * shape.hidden * numbers.weights
    if numbers.autocast:  # each of five matrices reads a copy of its own
        return norms + numbers.products * (5 * shape.hidden + shape.inner)
    return norms + numbers.products * (2 * shape.hidden + shape.inner)


def _adapters(shape: Shape, numbers: Numbers, method: Kept) -> int:
    whole = method.inputs != "attention"
    if method.inputs == "none":
        inputs = 0
    elif numbers.shares_inputs and not method.own_inputs:  # q, k and v read one tensor; o's is kept anyway
        inputs = shape.hidden + (shape.hidden + shape.inner if whole else 0)
    else:
        inputs = shape.inputs if whole else 3 * shape.hidden + shape.queries
    outputs = method.outputs * (shape.outputs if whole else shape.hidden + shape.queries + 2 * shape.keys)
    scaled = shape.inner + 2 * shape.keys if method.scaled else 0
    return numbers.adapters * (inputs + method.ranks * (7 if whole else 4) + outputs + scaled)
