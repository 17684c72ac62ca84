"""The techniques of every axis, as data. No torch here, no Qt: forms, reasons and plans are made from this alone.

To add a technique: one entry (a `Technique` in a module of this package, listed in `registry._BUILT_IN`, or a third
party's entry point of group `llm_workbench.techniques`) and one implementing module; see CONTRIBUTING.md.
"""

from engines.techniques.facts import MachineFacts, ModelFacts
from engines.techniques.model import Axis, Technique, Use
from engines.techniques.registry import axes, find, techniques

__all__ = [
    "Axis",
    "MachineFacts",
    "ModelFacts",
    "Technique",
    "Use",
    "axes",
    "find",
    "techniques",
]
