"""The rows of the techniques tree: by axis, with a sentence each, or the reason in its place. No Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.orders import TechniqueOrder
from engines.techniques import Axis, MachineFacts, ModelFacts, Technique, axes, find, techniques
from engines.techniques.registry import broken
from widgets.setup.edits import chosen_ids
from widgets.setup.models.rows import Resolved
from workbench.experiment.experiment import KIND, Experiment
from workbench.plan.memory import weight_bytes
from workbench.units import format_bytes

_NO_MODEL = ModelFacts(kind="folder", architecture="", parameters=0, stored_bytes=0, stored_dtype="")


@dataclass(frozen=True)
class TechniqueRow:
    key: str
    title: str
    sentence: str
    checked: bool = False
    reason: str = ""
    """Why it can apply to none of the chosen models on this machine."""
    caution: str = ""
    """What does not stop it: some models it cannot apply to, or a note of its own."""
    error: bool = False

    @property
    def enabled(self) -> bool:
        return not self.reason

    @property
    def text(self) -> str:
        return f"{self.title}: {self.reason or self.sentence}{f' {self.caution}' if self.caution else ''}"

    @property
    def tip(self) -> str:
        return "\n".join(part for part in (self.sentence, self.reason, self.caution) if part)


@dataclass(frozen=True)
class TechniqueGroup:
    key: str
    title: str
    rows: tuple[TechniqueRow, ...]
    count: str = ""


@dataclass(frozen=True)
class Stored:
    """What a technique makes of a model's weights."""

    model: str
    text: str


def technique_groups(experiment: Experiment, resolved: Resolved, search: str = "") -> tuple[TechniqueGroup, ...]:
    """One group a heading of an axis ("Precision · 8 bit"), or one an axis, then third parties' techniques that could
    not be loaded."""
    models = chosen_models(experiment, resolved)
    words = search.lower().split()
    groups: list[TechniqueGroup] = []
    for axis in axes_for(experiment.workload.kind):
        chosen = chosen_ids(experiment, axis.id, kinds(experiment, resolved))
        named = any(c.id.partition(".")[0] == axis.id for c in experiment.techniques)
        known = [t for t in techniques(axis.id) if experiment.workload.kind in t.works]
        if not named and not experiment.workload.trains and not _can_be_built(known, models, resolved.machine):
            continue
        for heading, members in _by_group(known):
            rows = [_row(t, t.id in chosen, models, resolved.machine) for t in members]
            sought = (f"{heading} {r.text}".lower() for r in rows)
            shown = tuple(r for r, text in zip(rows, sought, strict=True) if all(word in text for word in words))
            if shown:
                alone = not heading or heading == axis.title
                title = axis.title if alone else heading if of_kind(axis) else f"{axis.title} · {heading}"
                key = f"{axis.id}/{heading}" if heading else axis.id
                groups.append(TechniqueGroup(key, title, shown, _count(rows, named=named)))
    lost = tuple(TechniqueRow(f"broken:{b.name}", b.name, "", reason=b.error, error=True) for b in broken())
    if lost:
        groups.append(TechniqueGroup("broken", "Could not be loaded", lost, str(len(lost))))
    return tuple(groups)


def _can_be_built(known: Sequence[Technique], models: Sequence[ResolvedModel], machine: MachineFacts | None) -> bool:
    """False of techniques that all edit a model before it is built, where no chosen model is built here."""
    built = machine is not None and any(not t.against(m.facts, machine) for t in known for m in models)
    return built or any(t.stage != "config" for t in known)


def axes_for(kind: str) -> tuple[Axis, ...]:
    """Those that have a meaning for a kind of work; of work that trains, those that every kind has come last."""
    known = [axis for axis in axes() if any(kind in t.works for t in techniques(axis.id))]
    return tuple(sorted(known, key=lambda axis: kind != KIND.default and _is_general(axis)))


def _is_general(axis: Axis) -> bool:
    """Whether every kind of work that comes with the application uses it."""
    return {"inference", "training", "pretraining"} <= {work for t in techniques(axis.id) for work in t.works}


def of_kind(axis: Axis) -> bool:
    """Whether it has a meaning for one other kind of work than inference, and for no other."""
    return not any(KIND.default in t.works for t in techniques(axis.id))


