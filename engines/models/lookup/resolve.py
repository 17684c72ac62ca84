"""From what a user wrote to a model: catalogue id, "random:ID", folder, GGUF file or hub id.

Reads configs and headers, downloads nothing, loads nothing heavy. Any thread; takes milliseconds, up to a second for a
GGUF file with a large vocabulary that has not been read before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engines.models.files import BrokenModel
from engines.models.lookup.catalogue import STARTER_ASIDE, CatalogueEntry, catalogue, find_entry
from engines.models.lookup.facts import FLOATS, inspect_folder, inspect_gguf
from engines.models.lookup.local_models import hub_file, hub_snapshot
from engines.models.lookup.resolved import ResolvedModel
from engines.models.lookup.self_check import SELF_CHECK, resolved_model
from engines.models.lookup.shapes import SHAPE, resolved_shape
from engines.models.lookup.trained import is_adapter, of_adapter, of_model
from engines.protocol.gguf_parts import model_stem, parts_of
from engines.protocol.orders import TRAINED, ModelOrder
from engines.protocol.places import Places
from engines.protocol.problems import Fix, Problem
from engines.protocol.settings import did_you_mean
from engines.techniques import ModelFacts
from engines.techniques.architecture.shapes import SHAPES

RANDOM = "random:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_FILE = re.compile(rf"({_HUB_ID.pattern})/((?:[\w.-]+/)*[\w.-]+\.gguf)")
_NAMED = 3
"""So many ignored files are named."""
_STARTER_ORIGIN = f"dequantised {STARTER_ASIDE}"


def resolve(ref: str, places: Places, base: Path) -> ResolvedModel | Problem:
    """The model that `ref` names, or what is wrong and what to do. Relative paths start at `base`. What the model is
    the same as is not looked at: its order has no fingerprint (`workbench.models.identity`).

    In this order: "random:ID" and "shape/NAME"; an id of the catalogue; a path that exists; a hub id. Never raises for
    what is written.
    """
    ref = ref.strip()
    try:
        return _resolve(ref, places, base)
    except BrokenModel as error:
        return _problem(ref, str(error), error.advice)
    except (OSError, ValueError, RuntimeError) as error:
        # ValueError: a null character in a path; RuntimeError: "~name" of nobody
        return _problem(ref, f"The model cannot be read: {getattr(error, 'strerror', None) or error}.")


def _resolve(ref: str, places: Places, base: Path) -> ResolvedModel | Problem:
    if ref.startswith(RANDOM):
        return _random(ref)
    if ref.startswith(TRAINED):
        return _trained_first(ref)
    if ref.startswith(SHAPE):
        return _shape(ref)
    entry = next((e for e in catalogue() if e.id == ref), None)
    if entry is not None:
        return _of_catalogue(entry, places)
    path = base / Path(ref).expanduser()
    if ref and path.exists():
        return _of_path(ref, path.absolute(), places, base)
    on_hub = _HUB_FILE.fullmatch(ref)
    if on_hub and not (base / on_hub[1].partition("/")[0]).exists():  # else a path with a slip in it
        return _of_hub_file(ref, on_hub[1], on_hub[2], places)
    if ref.startswith(("/", "~", ".")) or ref.endswith((".gguf", ".safetensors")) or not ref:
        return _problem(ref, "There is no such file or folder.", f"Looked at {path.absolute()}." if ref else "")
    if _HUB_ID.fullmatch(ref):
        return _of_hub(ref, places)
    hint = did_you_mean(ref, [e.id for e in catalogue()], show=0)
    return _problem(
        ref,
        "Unknown model.",
        hint
        or "Give a catalogue id (llm-workbench models), a folder, a GGUF file or a hub id like org/name or "
        "org/name/FILE.gguf.",
    )


def _trained_first(ref: str) -> ResolvedModel:
    """A model that its experiment trains: known only with the experiment (`workbench.plan.trained_first`)."""
    aside = "trained by this experiment"
    title = f"{ref.removeprefix(TRAINED)} ({aside})"
    facts = msgspec.structs.replace(_unknown_facts(), kind="folder")
    return ResolvedModel(order=ModelOrder(ref=ref, title=title, aside=aside, kind="folder", trained=ref), facts=facts)


def _random(ref: str) -> ResolvedModel | Problem:
    if ref == SELF_CHECK:
        return resolved_model()
    entry = find_entry(ref.removeprefix(RANDOM))
    if entry is None:
        known = [e.id for e in catalogue()]
        hint = did_you_mean(ref.removeprefix(RANDOM), known)
        return _problem(ref, "Random weights need an architecture of the catalogue.", hint)
    return ResolvedModel(order=entry.random_order(), facts=entry.facts("random"), quality_available=False)


def _shape(ref: str) -> ResolvedModel | Problem:
    name = ref.removeprefix(SHAPE)
    return resolved_shape(name) or _problem(ref, "There is no such shape.", did_you_mean(name, tuple(SHAPES)))


def _of_catalogue(entry: CatalogueEntry, places: Places) -> ResolvedModel | Problem:
    folder = places.starter_model
    if entry.starter and (folder / "config.json").is_file():
        return _folder(
            entry.id, folder, f"{entry.title} ({STARTER_ASIDE})", aside=STARTER_ASIDE, origin=_STARTER_ORIGIN
        )
    snapshot = hub_snapshot(entry.hub)
    unfinished = ""
    if snapshot is not None:
        try:
            return _folder(entry.id, snapshot, entry.title, revision=snapshot.name)
        except BrokenModel as error:
            unfinished = f" What is in the hub's cache is not whole: {error}"
    if entry.starter:
        hint = "Fetch it with: llm-workbench models --fetch-starter (93 MB); llm-workbench demo does it too."
    else:
        hint = "Run it with random weights (speed and memory are true), or let it be downloaded when it runs."
    return _problem(
        entry.id,
        f"{entry.title} is not downloaded.{unfinished}",
        hint,
        (
            Fix("Random weights", f"models.{entry.id}", f"{RANDOM}{entry.id}"),
            Fix("Download when it runs", f"models.{entry.id}", entry.hub),
        ),
    )


def _of_path(ref: str, path: Path, places: Places, base: Path) -> ResolvedModel | Problem:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = str(path).encode("utf-8", "backslashreplace").decode()
        hint = "Rename the folder, or make a link to it with a plain name."
        return _problem(shown, "The model's path is not UTF-8: no experiment can name it.", hint)
    if path.is_dir():
        if is_adapter(path):
            return of_adapter(ref, path, places, lambda named: resolve(named, places, base))
        return of_model(_folder(ref, path, path.name))
    if path.suffix == ".safetensors":
        return _problem(ref, "One weight file alone is not a model.", f"Give its folder: {path.parent}")
    path = parts_of(path)[0]  # llama.cpp begins with the first, whichever was chosen
    facts, name = inspect_gguf(path)
    title = model_stem(path) if path.suffix == ".gguf" else name or path.name
    order = ModelOrder(
        ref=ref,
        title=title,
        kind="gguf",
        path=str(path),
        # of unquantised weights nobody has to be warned
        origin="" if facts.stored_dtype in FLOATS else f"stored as {facts.stored_dtype}",
    )
    return ResolvedModel(order=order, facts=facts, quality_available=facts.has_tokenizer)


def _of_hub(ref: str, places: Places) -> ResolvedModel | Problem:
    snapshot = hub_snapshot(ref)
    unfinished = ""
    if snapshot is not None:
        try:
            return _folder(ref, snapshot, ref.rpartition("/")[2], revision=snapshot.name)
        except BrokenModel as error:
            # most often a fetch that ended early: the next one continues it
            unfinished = f"What is in the hub's cache is not whole: {error}"
    entry = find_entry(ref)
    facts = entry.facts("hub") if entry else _unknown_facts()
    hint = unfinished or ("" if entry else "Its size, and so what it needs, is not known before.")
    order = ModelOrder(ref=ref, title=entry.title if entry else ref.rpartition("/")[2], kind="hub", path=ref)
    return ResolvedModel(order=order, facts=facts, problems=(_fetched_later(ref, hint),))


def _of_hub_file(ref: str, repository: str, name: str, places: Places) -> ResolvedModel | Problem:
    """One GGUF model in a repository: "org/name/FILE.gguf"."""
    file = hub_file(repository, name)
    if file is not None:
        return _of_path(ref, file, places, file.parent)
    # a GGUF file as far as anything can be said of it: no engine but llama.cpp fetches one
    facts = msgspec.structs.replace(_unknown_facts(), kind="gguf")
    order = ModelOrder(ref=ref, title=model_stem(Path(name)), kind="hub", path=f"{repository}/{name}")
    note = _fetched_later(ref, "Its size, and so what it needs, is not known before.")
    return ResolvedModel(order=order, facts=facts, problems=(note,))


def _fetched_later(ref: str, hint: str) -> Problem:
    message = f"{ref} will be downloaded from the Hugging Face hub when it runs."
    return Problem(severity="note", place=ref, message=message, hint=hint)


def _folder(
    ref: str, folder: Path, title: str, *, aside: str = "", revision: str = "", origin: str = ""
) -> ResolvedModel:
    facts, ignored = inspect_folder(folder)
    order = ModelOrder(
        ref=ref,
        title=title,
        aside=aside,
        kind="folder",
        path=str(folder.absolute()),
        revision=revision,
        origin=origin or (f"stored as {facts.quantised}" if facts.quantised else ""),
        stored=facts.quantised,
    )
    problems = (_not_read(ref, title, ignored),) if ignored else ()
    return ResolvedModel(order=order, facts=facts, quality_available=facts.has_tokenizer, problems=problems)


def _not_read(ref: str, title: str, ignored: Sequence[str]) -> Problem:
    """A folder with more weights than the model's: whoever put them there may have meant those."""
    named = ", ".join(ignored[:_NAMED]) + (f" and {len(ignored) - _NAMED} more" if len(ignored) > _NAMED else "")
    message = f"{title}: {named} in its folder {'is' if len(ignored) == 1 else 'are'} not read."
    hint = "As in transformers, model.safetensors comes first, then the shards that model.safetensors.index.json names."
    return Problem(severity="note", place=ref, message=message, hint=hint)


def _unknown_facts() -> ModelFacts:
    return ModelFacts(kind="hub", architecture="", parameters=0, stored_bytes=0, stored_dtype="")


def _problem(ref: str, message: str, hint: str = "", fixes: tuple[Fix, ...] = ()) -> Problem:
    return Problem(
        severity="error",
        place=ref or "models",
        message=message,
        hint=hint,
        fixes=(*fixes, Fix("Leave out", f"models.{ref}", None)),
    )
