"""The feed-forward axis: one network for every token, or several of which each token takes a few."""

from __future__ import annotations

from functools import partial

from engines.protocol.settings import Setting
from engines.techniques.architecture import conditions
from engines.techniques.architecture.shared import architecture
from engines.techniques.model import Axis

AXIS = Axis(id="feedforward", title="Feed-forward", sentence="What computes on each token by itself.", default="")

DENSE, MOE = "feedforward.dense", "feedforward.moe"

EXPERTS = Setting(name="experts", title="Experts", type="int", default=8, minimum=2, maximum=512, help="In each block.")
TOP_K = Setting(
    name="top_k",
    title="Experts a token",
    short="Top-k",
    type="int",
    default=2,
    minimum=1,
    maximum=64,
    help="Experts that each token goes to.",
)
SHARED = Setting(
    name="shared",
    title="Shared experts",
    short="Shared",
    type="int",
    default=0,
    minimum=0,
    maximum=16,
    help="Experts that every token goes to besides, as one network behind a gate.",
)
WIDTH = Setting(
    name="expert_width",
    title="Expert width",
    short="Width",
    type="int",
    default=0,
    minimum=0,
    maximum=131_072,
    suffix="0: that of the dense part",
    help="Width of an expert; 0: that of the shape's feed-forward part.",
)
BALANCE = Setting(
    name="balance",
    title="Balance",
    type="float",
    default=0.01,
    minimum=0.0,
    maximum=1.0,
    help="Weight of the loss that spreads tokens over experts. Reported losses are without it.",
)

TECHNIQUES = (
    architecture(
        id=DENSE,
        title="Dense",
        sentence="One gated network (SwiGLU) for every token.",
        source="Shazeer 2020, https://arxiv.org/abs/2002.05202",
        conflict=partial(conditions.part_of_a_transformer, "feed-forward part"),
    ),
    architecture(
        id=MOE,
        title="Mixture of experts",
        sentence="A router sends each token to a few of several networks: more parameters for the same work a token.",
        source="Shazeer et al. 2017, https://arxiv.org/abs/1701.06538; Mixtral, https://arxiv.org/abs/2401.04088",
        parameters=(EXPERTS, TOP_K, SHARED, WIDTH, BALANCE),
        conflict=conditions.experts_enough,
    ),
)