def _by_group(members: Sequence[Technique]) -> list[tuple[str, list[Technique]]]:
    """Techniques under their headings, in the order in which a heading is met first: a third party's "8 bit" joins the
    built-in ones."""
    found: dict[str, list[Technique]] = {}
    for technique in members:
        found.setdefault(technique.group, []).append(technique)
    return list(found.items())


def _count(rows: Sequence[TechniqueRow], *, named: bool) -> str:
    """ "2 selected", "the default" where the experiment names none of the axis, "" for a group without a tick."""
    ticked = sum(row.checked for row in rows)
    if not ticked:
        return ""
    return f"{ticked} selected" if named else "the default"


def combinations(experiment: Experiment) -> str:
    """ "3 × 2 combinations": techniques with their sweeps of each axis that has more than one."""
    counts: list[int] = []
    for axis in axes():
        named = [c for c in experiment.techniques if c.id.partition(".")[0] == axis.id]
        counts.append(sum(math.prod(len(v) for v in c.parameters.values()) for c in named) or 1)
    several = [str(count) for count in counts if count > 1]
    return f"{' × '.join(several)} combinations" if several else "1 combination"


def chosen_models(experiment: Experiment, resolved: Resolved) -> tuple[ResolvedModel, ...]:
    found = (resolved.models.get(ref) for ref in experiment.models)
    return tuple(model for model in found if isinstance(model, ResolvedModel))


def kinds(experiment: Experiment, resolved: Resolved) -> frozenset[str]:
    """Kinds of the chosen models, by which the default precision goes."""
    return frozenset(model.facts.keeps for model in chosen_models(experiment, resolved))


def stored(technique: Technique, experiment: Experiment, resolved: Resolved) -> tuple[Stored, ...]:
    """Bytes of each chosen model's weights in memory with a technique."""
    machine = resolved.machine
    if machine is None or technique.changes == "none":
        return ()
    order = TechniqueOrder(id=technique.id, parameters=technique.defaults())
    lines: list[Stored] = []
    for model in chosen_models(experiment, resolved):
        if technique.cannot_apply(model.facts, machine):
            continue
        size = weight_bytes(model.facts, (order,), machine)
        title = model.order.title.removesuffix(f" ({model.order.aside})")
        lines.append(Stored(title, format_bytes(size) if size else "not known yet"))
    return tuple(lines)


def lacking(technique: Technique, experiment: Experiment, resolved: Resolved) -> tuple[str, ...]:
    """Packages whose installation would let a technique apply to one of the chosen models at least, or to any model
    where none is chosen."""
    machine, models = resolved.machine, chosen_models(experiment, resolved)
    if machine is None or (models and all(technique.against(model.facts, machine) for model in models)):
        return ()
    return technique.lacking(machine)


def source_address(source: str) -> str:
    """The web address a technique's source names: of an arXiv paper, or written out. "" where it names none."""
    _, found, rest = source.partition("arXiv ")
    number = rest.split()[0].strip(".,;") if found and rest.split() else ""
    if number:
        return f"https://arxiv.org/abs/{number}"
    words = source.replace(",", " ").replace(";", " ").split()
    return next((word.rstrip(".") for word in words if word.startswith(("https://", "http://"))), "")


def _row(
    technique: Technique, checked: bool, models: tuple[ResolvedModel, ...], machine: MachineFacts | None
) -> TechniqueRow:
    row = TechniqueRow(technique.id, technique.title, technique.sentence, checked)
    if machine is None:
        return row
    if not models:
        without = replace(technique, obstacle=_nothing_against)
        return replace(row, reason=without.cannot_apply(_NO_MODEL, machine) or "")
    against = [(model, technique.cannot_apply(model.facts, machine)) for model in models]
    reasons = [(model, reason) for model, reason in against if reason]
    if len(reasons) == len(models):
        return replace(row, reason=str(reasons[0][1]))
    if reasons:
        names = ", ".join(model.order.title for model, _ in reasons)
        return replace(row, caution=f"Not with {names}: {reasons[0][1]}")
    note = next((n for model in models if (n := technique.note(model.facts, machine))), None)
    return replace(row, caution=note or "")


def _nothing_against(_model: ModelFacts, _machine: MachineFacts) -> str | None:
    return None


def find_technique(key: str) -> Technique | None:
    return None if key.startswith("broken:") else find(key)
