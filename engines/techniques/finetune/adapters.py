"""Adapters of other forms than LoRA's: scales, shared matrices, Hadamard and Kronecker products, rotations."""

from __future__ import annotations

from functools import partial

from engines.protocol.settings import Setting
from engines.techniques.facts import ModelFacts
from engines.techniques.finetune import conditions, counts
from engines.techniques.finetune.shared import DROPOUT, PEFT, WHERE, adapter, alpha, method, rank, rate
from engines.techniques.model import Use

VERA, IA3, LOHA, LOKR, GLORA = "finetune.vera", "finetune.ia3", "finetune.loha", "finetune.lokr", "finetune.glora"
MISS, OFT, ADALORA = "finetune.miss", "finetune.oft", "finetune.adalora"

_adapter = partial(adapter, group="Other adapters")
_BLOCK = Setting(
    name="block_size",
    title="Block size",
    type="int",
    default=32,
    minimum=2,
    maximum=1024,
    help="Inputs that are rotated together; each layer takes the divisor of its width that is nearest.",
)
_START = Setting(
    name="start_rank",
    title="First rank",
    type="int",
    default=12,
    minimum=2,
    maximum=4096,
    help="Rank of every adapter at the start; the least important directions are cut down to the mean rank.",
)
_SHARES = tuple(
    Setting(name=name, title=title, type="float", default=default, minimum=0.0, maximum=0.9, help=help)
    for name, title, default, help in (
        ("first_share", "Before cutting", 0.1, "Share of the steps before ranks are cut."),
        ("last_share", "After cutting", 0.3, "Share of the steps after ranks are cut."),
    )
)
_INTERVAL = Setting(
    name="interval",
    title="Interval",
    type="int",
    default=1,
    minimum=1,
    maximum=10_000,
    unit="steps",
    help="Steps between two cuts.",
)
_ORTHOGONAL = Setting(
    name="orthogonal",
    title="Orthogonality",
    short="Penalty",
    type="float",
    default=0.5,
    minimum=0.0,
    maximum=100.0,
    help="Weight of the penalty that keeps the directions of an adapter apart; not part of the loss that is shown.",
)
_STARTS_LOWER = "Four-bit layers have no such adapter in peft: choose the precision float32 or bfloat16."


def _ranks(_model: ModelFacts, use: Use) -> str | None:
    start, mean = counts.whole(use.parameters, "start_rank"), counts.whole(use.parameters, "rank")
    shares = sum(float(use.parameters[setting.name] or 0.0) for setting in _SHARES)
    if start <= mean:
        return f"The first rank ({start}) has to be larger than the mean rank ({mean}) that is left."
    return "The shares before and after cutting leave no steps for it: nothing would be cut." if shares >= 1 else None


_floats = partial(
    _adapter,
    conflict=conditions.together(conditions.not_in_four_bits(_STARTS_LOWER), conditions.as_stored, conditions.layers),
)

TECHNIQUES = (
    _adapter(
        id=ADALORA,
        title="AdaLoRA",
        sentence="LoRA that starts wide and cuts ranks where they matter least while it trains.",
        source=f"Zhang et al. 2023, arXiv 2303.10512; {PEFT}",
        parameters=(
            rank(8, "Mean rank of the adapters that is left at the end."),
            _START,
            alpha(16),
            DROPOUT,
            *WHERE,
            *_SHARES,
            _INTERVAL,
            _ORTHOGONAL,
            rate(1e-3),
        ),
        conflict=conditions.together(conditions.as_stored, conditions.layers, _ranks, conditions.no_checkpoints),
        trained=counts.adalora,
    ),
    _adapter(
        id=VERA,
        title="VeRA",
        sentence="Two random matrices shared by all layers stay frozen; each layer trains two vectors.",
        source=f"Kopiczko et al. 2023, arXiv 2310.11454; {PEFT}",
        parameters=(
            rank(256, "Width of the shared matrices; each layer trains one number for each and one for each output."),
            DROPOUT,
            *WHERE,
            rate(4e-3),
        ),
        trained=counts.vera,
    ),
    method(
        id=IA3,
        title="IA3",
        sentence="Trains factors for keys, values and the feed-forward's inner activations.",
        source=f"Liu et al. 2022, arXiv 2205.05638; {PEFT}",
        parameters=(rate(3e-3),),
        group="Other adapters",
        conflict=conditions.together(conditions.as_stored, conditions.something_to_scale),
        trained=counts.ia3,
    ),
    _floats(
        id=LOHA,
        title="LoHa",
        sentence="The change of a layer is the elementwise product of two low-rank ones.",
        source=f"Hyeon-Woo et al. 2021 (FedPara), arXiv 2108.06098; {PEFT}",
        parameters=(rank(8), alpha(8), *WHERE, rate(5e-4)),
        obstacle=conditions.needs_linear("LoHa"),
        trained=counts.loha,
    ),
    _floats(
        id=LOKR,
        title="LoKr",
        sentence="The change of a layer is the Kronecker product of a small matrix and a larger one.",
        source=f"Yeh et al. 2023 (LyCORIS), arXiv 2309.14859; {PEFT}",
        parameters=(rank(8), alpha(8), *WHERE, rate(1e-3)),
        obstacle=conditions.needs_linear("LoKr"),
        trained=counts.lokr,
    ),
    _floats(
        id=GLORA,
        title="GLoRA",
        sentence="Low-rank changes that are added to a layer's weights and that scale them, and its bias.",
        source=f"Chavan et al. 2023, arXiv 2306.07967; {PEFT}",
        parameters=(rank(4), *WHERE, rate(2e-4)),
        obstacle=conditions.needs_linear("GLoRA"),
        trained=counts.glora,
    ),
    _adapter(
        id=MISS,
        title="MiSS",
        sentence="One narrow matrix for each layer, repeated over shards of its inputs.",
        source=f"Kang & Yin 2024, arXiv 2409.15371; {PEFT}",
        parameters=(rank(32), DROPOUT, *WHERE, rate(2e-4)),
        obstacle=conditions.needs_linear("MiSS"),
        conflict=conditions.together(conditions.as_stored, conditions.layers, conditions.rank_fits),
        trained=counts.miss,
    ),
    _adapter(
        id=OFT,
        title="OFT",
        sentence="Rotates the inputs of each layer in blocks, which keeps the angles between its weights.",
        source=f"Qiu et al. 2023, arXiv 2306.07280; {PEFT}",
        parameters=(_BLOCK, *WHERE, rate(5e-4)),
        obstacle=conditions.needs_linear("OFT"),
        trained=counts.oft,
    ),
)
