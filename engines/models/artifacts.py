"""What training leaves: adapters, models and checkpoints, each a folder in the home of the workbench and a manifest
beside it. A folder without a manifest is not whole. No torch; any thread, any process.

    artifacts/TRIAL/adapter/  adapter.json        what `keep` asks for
    artifacts/TRIAL/model/    model.json
    artifacts/TRIAL/step-40/  step-40.json        a checkpoint

A folder is written under another name, brought to the disk and renamed; its manifest follows in the same way.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from engines.models.files import BrokenModel
from engines.models.identity import folder_fingerprint, read_digest
from engines.protocol.orders import AfterOrder, ModelOrder, ResumeOrder, TechniqueOrder
from engines.protocol.private import private_folder, write_private

Kind = Literal["adapter", "model", "checkpoint"]
PEFT_CONFIG = "adapter_config.json"
"""What makes a folder an adapter of peft."""
PEFT_WEIGHTS = "adapter_model.safetensors"
TRAINED = "trained.safetensors"
"""Tensors in place of the base's own: what a method without adapters has trained."""
_CHECKPOINT = "step-"
_DRAFT = ".part"
_KEPT = ("model", "adapter")


class Made(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The manifest of an artifact."""

    artifact: Kind
    trial: str
    title: str
    """Of the trial: "SmolLM2-135M-Instruct · LoRA"."""
    experiment_title: str
    step: int
    """Steps that were done."""
    base: ModelOrder
    """The model that was trained; an adapter needs it."""
    techniques: tuple[TechniqueOrder, ...] = ()
    merged_into: str = ""
    """Of a merged model: what the adapter was merged into, in words."""
    bytes: int = 0
    sha256: str = ""
    """ "sha256:…" over names and contents of the files; of a model it is the fingerprint."""


def place_of(artifacts: Path, trial: str, name: str) -> Path:
    """The folder of an artifact: `name` is "adapter", "model" or `checkpoint_name(step)`."""
    return artifacts / trial / name


def checkpoint_name(step: int) -> str:
    return f"{_CHECKPOINT}{step}"


def write(folder: Path, made: Made, fill: Callable[[Path], None]) -> Made:
    """Make an artifact: `fill` writes its files into the folder it is given. -> its manifest. Raises OSError and what
    `fill` raises; then nothing of it is left."""
    private_folder(folder.parent)
    draft = folder.with_name(f".{folder.name}{_DRAFT}")
    shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
    try:
        draft.mkdir(mode=0o700)
        fill(draft)
        files = _files(draft)
        for file in files:
            _to_disk(file)
        _to_disk(draft)
        made = msgspec.structs.replace(made, bytes=sum(f.stat().st_size for f in files), sha256=digest(draft))
        remove(folder)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    manifest = manifest_of(folder)
    unfinished = manifest.with_name(f".{manifest.name}{_DRAFT}")
    write_private(unfinished, msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    _to_disk(unfinished)
    unfinished.replace(manifest)
    _to_disk(folder.parent)
    return made


def remove(folder: Path) -> None:
    """Take an artifact away, its manifest first: what is half removed is not whole. Raises OSError."""
    manifest_of(folder).unlink(missing_ok=True)
    if folder.exists():
        shutil.rmtree(folder)


def discard_unfinished(artifacts: Path, trial: str) -> None:
    """Remove what a worker that was killed has left half written; its trial has ended. What cannot be removed stays."""
    for path in list((artifacts / trial).glob("*")):
        if path.is_dir() and read(path) is None:
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.endswith(_DRAFT):
            with contextlib.suppress(OSError):
                path.unlink()


def read(folder: Path) -> Made | None:
    """The manifest of an artifact; None where there is none, or none that can be read."""
    try:
        return msgspec.json.decode(manifest_of(folder).read_bytes(), type=Made)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def check(folder: Path, made: Made) -> None:
    """Raise `BrokenModel` unless the files are those that were written. Reads them all. Raises OSError."""
    if not folder.is_dir():
        raise BrokenModel(f"{folder} is gone.", "Train again with the same experiment; nothing else depends on it.")
    found = digest(folder)
    if found != made.sha256:
        raise BrokenModel(
            f"The files in {folder} are not those that trial {made.trial} wrote: they hash to {found[:19]}…, "
            f"not {made.sha256[:19]}….",
            "They were changed or damaged. Train again; the trial's figures are stored and stay as they are.",
        )


def digest(folder: Path, of: Callable[[Path], str] = read_digest) -> str:
    """ "sha256:…" of the files in a folder, as they are on the disk now unless `of` remembers. Raises OSError."""
    return folder_fingerprint((file.name, of(file)) for file in _files(folder))


def check_adapter(folder: Path) -> None:
    """Raise `BrokenModel` for an adapter of peft whose weights are pickled: peft would unpickle them."""
    if (folder / PEFT_CONFIG).is_file() and not (folder / PEFT_WEIGHTS).is_file():
        raise BrokenModel(
            f"The adapter {folder} has no {PEFT_WEIGHTS}.",
            "Weights in pickle files (adapter_model.bin) are not loaded: convert them to safetensors.",
        )


def checkpoints(artifacts: Path, trial: str) -> list[tuple[Path, Made]]:
    """The whole checkpoints of a trial, the newest first."""
    found = ((folder, read(folder)) for folder in (artifacts / trial).glob(f"{_CHECKPOINT}*") if folder.is_dir())
    return sorted(((f, m) for f, m in found if m is not None), key=lambda pair: pair[1].step, reverse=True)


def model_of(artifacts: Path, after: AfterOrder, model: ModelOrder) -> ModelOrder | None:
    """The model that a trial has kept, in the place of one that was planned; None where it is not there, whole."""
    folder = place_of(artifacts, after.trial, after.artifact)
    made = read(folder)
    if made is None or not folder.is_dir():
        return None
    if after.artifact == "adapter":
        base = msgspec.structs.replace(made.base, ref=model.ref, title=model.title)
        return msgspec.structs.replace(base, adapter=str(folder), adapter_hash=made.sha256)
    origin = "; ".join(part for part in (model.origin, made.merged_into and f"merged into {made.merged_into}") if part)
    return ModelOrder(
        ref=model.ref, title=model.title, kind="folder", path=str(folder), origin=origin, fingerprint=made.sha256
    )


def sound(candidates: Sequence[tuple[Path, Made]]) -> tuple[Path, Made] | None:
    """The first whose files are those that were written."""
    for folder, made in candidates:
        try:
            check(folder, made)
        except (BrokenModel, OSError):
            continue
        return folder, made
    return None


def resumable(artifacts: Path, trial: str, before: str = "") -> ResumeOrder | None:
    """The newest whole checkpoint of a trial, or the one at `before` that it continued from itself; None where there is
    none. Reads it whole. Raises `BrokenModel` where all of them are damaged."""
    written = checkpoints(artifacts, trial)
    earlier = Path(before)
    if earlier.parent.parent == artifacts and earlier.name != ".." and (made := read(earlier)) is not None:
        written.append((earlier, made))  # where checkpoints lie: a record from elsewhere may name any folder
    found = sound(written)
    if found is None:
        if written:
            raise BrokenModel("Its checkpoints are damaged: their files are not those that were written.")
        return None
    folder, made = found
    return ResumeOrder(trial=made.trial, path=str(folder), sha256=made.sha256, step=made.step)


def kept_of(artifacts: Path, trial: str) -> Path | None:
    """What a trial has kept to be used: its model, else its adapter."""
    places = (place_of(artifacts, trial, name) for name in _KEPT)
    return next((place for place in places if read(place) is not None and place.is_dir()), None)


def kept(artifacts: Path) -> Iterator[tuple[Path, Made]]:
    """Every adapter and model of every trial, the newest trial first; a model before its adapter."""
    for trial in sorted(artifacts.glob("*/"), reverse=True):
        for name in _KEPT:
            made = read(trial / name)
            if made is not None and (trial / name).is_dir():
                yield trial / name, made


def manifest_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
