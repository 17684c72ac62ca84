"""What fine-tuning methods share: the fields of their entries, and their settings."""

from __future__ import annotations

from functools import partial

from engines.protocol.settings import Setting
from engines.techniques.finetune import conditions
from engines.techniques.model import Technique

PEFT = "peft, https://huggingface.co/docs/peft"
PACKAGES = ("torch", "transformers", "peft")

method = partial(
    Technique,
    implementation="engines.hf.finetune:apply",
    stage="model",
    works=("training",),
    packages=PACKAGES,
    obstacle=conditions.needs_floats,
)
"""An entry of this axis."""
adapter = partial(method, conflict=conditions.together(conditions.as_stored, conditions.layers, conditions.experts))
"""One whose settings choose the layers it sits on."""

DROPOUT = Setting(
    name="dropout",
    title="Dropout",
    type="float",
    default=0.0,
    minimum=0.0,
    maximum=0.9,
    help="Share of the adapters' inputs set to zero in training; 0 takes a faster path.",
)
TARGETS = Setting(
    name="target_modules",
    title="Adapted layers",
    short="Layers",
    type="text",
    default="all-linear",
    choices=("all-linear", "attention"),
    help="all-linear: every linear layer in the blocks, except those that choose experts.",
)
MODULES = Setting(
    name="modules",
    title="Layers by name",
    short="By name",
    type="text",
    default="",
    maximum=1000,
    may_be_empty=True,
    example='"q_proj, v_proj"',
    help="Names of layers to adapt instead, separated by commas.",
)
EXPERTS = Setting(
    name="experts",
    title="Experts",
    type="bool",
    default=False,
    help="Of a mixture of experts: adapts the experts too. Needs dropout 0.",
)
WHERE = (TARGETS, MODULES)


def rank(default: int, help: str = "Width of the adapters; memory and trained parameters grow with it.") -> Setting:
    return Setting(name="rank", title="Rank", type="int", default=default, minimum=1, maximum=4096, help=help)


def alpha(default: int, help: str = "The adapters' output is multiplied by alpha / rank.") -> Setting:
    return Setting(name="alpha", title="Alpha", type="int", default=default, minimum=1, maximum=4096, help=help)


def rate(default: float) -> Setting:
    """The method's own learning rate."""
    return Setting(
        name="learning_rate",
        title="Learning rate",
        short="Rate",
        type="float",
        default=default,
        minimum=1e-9,
        maximum=10.0,
        help="Highest rate of the schedule; used where the learning rate under Training is 0.",
    )
