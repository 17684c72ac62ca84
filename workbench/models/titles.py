"""Titles of an experiment's models that can be told apart: `run1/final` and `run2/final` are not two rows "final".

Pure; any thread. Called by `workbench.plan.plan.make_plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

import msgspec

from engines.models.lookup.resolved import ResolvedModel

_HUB_CACHE = "snapshots"
"""Folder of a hub repository in its cache: below it nothing says which repository it is."""


def distinct(models: Sequence[ResolvedModel]) -> list[ResolvedModel]:
    """The same models; where titles are shared, each has the shortest end of its path that no other has."""
    groups: dict[str, list[int]] = {}
    for number, model in enumerate(models):
        groups.setdefault(model.order.title, []).append(number)
    found = list(models)
    for title, numbers in groups.items():
        for number, (new, aside) in zip(numbers, _told_apart(title, [_where(models[n]) for n in numbers]), strict=True):
            order = models[number].order
            order = msgspec.structs.replace(order, title=new, aside=order.aside if aside is None else aside)
            found[number] = msgspec.structs.replace(models[number], order=order)
    return found


def _where(model: ResolvedModel) -> tuple[str, ...]:
    """Parts of the path of a model; of one that the hub or the catalogue names, of that name."""
    parts = PurePath(model.order.adapter or model.order.path).parts
    is_path = model.order.kind in ("folder", "gguf") and _HUB_CACHE not in parts
    return parts if is_path else PurePath(model.order.ref).parts


def _told_apart(title: str, places: Sequence[tuple[str, ...]]) -> list[tuple[str, str | None]]:
    """A title for each place, with what it ends with in brackets (None: as before); one place twice is one model, and
    keeps one title."""
    if len(set(places)) == 1:
        return [(title, None)] * len(places)
    same_name = len({place[-1:] for place in places}) == 1
    named: list[tuple[str, str | None]] = []
    for place in places:
        others = [other for other in places if other != place]
        count = next((n for n in range(1, len(place)) if all(o[-n:] != place[-n:] for o in others)), len(place))
        end = place[-count:]
        if same_name:
            named.append((str(PurePath(*end[:-1], title)), None))
        else:
            whole = str(PurePath(*end))
            named.append((whole, "") if PurePath(end[-1]).stem == title else (f"{title} ({whole})", whole))
    return named
