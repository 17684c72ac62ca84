"""Ready-made studies: experiments that are made for one model on one machine, because what is possible depends on both.

A preset file of the same id stands beside each (assets/presets): the study as it is for the starter model. A study is
an ordinary experiment: it can be changed, saved and run like any other. Pure but for `make`, which reads a model's
headers; any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import ProbeResult
from engines.protocol.orders import EngineOrder, TechniqueOrder
from engines.protocol.places import Places
from engines.protocol.problems import Problem, ProblemsFound
from engines.techniques import MachineFacts, Technique, techniques
from workbench.experiment.experiment import Experiment, RunSettings, TechniqueChoice, WorkloadChoice
from workbench.machines.facts import best_device, machine_facts
from workbench.plan.memory import estimate_memory
from workbench.units import format_bytes

PROMPT_TOKENS, NEW_TOKENS, PERPLEXITY_TOKENS, TEXT_TOKENS = 128, 128, 2048, 64


@dataclass(frozen=True)
class LeftOut:
    """A technique that the study would have and cannot."""

    title: str
    reason: str
    can_be_had: bool = False
    """Whether it only has to be installed."""


@dataclass(frozen=True)
class Study:
    """`id` is the word of the command line; `preset` the name of the file beside it."""

    id: str
    preset: str
    title: str
    sentence: str
    make: Callable[[ResolvedModel, MachineFacts], Experiment]
    left_out: Callable[[ResolvedModel, MachineFacts], tuple[LeftOut, ...]]


def precision_study(model: ResolvedModel, machine: MachineFacts) -> Experiment:
    """Every precision that this model can take on this machine, of both engines, with what it costs in quality.

    Precisions that cannot apply, or would not fit in memory by the estimate, are left out (`precision_left_out`).
    """
    possible = [t for t in techniques("precision") if not _against(t, model, machine)]
    return Experiment(
        name=f"precision study of {model.order.title}",
        models=(model.order.ref,),
        techniques=tuple(TechniqueChoice(t.id) for t in possible),
        workload=_load(),
        run=RunSettings(trials=5),
    )


def precision_left_out(model: ResolvedModel, machine: MachineFacts) -> tuple[LeftOut, ...]:
    """The precisions that `precision_study` leaves out, each with its reason."""
    against = ((t, _against(t, model, machine)) for t in techniques("precision"))
    return tuple(
        LeftOut(t.title, reason, bool(t.lacking(machine, model.facts)) and not t.against(model.facts, machine))
        for t, reason in against
        if reason
    )


STUDIES = (
    Study(
        id="precision",
        preset="precision-study",
        title="Precision study",
        sentence="Every precision the model can take on this computer, on both engines: speed, memory, quality, texts.",
        make=precision_study,
        left_out=precision_left_out,
    ),
)


def find_study(id: str) -> Study | None:
    """By its own id ("precision") or by that of its preset file."""
    return next((s for s in STUDIES if id in (s.id, s.preset)), None)


def make(
    study: Study, ref: str, places: Places, probe: ProbeResult, base: Path
) -> tuple[Experiment, tuple[LeftOut, ...]]:
    """The study of the model that `ref` names on this machine's best device, and what it leaves out. Raises
    `ProblemsFound` where the model is not there or nothing can be done with it."""
    model = resolve(ref, places, base)
    if isinstance(model, Problem):
        raise ProblemsFound((model,))
    machine = machine_facts(probe, best_device(probe))
    experiment, left_out = study.make(model, machine), study.left_out(model, machine)
    if not experiment.techniques:
        # what an installation would change, before what nothing changes
        first = next((item for item in left_out if item.can_be_had), next(iter(left_out), None))
        why = first.reason if first is not None else "There is no technique for it."
        raise ProblemsFound(
            (Problem(severity="error", place=ref, message=f"Nothing of the {study.title.lower()} can run here. {why}"),)
        )
    return experiment, left_out


def left_out_text(left_out: tuple[LeftOut, ...]) -> str:
    """ "Q8_0, Q6_K: Needs llama-cpp-python ...", a line a reason; "" where nothing is."""
    reasons: dict[str, list[str]] = {}
    for item in left_out:
        reasons.setdefault(item.reason, []).append(item.title)
    return "\n".join(f"{', '.join(titles)}: {reason}" for reason, titles in reasons.items())


def _load() -> WorkloadChoice:
    return WorkloadChoice.of(
        prompt_tokens=PROMPT_TOKENS,
        new_tokens=NEW_TOKENS,
        perplexity_tokens=PERPLEXITY_TOKENS,
        text_tokens=TEXT_TOKENS,
    )


def _against(technique: Technique, model: ResolvedModel, machine: MachineFacts) -> str:
    """Why a precision is left out, "" where it is in."""
    reason = technique.cannot_apply(model.facts, machine)
    if reason:
        return reason
    if model.facts.parameters <= 0 or machine.memory_free_bytes <= 0:
        return ""  # nothing is known of the model, or of the device
    order = TechniqueOrder(id=technique.id, parameters=technique.defaults())
    engine = EngineOrder(id=technique.engines[0])
    load = _load().first
    memory = estimate_memory(model.facts, (order,), load, engine, machine)
    if memory.fits:
        return ""
    return f"By the estimate it needs {format_bytes(memory.needed)}; {format_bytes(memory.device_free)} are free."
