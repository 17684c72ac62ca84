"""An axis that no engine of the application knows."""

from engines.techniques.model import Axis, Technique

AXIS = Axis("dummy_axis", "Dummy axis", "What only the dummy engine has.", default="dummy_axis.off")

TECHNIQUES = tuple(
    Technique(
        id=f"dummy_axis.{name}",
        title=name,
        sentence=f"The dummy is {name}.",
        source="tests",
        implementation="llm_workbench_dummy.engine:DummyEngine",
        engines=("dummy",),
    )
    for name in ("off", "on")
)
