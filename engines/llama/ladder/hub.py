"""A hub model's files on this machine: what is there, and fetching it. Imports huggingface_hub when called; the process
of `engines.llama.ladder.make`, or (never fetching) the worker.

Files that are whole stay in the hub's own cache however a fetch ends; the next one takes up where it ended.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engines.hf import files
from engines.protocol.file_errors import is_forbidden, is_full, what_happened, what_to_do
from engines.protocol.gguf_parts import parts_of
from engines.protocol.orders import ModelOrder
from engines.worker.failures import WorkerFailure, first_line
from engines.worker.hub import hub_name

Report = Callable[[str, float], None]

_FILES = ("*.json", "*.safetensors", "tokenizer.model", "chat_template.jinja")
_SPARE_BYTES = 64 << 20
_PAUSE_S = 0.5
_KEPT = "What was fetched whole is kept, and the next attempt continues from there."


def file_in_repository(model: ModelOrder) -> str:
    """ "folder/FILE.gguf" of a hub model that is one GGUF file of "org/name", "" where the repository is the model."""
    return model.path.split("/", 2)[2] if model.path.count("/") > 1 else ""


def hub_source(model: ModelOrder, *, allow_network: bool, report: Report | None = None) -> Path | None:
    """The snapshot's folder, or the GGUF file in it; None where it is not complete in the cache. Where the network is
    allowed, what is lacking is fetched. Raises `WorkerFailure`."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise WorkerFailure(
            "package",
            f"The package {error.name} is missing: hub models cannot be fetched.",
            "Install it where the runner runs: pip install huggingface_hub",
        ) from error
    repository = "/".join(model.path.split("/")[:2])
    wanted = file_in_repository(model)
    patterns = [file.as_posix() for file in parts_of(Path(wanted))] if wanted else list(_FILES)
    revision = model.revision or None
    try:
        cached = snapshot_download(repository, revision=revision, allow_patterns=patterns, local_files_only=True)
        if (found := _whole(Path(cached), wanted)) is not None:
            return found
    except LocalEntryNotFoundError:
        pass  # nothing, or a part of it
    if not allow_network:
        return None
    try:
        with _room_and_progress(model, repository, patterns, report):
            fetched = snapshot_download(repository, revision=revision, allow_patterns=patterns)
    except WorkerFailure:
        raise
    except Exception as error:  # whatever the library raises: errors of its own, of HTTP, of the disk
        raise _failure(model, error) from error
    return _whole(Path(fetched), wanted)


def _whole(snapshot: Path, wanted: str) -> Path | None:
    """The folder, or the wanted file in it; None where a part is missing or cut short."""
    if wanted:
        file = snapshot / wanted
        return file if all(part.is_file() for part in parts_of(file)) else None
    try:
        files.check_folder(snapshot)
    except WorkerFailure:
        return None
    return snapshot


@contextmanager
def _room_and_progress(
    model: ModelOrder, repository: str, patterns: list[str], report: Report | None
) -> Iterator[None]:
    """Look first whether the model is one and has room, then tell how much has come while the body fetches it."""
    from fnmatch import fnmatch

    from huggingface_hub import HfApi, constants, try_to_load_from_cache

    info = HfApi().model_info(repository, revision=model.revision or None, files_metadata=True)
    there = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    wanted = {name: size for name, size in there.items() if any(fnmatch(name, pattern) for pattern in patterns)}
    _check_contents(model, repository, there, patterns)
    lacking = {
        name: size
        for name, size in wanted.items()
        if not isinstance(try_to_load_from_cache(repository, name, revision=info.sha), str)
    }
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(cache).free, sum(lacking.values()) + _SPARE_BYTES
    if free < needed:
        raise WorkerFailure(
            "fetch",
            f"{model.title} needs {needed / 1e6:,.0f} MB to be fetched; the disk of {cache} has {free / 1e6:,.0f} MB "
            "free.",
            "Nothing was fetched. Free some space, or put the hub's cache elsewhere with HF_HUB_CACHE.",
        )
    blobs = cache / f"models--{repository.replace('/', '--')}" / "blobs"
    with _watched(blobs, sum(lacking.values()), f"Fetching {model.title} from {hub_name()}", report):
        yield


