"""Methods that train parts of the model itself, without adapters."""

from __future__ import annotations

from functools import partial

from engines.protocol.settings import Setting
from engines.techniques.finetune import conditions, counts
from engines.techniques.finetune.shared import method, rate

BITFIT, FREEZE, FULL = "finetune.bitfit", "finetune.freeze", "finetune.full"

_FOUR = "The weights of a 4-bit base cannot be trained themselves: choose an adapter, or another precision."
_usual = conditions.together(conditions.not_in_four_bits(_FOUR), conditions.as_stored)
_part = partial(method, group="Parts of the model", packages=("torch", "transformers"), conflict=_usual)
_BLOCKS = Setting(
    name="blocks",
    title="Last blocks",
    type="int",
    default=2,
    minimum=1,
    maximum=1000,
    unit="blocks",
    help="Blocks at the end of the model that are trained.",
)

TECHNIQUES = (
    _part(
        id=BITFIT,
        title="BitFit",
        sentence="Trains the model's biases and nothing else.",
        source="Ben Zaken et al. 2021, arXiv 2106.10199",
        parameters=(rate(1e-3),),
        obstacle=conditions.needs_biases,
        trained=counts.bitfit,
    ),
    _part(
        id=FREEZE,
        title="Freeze",
        sentence="Trains the last blocks and freezes the rest; the backward pass ends there.",
        source="EfficientLLM, arXiv 2505.13840; Lee et al. 2019, arXiv 1911.03090",
        parameters=(_BLOCKS, rate(5e-5)),
        conflict=conditions.together(_usual, conditions.enough_blocks),
        trained=counts.freeze,
    ),
    _part(
        id=FULL,
        title="Full",
        sentence="Trains every weight: the most memory, and what the others are compared with.",
        source="Howard & Ruder 2018, arXiv 1801.06146",
        parameters=(rate(2e-5),),
        trained=counts.full,
    ),
)
