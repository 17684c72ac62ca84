"""The positions axis: how a decoder knows the order of its tokens."""

from __future__ import annotations

from functools import partial

from engines.protocol.settings import Setting
from engines.techniques.architecture import conditions
from engines.techniques.architecture.shared import architecture
from engines.techniques.model import Axis

AXIS = Axis(id="positions", title="Positions", sentence="How the model knows the order of its tokens.", default="")

ROPE, SINUSOIDAL, LEARNED, ALIBI, T5, NONE = (
    f"positions.{name}" for name in ("rope", "sinusoidal", "learned", "alibi", "t5", "none")
)

_position = partial(architecture, conflict=conditions.own_positions)
_added = partial(_position, group="Added to embeddings")
_bias = partial(_position, group="Bias on attention")

BASE = Setting(
    name="base",
    title="Base",
    type="float",
    default=10_000.0,
    minimum=2.0,
    maximum=1e9,
    help="The slowest pair of a head turns once in about 2π times so many tokens.",
)
TABLE = Setting(
    name="context",
    title="Positions",
    type="int",
    default=2_048,
    minimum=1,
    maximum=131_072,
    unit="tokens",
    help="Rows of the table; longer sequences cannot be read.",
)
BUCKETS = Setting(
    name="buckets",
    title="Buckets",
    type="int",
    default=32,
    minimum=4,
    maximum=1024,
    help="Distances are sorted into so many; half of them are exact, the others grow logarithmically.",
)
FURTHEST = Setting(
    name="max_distance",
    title="Furthest distance",
    short="Furthest",
    type="int",
    default=128,
    minimum=8,
    maximum=131_072,
    unit="tokens",
    help="From here on, all distances share a bucket.",
)

TECHNIQUES = (
    _position(
        id=ROPE,
        title="RoPE",
        sentence="Turns queries and keys by their position.",
        source="Su et al. 2021, https://arxiv.org/abs/2104.09864",
        group="Rotary",
        parameters=(BASE,),
        conflict=partial(conditions.part_of_a_transformer, "positions"),
    ),
    _added(
        id=SINUSOIDAL,
        title="Sinusoidal",
        sentence="Adds sines and cosines of the position to embeddings scaled by √width, as in the paper.",
        source="Vaswani et al. 2017, https://arxiv.org/abs/1706.03762",
        conflict=conditions.even_width,
    ),
    _added(
        id=LEARNED,
        title="Learned",
        sentence="Adds a trained vector for each position to the embeddings.",
        source="Radford et al. 2019 (GPT-2), https://github.com/openai/gpt-2",
        parameters=(TABLE,),
    ),
    _bias(
        id=ALIBI,
        title="ALiBi",
        sentence="Lowers attention in proportion to distance, by a fixed slope for each head.",
        source="Press et al. 2021, https://arxiv.org/abs/2108.12409",
    ),
    _bias(
        id=T5,
        title="T5 bias",
        sentence="Adds a trained number to attention for each head and bucket of distance, shared by all blocks.",
        source="Raffel et al. 2019, https://arxiv.org/abs/1910.10683",
        parameters=(BUCKETS, FURTHEST),
        conflict=conditions.buckets_reach,
    ),
    _position(
        id=NONE,
        title="None",
        sentence="No positions: the causal mask alone tells order.",
        source="Kazemnejad et al. 2023, https://arxiv.org/abs/2305.19466",
        group="None",
    ),
)
