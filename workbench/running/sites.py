"""What machines have for an experiment: this computer is looked at from here, others say it themselves, with paths of
their own. Any thread; blocks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from engines.data.own import Found, FoundData, FoundPrompts, find_own
from engines.models import artifacts
from engines.models.files import BrokenModel, model_files
from engines.models.identity import Digests
from engines.models.lookup.answer import Answer, Own
from engines.models.lookup.identified import Looked, files_of, size_of
from engines.models.lookup.local_model import LocalModel
from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import Checkpoint, LookUp, Wanted
from engines.protocol.orders import TRAINED, ResumeOrder
from engines.protocol.places import Places
from engines.protocol.problems import COPY, Fix, Problem, ProblemsFound
from engines.protocol.text_file import FileError
from engines.protocol.work import AnyTraining, Inference, Pretraining, Training
from workbench.experiment.experiment import Experiment
from workbench.machines.copying import Parcel, parcel_of_adapter, parcel_of_data, parcel_of_model
from workbench.machines.facts import visible
from workbench.machines.machine import THIS, Machine
from workbench.models.fetching import Report
from workbench.models.identity import Identities
from workbench.plan.sites import Site
from workbench.running.copies import Copies
from workbench.running.far_lookup import FarLookups
from workbench.running.machine_link import MachineLink
from workbench.units import format_bytes

_FAR_PATHS = "Relative paths start at the home there."


_Reads = Inference | Training | Pretraining
"""A workload that may name prompts or data."""


class Sites:
    """Looks machines up for plans."""

    def __init__(self, places: Places, identities: Identities, copies: Copies) -> None:
        self._places = places
        self._identities = identities
        self._copies = copies
        self._far = FarLookups()

    def forget(self) -> None:
        """Files on another machine were changed from here."""
        self._far.forget()

    def parcels_of_model(self, link: MachineLink, ref: str, base: Path, report: Report) -> tuple[Parcel, ...]:
        """A model of this computer to copy: of an adapter the base, where that machine lacks it, and then the adapter.
        Raises `ProblemsFound` where it is none to copy, `RunnerError`."""
        (model,) = self._models((ref,), base, True, report).values()
        if isinstance(model, Problem):
            raise ProblemsFound((model,))
        if model.order.kind not in ("folder", "gguf"):
            raise _not_copied(ref, f"{model.order.title} cannot be copied: it has no files on this computer.")
        try:
            whole = parcel_of_model(model.order)
            if not model.order.adapter:
                return (whole,)
            wanted = Wanted(whole.fingerprint, sum(size_of(f) for f in model_files(Path(model.order.path)).weights))
            there = self._far.ask(link, LookUp(wanted=(wanted,)), wait=True, report=report).same
            return (*(() if whole.fingerprint in there else (whole,)), parcel_of_adapter(model.order))
        except (BrokenModel, OSError) as error:
            raise _not_copied(ref, f"{model.order.title} cannot be read: {error}.") from error

    def parcel_of_data(self, path: str, base: Path) -> Parcel:
        """Prompts or data of this computer to copy. Raises `ProblemsFound`."""
        try:
            return parcel_of_data(path, base, Digests(self._places.digests))
        except FileError as error:
            raise _not_copied(path, str(error), error.advice) from error

    def models_on(self, link: MachineLink) -> tuple[LocalModel, ...]:
        """Every model that is found on another machine, for lists to choose from. Raises `RunnerError`."""
        question = LookUp(every_model=True)
        return self._far.ask(link, question, wait=True, report=lambda _share, _text: None).found

    def resumable(self, link: MachineLink, trial: str, before: str) -> ResumeOrder | None:
        """As `engines.models.artifacts.resumable`, on that machine. Raises `BrokenModel`, `RunnerError`."""
        if link.machine.id == THIS:
            return artifacts.resumable(self._places.artifacts, trial, before)
        question = LookUp(checkpoints=(Checkpoint(trial, before),))
        answer = self._far.ask(link, question, wait=True, report=lambda _share, _text: None)
        if trial in answer.damaged:
            raise BrokenModel(answer.damaged[trial])
        return answer.checkpoints.get(trial)

    def look(self, link: MachineLink, experiment: Experiment, base: Path, *, wait: bool, report: Report) -> Site:
        """Relative paths start at `base` here, at the user's home on another machine. `wait` as `Workbench.plan`'s.
        Raises `RunnerError`."""
        here = link.machine.id == THIS
        return (self._here if here else self._there)(link, experiment, base, wait, report)

    def _here(self, link: MachineLink, experiment: Experiment, base: Path, wait: bool, report: Report) -> Site:
        return Site(
            probe=visible(link.probe(), os.environ),
            models=self._models(_refs(experiment), base, wait, report),
            own=find_own(experiment.workload.first, base),
            own_of_trained={t.name: find_own(t.workload.first, base) for t in experiment.trained},
            machine=link.machine.id,
            title=link.machine.title,
        )

    def _models(self, refs: tuple[str, ...], base: Path, wait: bool, report: Report) -> dict[str, Looked]:
        found = {ref: resolve(ref, self._places, base) for ref in refs}
        return self._identities.read(found, report) if wait else self._identities.glance(found)

    def _there(self, link: MachineLink, experiment: Experiment, base: Path, wait: bool, report: Report) -> Site:
        refs = _refs(experiment)
        workloads = (experiment.workload.first, *(t.workload.first for t in experiment.trained))
        asked = tuple(load for load in workloads if isinstance(load, _Reads))
        answer = self._far.ask(link, LookUp(refs=refs, own=asked), wait=wait, report=report)
        said = [*answer.own, *(Own() for _ in asked)][: len(asked)]
        owns = dict(zip(asked, self._own_from_here(link, asked, said, base, wait), strict=True))
        first, *of_trained = (owns.get(load) if isinstance(load, _Reads) else None for load in workloads)
        models = {ref: _said(answer, ref, link.machine) for ref in refs}
        lacking = {ref: model for ref, model in models.items() if isinstance(model, Problem)}
        if lacking:
            here = self._models(tuple(lacking), base, wait, report)
            models |= self._from_here(link, here, lacking, wait, report)
        return Site(
            probe=link.probe(),
            models=models,
            own=first,
            own_of_trained=dict(zip((t.name for t in experiment.trained), of_trained, strict=True)),
            machine=link.machine.id,
            title=link.machine.title,
        )

    def _own_from_here(
        self, link: MachineLink, asked: Sequence[_Reads], said: Sequence[Own], base: Path, wait: bool
    ) -> list[Found | Problem | None]:
        """The prompts or data of each workload, as that machine has said; those of this computer that are not there as
        they are named were copied there, or are to be copied."""
        owns = [own.found for own in said]
        lacking: list[tuple[int, _Reads, str]] = []
        for place, (load, own) in enumerate(zip(asked, owns, strict=True)):
            here = find_own(load, base) if isinstance(own, Problem) else None
            if isinstance(here, FoundPrompts) or (isinstance(here, FoundData) and Path(here.data).is_absolute()):
                lacking.append((place, load, here.hash))
        if not lacking:
            return owns
        question = LookUp(own=tuple(load for _, load, _ in lacking), own_copies=tuple(hash for _, _, hash in lacking))
        answer = self._far.ask(link, question, wait=wait, report=lambda _share, _text: None)
        for (place, load, _), there in zip(lacking, answer.own, strict=False):
            owns[place] = self._data_offered(there.found, load, link.machine)
        return owns

    def _data_offered(self, found: Found | Problem | None, load: _Reads, machine: Machine) -> Found | Problem | None:
        """The problem of prompts or data that are here and not there, with the way out."""
        if not isinstance(found, Problem):
            return found
        named = load.data if isinstance(load, AnyTraining) else load.prompt_file
        if on_its_way := self._copies.how_far(machine.id, named):
            return msgspec.structs.replace(found, message=f"{on_its_way}.", hint="", fixes=())
        return msgspec.structs.replace(
            found,
            message=f"{named} is not there.",
            hint=f"It is on this computer: copy it, or name a file of that machine. {_FAR_PATHS}",
            fixes=(Fix("Copy it there", COPY, (machine.id, "data", named)), *found.fixes),
        )

    def _from_here(
        self,
        link: MachineLink,
        here: Mapping[str, Looked],
        lacking: Mapping[str, Problem],
        wait: bool,
        report: Report,
    ) -> dict[str, Looked]:
        """Models of this computer that are not there as they are named: known there by their contents, or to be
        copied."""
        copyable = [(model, files) for ref, files in files_of(here) if isinstance(model := here[ref], ResolvedModel)]
        wanted = tuple(
            Wanted(model.order.fingerprint, sum(map(size_of, files.weights)))
            for model, files in copyable
            if model.order.fingerprint
        )
        adapters = tuple(model.order.adapter_hash for model, _ in copyable if model.order.adapter)
        question = LookUp(wanted=wanted, copies=adapters)
        answer = self._far.ask(link, question, wait=wait, report=report) if wanted else Answer()
        found: dict[str, Looked] = {}
        for model, files in copyable:
            ref = model.order.ref
            there = answer.same.get(model.order.fingerprint)
            adapter = answer.copies.get(model.order.adapter_hash, "")
            if there is not None and (adapter or not model.order.adapter):
                found[ref] = _as_there(model, there, link.machine, adapter)
            elif on_its_way := self._copies.how_far(link.machine.id, ref):
                found[ref] = _waits(model, f"{on_its_way}.", "The plan can run once that has ended.")
            elif not model.identified:
                found[ref] = model  # the plan waits for its fingerprint
            elif not answer.is_complete:
                found[ref] = _being_read(model, answer, link.machine)
            else:
                found[ref] = _copy_offered(lacking[ref], model, sum(map(size_of, files.all)), link.machine)
        return found


def _copy_offered(problem: Problem, model: ResolvedModel, size_bytes: int, machine: Machine) -> Problem:
    """The problem of a model that is here and not there, with the way out."""
    size = format_bytes(size_bytes)
    fix = Fix(f"Copy it there, {size}", COPY, (machine.id, "model", model.order.ref))
    return msgspec.structs.replace(
        problem,
        message=f"{model.order.title} is not there.",
        hint=f"It is on this computer: copy it ({size}), or name a model of that machine or of the hub. {_FAR_PATHS}",
        fixes=(fix, *problem.fixes),
    )


def _not_copied(place: str, message: str, hint: str = "") -> ProblemsFound:
    return ProblemsFound((Problem(severity="error", place=place, message=message, hint=hint),))


def _refs(experiment: Experiment) -> tuple[str, ...]:
    named = (*(r for r in experiment.models if not r.startswith(TRAINED)), *(t.model for t in experiment.trained))
    return tuple(dict.fromkeys(named))


def _said(answer: Answer, ref: str, machine: Machine) -> Looked:
    """One model as the machine has it."""
    found = answer.looked(ref)
    if found is None:
        return Problem(severity="error", place=ref, message=f"{machine.title} did not say whether it has it.")
    if isinstance(found, Problem):
        return msgspec.structs.replace(found, place=ref)
    # a model is not said to be one that this experiment trains
    model = msgspec.structs.replace(found, order=msgspec.structs.replace(found.order, ref=ref, trained=""))
    return model if model.identified else _being_read(model, answer, machine)


def _being_read(model: ResolvedModel, answer: Answer, machine: Machine) -> ResolvedModel:
    share = answer.read_bytes / answer.total_bytes if answer.total_bytes else 0.0
    return _waits(
        model,
        f"Its files are being read on {machine.title}: {share:.0%} of {format_bytes(answer.total_bytes)}.",
        "Once for each file, to know which model it is: changed weights are another model.",
    )


def _waits(model: ResolvedModel, message: str, hint: str) -> ResolvedModel:
    """A model that no trial can use yet."""
    note = Problem(severity="note", place=model.order.ref, message=message, hint=hint)
    return msgspec.structs.replace(model, identified=False, problems=(*model.problems, note))


def _as_there(model: ResolvedModel, there: ResolvedModel, machine: Machine, adapter: str) -> ResolvedModel:
    """A model of this computer that lies on that machine under another name. `adapter`: where its adapter is."""
    order = msgspec.structs.replace(model.order, path=there.order.path, revision=there.order.revision, adapter=adapter)
    facts = msgspec.structs.replace(there.facts, adapter=model.facts.adapter)
    message = f"{order.title} is on {machine.title} as {order.path}: its files are the same."
    note = Problem(severity="note", place=order.ref, message=message)
    return msgspec.structs.replace(there, order=order, facts=facts, problems=(*there.problems, note))
