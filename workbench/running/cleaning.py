"""What takes room and serves nobody any more: what deleted trials have trained, and merged models of the cache, which
are made again when a trial asks for them. Any store, any process; blocking.

A deleted trial is one that this database has deleted itself: the artifacts of other databases' trials are left alone.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engines.models import artifacts, merged_cache
from engines.models.artifacts import Made
from engines.protocol.places import Places
from workbench.store.operations import FindUnused, ListUnfinished, Store


@dataclass(frozen=True)
class Leftover:
    """A folder that may go."""

    path: Path
    what: str
    bytes: int


def unfinished(store: Store) -> int:
    """Trials that wait or run: what they use is not all known to the store, so nothing is removed meanwhile."""
    return len(store.execute(ListUnfinished()))


def leftovers(store: Store, places: Places) -> tuple[Leftover, ...]:
    """What may go. Raises `StoreError`, OSError."""
    folders = {folder.name: folder for folder in _folders(places.artifacts)}
    made = {trial: tuple(_manifests(folder)) for trial, folder in folders.items()}
    unused = _without_bases(set(store.execute(FindUnused(trials=tuple(folders)))), folders, made)
    of_trials = (Leftover(folders[t], _named(made[t]), size_of(folders[t])) for t in sorted(unused))
    now_s = time.time()
    merged = (
        Leftover(one.folder, f"{one.made.title}, merged", one.made.bytes)
        for one in merged_cache.entries(places.cache)
        if one.may_go(now_s)
    )
    return (*of_trials, *merged)


def kept_bytes(places: Places, trials: Iterable[str]) -> int:
    """Size of what trials have left on this computer."""
    return sum(size_of(places.artifacts / trial) for trial in trials)


def remove(found: Leftover) -> None:
    """Manifests first: what is half removed is not whole. Raises OSError."""
    for manifest in (found.path.with_name(f"{found.path.name}.json"), *found.path.glob("*.json")):
        manifest.unlink(missing_ok=True)
    shutil.rmtree(found.path)


def size_of(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("*/") if not path.is_symlink())


def _manifests(folder: Path) -> Iterator[Made]:
    for inner in _folders(folder):
        if (made := artifacts.read(inner)) is not None:
            yield made


def _without_bases(
    unused: set[str], folders: Mapping[str, Path], made: Mapping[str, tuple[Made, ...]]
) -> frozenset[str]:
    """Those that no artifact which stays was trained on."""
    while True:
        needed = {
            Path(path)
            for trial in folders.keys() - unused
            for one in made[trial]
            for path in (one.base.path, one.base.adapter)
            if path
        }
        bases = {trial for trial in unused if any(path.is_relative_to(folders[trial]) for path in needed)}
        if not bases:
            return frozenset(unused)
        unused = unused - bases


def _named(made: tuple[Made, ...]) -> str:
    """ "adapter of SmolLM2-135M-Instruct · LoRA, deleted from “LoRA ranks”"."""
    if not made:
        return "unfinished, of a deleted trial"
    kinds = " and ".join(dict.fromkeys(one.artifact for one in made))
    return f"{kinds} of {made[0].title}, deleted from “{made[0].experiment_title}”"
