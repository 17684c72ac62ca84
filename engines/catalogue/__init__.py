"""Engines as data: what the runner, the worker, the planner and the window ask of an engine without loading it.

Imports no engine's libraries. An engine's own entry is in its folder (`engines.hf.info`, `engines.llama.info`).
"""

from engines.catalogue.claims import does, engines_for, refusal
from engines.catalogue.model import EngineInfo
from engines.catalogue.registry import broken, engines, find

__all__ = ["EngineInfo", "broken", "does", "engines", "engines_for", "find", "refusal"]
