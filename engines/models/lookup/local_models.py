"""Where models lie on this computer: the Hugging Face cache, the converted starter, LM Studio's and Ollama's stores,
folders the user adds.

Looks at names, sizes and the first bytes of configs; hashes nothing and opens no weights. Broken entries are listed
with what is wrong, or passed over where nothing can be said. Takes milliseconds to a second; call off the main thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from engines.models.files import BrokenModel, folder_files, read_config
from engines.models.hub_cache import hub_caches, snapshots
from engines.models.lookup.catalogue import STARTER_ASIDE, catalogue, find_entry
from engines.models.lookup.local_model import LocalModel
from engines.models.lookup.trained import trained_models
from engines.protocol.gguf_parts import model_stem, parts_of
from engines.protocol.places import Places

_MAX_DEPTH = 4
"""How deep a user's folder is searched: store/publisher/model/file."""
_MAX_FOLDERS = 5000
_MAX_MANIFEST_BYTES = 1_000_000


def local_models(places: Places, extra_folders: Sequence[Path] = ()) -> tuple[LocalModel, ...]:
    """Everything found, the starter first, each path once."""
    found: dict[str, LocalModel] = {}
    for model in _all(places, extra_folders):
        found.setdefault(os.path.realpath(model.path), model)
    return tuple(found.values())


def hub_snapshot(repository: str) -> Path | None:
    """The newest complete-looking snapshot of a hub repository in the cache, `main` before others; None without one."""
    for cache in hub_caches():
        folder = cache / f"models--{repository.replace('/', '--')}"
        snapshot = _snapshot(folder)
        if snapshot is not None:
            return snapshot
    return None


def hub_file(repository: str, name: str) -> Path | None:
    """A GGUF file of a hub repository in the cache, all its parts there; None without one."""
    for cache in hub_caches():
        for snapshot in _folders(cache / f"models--{repository.replace('/', '--')}" / "snapshots"):
            if all(part.is_file() for part in parts_of(snapshot / name)):
                return snapshot / name
    return None


def _snapshot(folder: Path) -> Path | None:
    return next((path for path in snapshots(folder) if (path / "config.json").is_file()), None)


def _all(places: Places, extra_folders: Sequence[Path]) -> Iterator[LocalModel]:
    starter = next(e for e in catalogue() if e.starter)
    folder = places.starter_model
    if (folder / "config.json").is_file():
        made = _folder_model(folder, starter.id, f"{starter.title} ({STARTER_ASIDE})", "starter")
        yield msgspec.structs.replace(made, aside=STARTER_ASIDE)
    yield from trained_models(places)
    for cache in hub_caches():
        yield from _hub(cache)
    for store in ("~/.lmstudio/models", "~/.cache/lm-studio/models"):
        yield from _search(Path(store).expanduser(), "LM Studio")
    yield from _ollama(Path(os.environ.get("OLLAMA_MODELS", "") or "~/.ollama/models").expanduser())
    for extra in extra_folders:
        yield from _search(extra.expanduser(), str(extra))


def _hub(cache: Path) -> Iterator[LocalModel]:
    for folder in _folders(cache):
        if not folder.name.startswith("models--"):
            continue
        repository = folder.name.removeprefix("models--").replace("--", "/", 1)
        snapshot = _snapshot(folder)
        if snapshot is not None:
            entry = find_entry(repository)
            title = entry.title if entry else repository.rpartition("/")[2]
            yield _folder_model(snapshot, repository, title, "Hugging Face cache")


def _search(root: Path, source: str) -> Iterator[LocalModel]:
    """Model folders and GGUF files below a folder; a link that leads back is not followed twice."""
    waiting = [(root, 0)]
    seen: set[str] = set()
    while waiting and len(seen) < _MAX_FOLDERS:
        folder, depth = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            yield _folder_model(folder, str(folder), folder.name, source)
        yield from _gguf_models(folder, source)
        if depth < _MAX_DEPTH:
            waiting.extend((inner, depth + 1) for inner in reversed(_folders(folder)))


def _gguf_models(folder: Path, source: str) -> Iterator[LocalModel]:
    """A model in several parts once, by its first part."""
    there = _files(folder, ".gguf")
    for parts in dict.fromkeys(parts_of(file) for file in there):
        missing = sum(part not in there for part in parts)
        yield LocalModel(
            ref=str(parts[0]),
            title=model_stem(parts[0]),
            source=source,
            kind="gguf",
            path=str(parts[0]),
            size_bytes=sum(_size(part) for part in parts),
            problem=f"{missing} of its {len(parts)} parts {'are' if missing > 1 else 'is'} missing." if missing else "",
        )


class _Layer(msgspec.Struct, frozen=True):
    mediaType: str = ""
    digest: str = ""
    size: int = 0


class _Manifest(msgspec.Struct, frozen=True):
    layers: tuple[_Layer, ...] = ()


def _ollama(store: Path) -> Iterator[LocalModel]:
    """Ollama keeps manifests/REGISTRY/NAMESPACE/MODEL/TAG, JSON that names the blob with the weights."""
    for registry in _folders(store / "manifests"):
        for file in sorted(path for path in registry.glob("*/*/*") if path.is_file()):
            try:
                if file.stat().st_size > _MAX_MANIFEST_BYTES:
                    continue
                manifest = msgspec.json.decode(file.read_bytes(), type=_Manifest)
            except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
                continue
            layer = next((x for x in manifest.layers if x.mediaType.endswith("image.model")), None)
            if layer is None or "/" in layer.digest:
                continue
            blob = store / "blobs" / layer.digest.replace(":", "-")
            there = blob.is_file()
            yield LocalModel(
                ref=str(blob),
                title=f"{file.parent.name}:{file.name}",
                source="Ollama",
                kind="gguf",
                path=str(blob),
                size_bytes=_size(blob) if there else layer.size,
                problem="" if there else "The weights are missing in Ollama's store: pull the model again.",
            )


def _folder_model(folder: Path, ref: str, title: str, source: str) -> LocalModel:
    architecture = problem = ""
    weights: tuple[Path, ...] = ()
    try:
        architecture = str(read_config(folder)["model_type"])
        weights = folder_files(folder).weights
    except (BrokenModel, OSError) as error:
        problem = str(error)
    return LocalModel(
        ref=ref,
        title=title,
        source=source,
        kind="folder",
        path=str(folder),
        size_bytes=sum(_size(file) for file in weights),
        architecture=architecture,
        problem=problem,
    )


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _files(folder: Path, suffix: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == suffix and path.is_file())
    except OSError:
        return []


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
