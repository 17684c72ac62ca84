"""Which engine applies which technique, and does which kind of work. Asked by the planner before anything runs, and by
the worker once more. Pure; any process.
"""

from __future__ import annotations

from engines.catalogue.model import EngineInfo, Obstacle
from engines.catalogue.registry import engines
from engines.protocol.kinds import NEEDS
from engines.techniques import Technique

_READS_THE_MODEL = "precision"
"""Axis whose technique is the one of stage "load" that an engine calls: it reads the weights."""


def does(engine: EngineInfo, kind: str) -> bool:
    """Whether an engine can do a kind of work, also where only the work knows of it."""
    return kind in engine.works or NEEDS.get(kind, "") in engine.offers


def engines_for(technique: Technique) -> tuple[str, ...]:
    """Ids of the engines that apply a technique, its own first."""
    able = [engine.id for engine in engines() if refusal(engine, technique) is None]
    return (*(id for id in technique.engines if id in able), *(id for id in able if id not in technique.engines))


def refusal(engine: EngineInfo, technique: Technique, kind: str = "") -> Obstacle | None:
    """Why an engine does not apply a technique in a kind of work (""; in any), and what to do; None where it does."""
    if technique.id in engine.techniques:
        return None
    if engine.id not in technique.engines:
        return Obstacle(
            f"The engine {engine.title} cannot do {technique.title}.", _elsewhere(technique), kind="technique"
        )
    works = engine.stages.get(technique.stage)
    if technique.stage == "load" and technique.axis != _READS_THE_MODEL:
        works = None
    if not technique.implementation or works is None:
        stages = ", ".join(engine.stages) or "no stage"
        return Obstacle(
            f"The engine {engine.title} would ignore {technique.title}: it applies no technique "
            + (f"of the stage {technique.stage} on this axis." if technique.implementation else "without a function."),
            f"Leave it out. Its package has to name a function and a stage that the engine calls ({stages}; load for "
            "precisions only).",
            kind="technique",
        )
    if kind and works and kind not in works:
        return Obstacle(
            f"{engine.title} applies {technique.title} only in {' and '.join(works)}, not in {kind}.",
            "Leave it out, or choose another kind of work.",
            kind="technique",
        )
    return None


def _elsewhere(technique: Technique) -> str:
    able = [engine.title for engine in engines() if engine.id in technique.engines]
    return (
        f"Leave it out, or use {' or '.join(able)}." if able else "Leave it out, or install an engine that applies it."
    )