def _check_contents(model: ModelOrder, repository: str, there: dict[str, int], patterns: list[str]) -> None:
    ggufs = sorted(name for name in there if name.endswith(".gguf"))
    wanted = file_in_repository(model)
    missing = [name for name in patterns if name not in there] if wanted else []
    if missing:
        named = f"It holds {', '.join(ggufs[:8])}{', ...' if len(ggufs) > 8 else ''}." if ggufs else ""
        raise WorkerFailure(
            "model", f"{repository} on {hub_name()} has no file {missing[0]}.", f"Check the name. {named}".strip()
        )
    if not wanted and ("config.json" not in there or not any(name.endswith(".safetensors") for name in there)):
        advice = "Choose a repository with config.json and *.safetensors, or a GGUF file of one."
        if ggufs:
            more = f" (it holds {len(ggufs)})" if len(ggufs) > 1 else ""
            advice = f"Choose one of its GGUF files{more}: {repository}/{ggufs[0]}"
        raise WorkerFailure("model", f"{repository} on {hub_name()} holds no weights in safetensors.", advice)


@contextmanager
def _watched(folder: Path, total_bytes: int, text: str, report: Report | None) -> Iterator[None]:
    """Tell every half second how many bytes have come: by the files, because libraries tell it in ways of their own."""
    if report is None or not total_bytes:
        yield
        return
    ended, before = threading.Event(), _bytes_in(folder)

    def watch() -> None:
        while not ended.wait(_PAUSE_S):
            come = min(max(0, _bytes_in(folder) - before), total_bytes)
            report(f"{text}: {come / 1e6:,.0f} of {total_bytes / 1e6:,.0f} MB", come / total_bytes)

    report(f"{text}: {total_bytes / 1e6:,.0f} MB", 0.0)
    watcher = threading.Thread(target=watch, name="hub", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _bytes_in(folder: Path) -> int:
    """On the disk: a file that is written at its end first is no larger for it."""
    total = 0
    try:
        for file in folder.iterdir():
            total += file.stat().st_blocks * 512
    except OSError:  # renamed or removed meanwhile
        return total
    return total


def _failure(model: ModelOrder, error: BaseException) -> WorkerFailure:
    """In words. The library's own errors are looked for in what they came from, too."""
    from huggingface_hub import constants, errors

    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    status = next((e.response.status_code for e in chain if isinstance(e, errors.HfHubHTTPError)), 0)
    repository = "/".join(model.path.split("/")[:2])
    of_disk = next((e for e in chain if isinstance(e, OSError) and (is_full(e) or is_forbidden(e))), None)
    if of_disk is not None:
        cache = Path(constants.HF_HUB_CACHE)
        return WorkerFailure(
            "fetch",
            f"{model.title} could not be fetched. {what_happened(of_disk, cache)}",
            f"{_KEPT} {what_to_do(of_disk, cache)} HF_HUB_CACHE puts the hub's cache elsewhere.",
        )
    if any(isinstance(e, errors.GatedRepoError) for e in chain) or status == 403:
        return WorkerFailure(
            "model",
            f"{repository} is gated: its owner gives it only to those who have agreed to its terms.",
            f"Agree on its page on {hub_name()}, then log in on this computer: hf auth login",
        )
    if any(isinstance(e, errors.RevisionNotFoundError) for e in chain):
        return WorkerFailure(
            "model", f"{repository} has no revision {model.revision}.", "Check the revision, or leave it out."
        )
    if any(isinstance(e, errors.RepositoryNotFoundError) for e in chain) or status in (401, 404):
        return WorkerFailure(
            "model",
            f"{hub_name()} has no model {repository}, or does not show it to you.",
            "Check the name. For a private model log in on this computer first: hf auth login",
        )
    if status:
        return WorkerFailure(
            "fetch", f"{hub_name()} refused {model.title} (HTTP {status}).", f"Try again later. {_KEPT}"
        )
    return WorkerFailure(
        "fetch",
        f"{model.title} could not be fetched from {hub_name()}: {first_line(chain[-1])}",
        f"Check the network and try again. {_KEPT}",
    )
