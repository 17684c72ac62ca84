"""What a configuration will need on its device, by part, before anything is loaded. Pure; any thread.

`estimate_memory` is the way in; `training_parts` gives all parts of training. Memory counts what is alive while the
trial measures. docs/experiment-file.md states every formula for users.
"""

from workbench.plan.memory.estimate import PROCESS_BYTES, estimate_memory
from workbench.plan.memory.training import CUDA_CONTEXT_BYTES, FORMULA, TrainingParts, training_parts
from workbench.plan.memory.weights import weight_bytes

__all__ = [
    "CUDA_CONTEXT_BYTES",
    "FORMULA",
    "PROCESS_BYTES",
    "TrainingParts",
    "estimate_memory",
    "training_parts",
    "weight_bytes",
]
