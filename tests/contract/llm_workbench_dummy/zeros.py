"""An axis for the transformers engine: weights set to zero."""

from engines.protocol.settings import Setting
from engines.techniques.model import Axis, Technique

AXIS = Axis("zeros", "Zeros", "Which weights are zero.", default="zeros.none")

TECHNIQUES = (
    Technique(
        id="zeros.none",
        title="none",
        sentence="Weights as they are.",
        source="tests",
        implementation="llm_workbench_dummy.zeroing:leave",
        stage="model",
    ),
    Technique(
        id="zeros.small",
        title="small",
        sentence="The smallest weights of each linear layer.",
        source="tests",
        implementation="llm_workbench_dummy.zeroing:zero_small",
        parameters=(Setting("share", "Share", type="float", default=0.5, minimum=0, maximum=1, help="How many"),),
        stage="model",
    ),
)
