"""The fine-tuning axis: which parameters training changes. Only experiments that train use it."""

from __future__ import annotations

from engines.protocol.settings import Setting
from engines.techniques.facts import MachineFacts, ModelFacts
from engines.techniques.model import Axis, Technique

FINETUNE = "finetune"
AXIS = Axis(
    id=FINETUNE,
    title="Fine-tuning",
    sentence="Which parameters training changes.",
    default="",
)

LORA = "finetune.lora"


def _needs_floats(model: ModelFacts, _machine: MachineFacts) -> str | None:
    if model.quantised:
        return f"Its files hold {model.quantised} weights, which cannot be trained on yet: choose another model."
    return None


TECHNIQUES = (
    Technique(
        id=LORA,
        title="LoRA",
        sentence="Trains two small matrices beside each linear layer; the model itself stays as it is.",
        source="Hu et al. 2021, arXiv 2106.09685; peft, https://huggingface.co/docs/peft",
        implementation="engines.hf.lora:adapt",
        stage="model",
        works=("training",),
        parameters=(
            Setting(name="rank", title="Rank", type="int", default=8, minimum=1, maximum=512,
                      help="Width of the adapters; memory and trained parameters grow with it."),
            Setting(name="alpha", title="Alpha", type="int", default=16, minimum=1, maximum=4096,
                      help="The adapters' output is multiplied by alpha / rank."),
            Setting(name="dropout", title="Dropout", type="float", default=0.0, minimum=0.0, maximum=0.9,
                      help="Share of the adapters' inputs set to zero in training; 0 takes a faster path."),
            Setting(name="target_modules", title="Adapted layers", type="text", default="all-linear",
                      choices=("all-linear", "attention"),
                      help="all-linear: every linear layer except the output head."),
        ),
        packages=("torch", "transformers", "peft"),
        obstacle=_needs_floats,
    ),
)  # fmt: skip


def trained_parameters(model: ModelFacts, rank: int) -> int:
    """Of LoRA on all linear layers, about: rank x (in + out) a matrix, with a layer's matrices as those of a llama. 0
    where the model's shape is not known."""
    if not (model.layers and model.hidden and model.linear_parameters):
        return 0
    wide, narrow = model.heads * model.head_dim, model.kv_heads * model.head_dim
    per_layer = model.linear_parameters // model.layers
    feed_forward = max(0, per_layer - 2 * model.hidden * (wide + narrow)) // (3 * model.hidden)
    attention = 2 * (model.hidden + wide) + 2 * (model.hidden + narrow)
    return rank * model.layers * (attention + 3 * (model.hidden + feed_forward))
