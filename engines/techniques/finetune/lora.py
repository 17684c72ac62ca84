"""LoRA and the methods that keep its form: a product of two narrow matrices beside a layer."""

from __future__ import annotations

from functools import partial

from engines.protocol.settings import Setting
from engines.techniques.finetune import conditions, counts
from engines.techniques.finetune.shared import DROPOUT, EXPERTS, PACKAGES, PEFT, WHERE, adapter, alpha, rank, rate

LORA, LORA_PLUS, RSLORA, DORA = "finetune.lora", "finetune.lora-plus", "finetune.rslora", "finetune.dora"
PISSA, OLORA, QLORA = "finetune.pissa", "finetune.olora", "finetune.qlora"

_BASIC = (rank(8), alpha(16), DROPOUT, *WHERE)
_RATIO = Setting(
    name="ratio",
    title="Rate ratio",
    type="float",
    default=16.0,
    minimum=1.0,
    maximum=1000.0,
    help="How many times faster the second matrix of each adapter learns than the first.",
)
_ITERATIONS = Setting(
    name="iterations",
    title="SVD iterations",
    short="Iterations",
    type="int",
    default=0,
    minimum=0,
    maximum=128,
    help="Of a fast randomised decomposition; 0 takes the exact one, which is slow for wide layers.",
)
_lora = partial(adapter, group="LoRA", trained=counts.lora)

TECHNIQUES = (
    _lora(
        id=LORA,
        title="LoRA",
        sentence="Trains two small matrices beside each linear layer; the model itself stays as it is.",
        source=f"Hu et al. 2021, arXiv 2106.09685; {PEFT}",
        parameters=(*_BASIC, EXPERTS, rate(2e-4)),
    ),
    _lora(
        id=LORA_PLUS,
        title="LoRA+",
        sentence="LoRA whose second matrix learns faster than its first.",
        source=f"Hayou et al. 2024, arXiv 2402.12354; {PEFT}",
        parameters=(*_BASIC, EXPERTS, _RATIO, rate(5e-5)),
    ),
    _lora(
        id=RSLORA,
        title="RSLoRA",
        sentence="LoRA scaled by alpha / √rank, so that high ranks keep learning.",
        source=f"Kalajdzievski 2023, arXiv 2312.03732; {PEFT}",
        parameters=(
            rank(8),
            alpha(16, "The adapters' output is multiplied by alpha / √rank."),
            DROPOUT,
            *WHERE,
            EXPERTS,
            rate(1e-4),
        ),
    ),
    _lora(
        id=DORA,
        title="DoRA",
        sentence="LoRA for the direction of each weight vector; its length is trained separately.",
        source=f"Liu et al. 2024, arXiv 2402.09353; {PEFT}",
        parameters=(*_BASIC, rate(2e-4)),
        trained=counts.dora,
    ),
    _lora(
        id=PISSA,
        title="PiSSA",
        sentence="LoRA that starts from the largest singular vectors of each layer and freezes the rest.",
        source=f"Meng et al. 2024, arXiv 2404.02948; {PEFT}",
        parameters=(rank(8), alpha(8), DROPOUT, *WHERE, _ITERATIONS, rate(1e-4)),
        conflict=conditions.together(
            conditions.not_in_four_bits("PiSSA decomposes the weights, which needs them in full: OLoRA takes 4 bits."),
            conditions.as_stored,
            conditions.layers,
            conditions.rank_fits,
        ),
    ),
    _lora(
        id=OLORA,
        title="OLoRA",
        sentence="LoRA that starts from an orthonormal basis of each layer (QR) and freezes the rest.",
        source=f"Büyükakyüz 2024, arXiv 2406.01775; {PEFT}",
        parameters=(*_BASIC, rate(1e-4)),
        obstacle=conditions.needs_linear("OLoRA"),
        conflict=conditions.together(conditions.as_stored, conditions.layers, conditions.rank_fits),
    ),
    _lora(
        id=QLORA,
        title="QLoRA",
        sentence="LoRA beside a base in 4 bits: nf4, unless the experiment names another precision.",
        source=f"Dettmers et al. 2023, arXiv 2305.14314; {PEFT}",
        parameters=(*_BASIC, rate(2e-4)),
        packages=(*PACKAGES, "bitsandbytes"),
        obstacle=conditions.needs_linear("QLoRA"),
        conflict=conditions.together(conditions.only_in_four_bits, conditions.layers),
        base="precision.nf4",
    ),
)
