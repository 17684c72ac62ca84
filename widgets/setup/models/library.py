"""What models there are to choose from: found on this computer, in the catalogue, named by the experiment. No Qt.

`scan` reads folders and headers: call it off the main thread. Everything else is arithmetic on its result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engines.models.lookup.local_model import LocalModel
from engines.models.lookup.local_models import local_models
from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.places import Places
from engines.techniques import ModelFacts


@dataclass(frozen=True)
class Library:
    """`facts` and `problems` by ref; a GGUF file's facts are read when it is chosen."""

    models: tuple[LocalModel, ...] = ()
    facts: dict[str, ModelFacts] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    starter_here: bool = False
    scanned: bool = False


def scan(places: Places, folders: Sequence[Path], added: Sequence[str]) -> Library:
    """Look through the model folders of this computer, those the user added, and single models the user added."""
    found = {model.ref: model for model in local_models(places, folders)}
    facts: dict[str, ModelFacts] = {}
    problems = {ref: model.problem for ref, model in found.items() if model.problem}
    for ref, model in found.items():
        if model.problem or model.kind == "gguf":
            continue
        resolved = resolve(ref, places, Path.cwd())
        if isinstance(resolved, ResolvedModel):
            facts[ref] = resolved.facts
        else:
            problems[ref] = resolved.message
    paths = {model.path for model in found.values()}
    for ref in added:
        if ref in found or ref in paths:
            continue
        resolved = resolve(ref, places, Path.cwd())
        found[ref] = _added(ref, resolved)
        if isinstance(resolved, ResolvedModel):
            facts[ref] = resolved.facts
        else:
            problems[ref] = resolved.message
    return Library(
        models=tuple(found.values()),
        facts=facts,
        problems=problems,
        starter_here=(places.starter_model / "config.json").is_file(),
        scanned=True,
    )


def _added(ref: str, resolved: object) -> LocalModel:
    path = Path(ref)
    if isinstance(resolved, ResolvedModel):
        return LocalModel(
            ref=ref,
            title=resolved.order.title,
            source="added",
            kind="gguf" if resolved.order.kind == "gguf" else "folder",
            path=str(path),
            size_bytes=resolved.facts.stored_bytes,
            architecture=resolved.facts.architecture,
        )
    return LocalModel(
        ref=ref,
        title=path.name or ref,
        source="added",
        kind="gguf" if path.suffix == ".gguf" else "folder",
        path=str(path),
        size_bytes=0,
    )
