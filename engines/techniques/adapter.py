"""The adapter axis: whether a model that is a base and an adapter computes them side by side or merged."""

from __future__ import annotations

from engines.techniques.facts import MachineFacts, ModelFacts
from engines.techniques.model import Axis, Technique

UNMERGED, MERGED = "adapter.unmerged", "adapter.merged"
AXIS = Axis(
    id="adapter",
    title="Adapter",
    sentence="Whether a trained adapter is merged into its base or, as without a choice, computed beside it.",
    default="",
)


def _needs_adapter(model: ModelFacts, _machine: MachineFacts) -> str | None:
    if not model.adapter:
        return "The model has no adapter: choose one that was trained here, or the folder of one."
    return None


TECHNIQUES = (
    Technique(
        id=UNMERGED,
        title="Adapter unmerged",
        sentence="The adapter stays as it is, beside a base in any precision; each layer computes both.",
        source="peft, https://huggingface.co/docs/peft",
        implementation="",
        stage="model",
        packages=("torch", "transformers", "peft"),
        obstacle=_needs_adapter,
    ),
    Technique(
        id=MERGED,
        title="Adapter merged",
        sentence="The adapter is added to the weights before any precision is applied: the speed of the base.",
        source="peft (merge_and_unload), https://huggingface.co/docs/peft/developer_guides/model_merging",
        implementation="",
        stage="load",
        packages=("torch", "transformers", "peft"),
        obstacle=_needs_adapter,
    ),
)
