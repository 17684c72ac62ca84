"""An axis for the transformers engine with a technique of each stage."""

from dataclasses import replace

from engines.protocol.settings import Setting
from engines.techniques.model import Axis, Stage, Technique

AXIS = Axis("dummy_stage", "Dummy stage", "One technique of each stage.", default="")


def _at(stage: Stage, works: tuple[str, ...] = ("inference",)) -> Technique:
    return Technique(
        id=f"dummy_stage.{stage}",
        title=f"dummy {stage}",
        sentence=f"Of the stage {stage}.",
        source="tests",
        implementation=f"llm_workbench_dummy.staged:{stage}",
        stage=stage,
        works=works,
    )


TECHNIQUES = (
    replace(
        _at("config", ("inference", "training")),
        parameters=(Setting("layers", "Layers", type="int", default=1, minimum=1, maximum=9, help="How many"),),
    ),
    replace(
        _at("cache"),
        parameters=(Setting("keeps", "Keeps", type="bool", default=True, help="Whether it keeps anything"),),
    ),
    replace(
        _at("decode"),
        parameters=(Setting("several", "Several", type="bool", default=False, help="Tokens at a time"),),
    ),
    _at("optimiser", ("training",)),
    _at("load"),
    replace(_at("model"), id="dummy_stage.empty", title="dummy empty", implementation=""),
)
