"""Fine-tuning methods applied to a loaded model. Worker process; imports torch and peft."""

from engines.hf.finetune.apply import Adapted, adapted, apply, callback, save_adapter, virtual_positions, wrapper_of
from engines.hf.finetune.trained import parameter_groups

__all__ = [
    "Adapted",
    "adapted",
    "apply",
    "callback",
    "parameter_groups",
    "save_adapter",
    "virtual_positions",
    "wrapper_of",
]
