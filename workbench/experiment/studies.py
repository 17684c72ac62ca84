"""Ready-made studies: experiments that are made for one model on one machine, because what is possible depends on both.

A preset file of the same id stands beside each (assets/presets): the study as it is for the starter model. A study is
an ordinary experiment: it can be changed, saved and run like any other. Pure but for `make`, which reads a model's
headers; any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import ProbeResult
from engines.protocol.orders import EngineOrder, Inference, TechniqueOrder
from engines.protocol.places import Places
from engines.protocol.problems import Problem, ProblemsFound
from engines.techniques import MachineFacts, Technique, techniques
from engines.techniques.architecture import edited, facts, reference_speed
from workbench.experiment.experiment import Experiment, RunSettings, TechniqueChoice, WorkloadChoice
from workbench.machines.facts import best_device, machine_facts
from workbench.plan.memory import estimate_memory
from workbench.units import format_bytes

PROMPT_TOKENS, NEW_TOKENS, PERPLEXITY_TOKENS, TEXT_TOKENS = 128, 128, 2048, 64


LENGTHS = tuple(2**k for k in range(9, 18))
"""Prompt tokens of the architecture study: 512 to 128k."""
ARCHITECTURE_NEW_TOKENS = 32


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


def architecture_study(model: ResolvedModel, machine: MachineFacts) -> Experiment:
    """What each kind of attention costs as prompts grow: cache, memory, prefill and decode, on random weights.

    Lengths are those that fit the context, and by the estimate the memory, of every kind: curves cross only where both
    are measured, and a machine that swaps measures its disk.
    """
    kinds = tuple(_attention(t, model) for t in techniques("attention") if not _against_attention(t, model, machine))
    lengths = tuple(n for n in LENGTHS if kinds and not _too_long(n, kinds, model, machine))
    return Experiment(
        name=f"what attention costs in {model.order.title}",
        models=(model.order.ref,),
        techniques=tuple(TechniqueChoice(t.id, {k: (v,) for k, v in t.parameters.items()}) for t in kinds)
        if len(lengths) > 1
        else (),
        workload=WorkloadChoice.of(
            prompt_tokens=lengths or LENGTHS[:1], new_tokens=ARCHITECTURE_NEW_TOKENS, perplexity_tokens=0
        ),
        run=RunSettings(trials=3),
    )


def architecture_left_out(model: ResolvedModel, machine: MachineFacts) -> tuple[LeftOut, ...]:
    """Kinds of attention and lengths that `architecture_study` leaves out, each with its reason."""
    against = [(t, _against_attention(t, model, machine)) for t in techniques("attention")]
    kinds = tuple(_attention(t, model) for t, reason in against if not reason)
    out = [LeftOut(t.title, reason) for t, reason in against if reason]
    out += [LeftOut(f"{n:,} tokens", why) for n in LENGTHS if kinds and (why := _too_long(n, kinds, model, machine))]
    return tuple(out)


STUDIES = (
    Study(
        id="precision",
        preset="precision-study",
        title="Precision study",
        sentence="Every precision the model can take on this computer, on both engines: speed, memory, quality, texts.",
        make=precision_study,
        left_out=precision_left_out,
    ),
    Study(
        id="architecture",
        preset="architecture-cost",
        title="Architecture study",
        sentence="What each kind of attention costs as prompts grow: cache, memory, prefill and decode of a shape.",
        make=architecture_study,
        left_out=architecture_left_out,
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


def _attention(technique: Technique, model: ResolvedModel) -> TechniqueOrder:
    """With its defaults; key-value heads as many as divide the model's."""
    given = technique.defaults()
    heads, kept = model.facts.heads, given.get("kv_heads")
    if isinstance(kept, int) and heads and heads % kept:
        given["kv_heads"] = max(n for n in range(1, max(2, heads // 2 + 1)) if heads % n == 0)
    return TechniqueOrder(id=technique.id, parameters=given)


def _made(model: ResolvedModel, kind: TechniqueOrder) -> dict[str, object]:
    """The model's configuration with a kind of attention; the size of a head is filled in where it is left out."""
    return edited({"head_dim": model.facts.head_dim, **model.order.config}, (kind,))


def _against_attention(technique: Technique, model: ResolvedModel, machine: MachineFacts) -> str:
    reason = technique.cannot_apply(model.facts, machine)
    if reason:
        return reason
    if _attention(technique, model).parameters.get("kv_heads") == 1:
        return (
            f"Its {model.facts.heads} heads share keys and values evenly only all together, as multi-query attention."
        )
    why = reference_speed(_made(model, _attention(technique, model)), machine.device_kind)
    return f"{why} Its time would be that of the code." if why else ""


def _too_long(length: int, kinds: Sequence[TechniqueOrder], model: ResolvedModel, machine: MachineFacts) -> str:
    """Why prompts of so many tokens are left out, "" where every kind takes them."""
    load = Inference(prompt_tokens=length, new_tokens=ARCHITECTURE_NEW_TOKENS)
    limit = model.facts.context_tokens
    if limit and length + ARCHITECTURE_NEW_TOKENS > limit:
        return f"Longer than the model's context of {limit:,} tokens."
    for kind in kinds:
        memory = estimate_memory(facts(_made(model, kind)), (kind,), load, EngineOrder(), machine)
        if not memory.fits:
            return (
                f"By the estimate it needs {format_bytes(memory.needed)}; {format_bytes(memory.device_free)} are free."
            )
    return ""


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
