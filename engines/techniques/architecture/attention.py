"""The attention axis: what mixes the tokens of a block. An experiment that does not name it leaves the shape's own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from engines.protocol.settings import Setting
from engines.techniques.architecture import conditions
from engines.techniques.architecture.shared import architecture
from engines.techniques.model import Axis

AXIS = Axis(id="attention", title="Attention", sentence="What mixes the tokens of a block.", default="")

MHA, GQA, MQA, SLIDING, MLA = (f"attention.{name}" for name in ("mha", "gqa", "mqa", "sliding", "mla"))
NSA, NSA_PACKAGE = "attention.nsa", "native-sparse-attention-pytorch"
MAMBA, MAMBA2, RWKV, PYTHIA = (f"attention.{name}" for name in ("mamba", "mamba2", "rwkv", "pythia"))

_full = partial(architecture, group="Attention")
_free = partial(architecture, group="Attention-free")

KV_HEADS = Setting(
    name="kv_heads",
    title="Key-value heads",
    short="KV heads",
    type="int",
    default=2,
    minimum=1,
    maximum=1024,
    help="Heads of keys and values that the query heads share; it divides their number.",
)
WINDOW = Setting(
    name="window",
    title="Window",
    type="int",
    default=128,
    minimum=1,
    maximum=131_072,
    unit="tokens",
    help="Tokens that a token attends to at the most, itself among them.",
)
BLOCK = Setting(
    name="block",
    title="Block",
    type="int",
    default=64,
    minimum=2,
    maximum=1_024,
    unit="tokens",
    help="Tokens that are compressed into one key and value, and selected together.",
)
SELECTED = Setting(
    name="selected",
    title="Selected blocks",
    short="Selected",
    type="int",
    default=4,
    minimum=1,
    maximum=256,
    unit="blocks",
    help="Blocks that a token attends to in full, besides its own.",
)
LATENT = Setting(
    name="latent",
    title="Latent width",
    short="Latent",
    type="int",
    default=0,
    minimum=0,
    maximum=16_384,
    suffix="0: an eighth of the hidden size",
    help="Width of the vector that keys and values are kept in; 0: an eighth of the hidden size.",
)
ROPE_DIMS = Setting(
    name="rope_dims",
    title="Rotary part",
    short="Rotary",
    type="int",
    default=0,
    minimum=0,
    maximum=1024,
    suffix="0: half a head",
    help="Values of each head that rotary positions turn, beside those that carry none; 0: half a head.",
)
STATE = Setting(
    name="state",
    title="State",
    type="int",
    default=16,
    minimum=1,
    maximum=1024,
    help="Numbers that each channel keeps of the past.",
)

TECHNIQUES = (
    _full(
        id=MHA,
        title="Multi-head attention",
        sentence="Every query head has keys and values of its own.",
        source="Vaswani et al. 2017, https://arxiv.org/abs/1706.03762",
    ),
    _full(
        id=GQA,
        title="Grouped-query attention",
        sentence="Groups of query heads share keys and values: a smaller KV cache.",
        source="Ainslie et al. 2023, https://arxiv.org/abs/2305.13245",
        parameters=(KV_HEADS,),
        conflict=conditions.heads_divide,
    ),
    _full(
        id=MQA,
        title="Multi-query attention",
        sentence="All query heads share one head of keys and values.",
        source="Shazeer 2019, https://arxiv.org/abs/1911.02150",
    ),
    _full(
        id=SLIDING,
        title="Sliding window",
        sentence="Each token attends to the last ones only: the KV cache stops growing.",
        source="Beltagy et al. 2020, https://arxiv.org/abs/2004.05150; Mistral, https://arxiv.org/abs/2310.06825",
        parameters=(WINDOW,),
    ),
    _full(
        id=MLA,
        title="Latent attention (MLA)",
        sentence="Keys and values of all heads are made from one small vector a token, which alone is kept.",
        source="DeepSeek-V2, https://arxiv.org/abs/2405.04434",
        parameters=(LATENT, ROPE_DIMS),
        conflict=conditions.turned_in_pairs,
    ),
    _full(
        id=NSA,
        title="Native sparse attention (NSA)",
        sentence="Learned gates mix a window, compressed blocks, and the blocks that the compressed ones point to.",
        source="Yuan et al. 2025, https://arxiv.org/abs/2502.11089; native-sparse-attention-pytorch 0.2.3",
        parameters=(WINDOW, BLOCK, SELECTED),
        packages=("torch", "transformers", NSA_PACKAGE),
        install=f"pip install {NSA_PACKAGE}==0.2.3",
        conflict=conditions.sparse,
    ),
    _free(
        id=MAMBA,
        title="Mamba",
        sentence="A selective state space in place of attention and feed-forward: a state of fixed size.",
        source="Gu & Dao 2023, https://arxiv.org/abs/2312.00752",
        parameters=(STATE,),
    ),
    _free(
        id=MAMBA2,
        title="Mamba-2",
        sentence="A state space with one decay a head, computed in blocks.",
        source="Dao & Gu 2024, https://arxiv.org/abs/2405.21060",
        parameters=(replace(STATE, default=64),),
    ),
    _free(
        id=RWKV,
        title="RWKV-4",
        sentence="A weighted average of the past that decays by channel; the version that transformers has.",
        source="Peng et al. 2023, https://arxiv.org/abs/2305.13048",
        obstacle=conditions.at_least_two_blocks,
        conflict=conditions.one_sequence,
    ),
    architecture(
        id=PYTHIA,
        group="Whole models",
        title="Pythia",
        sentence="GPT-NeoX as in Pythia: attention beside the feed-forward part, biases, LayerNorm, a quarter rotary.",
        source="Biderman et al. 2023, https://arxiv.org/abs/2304.01373",
    ),
)
