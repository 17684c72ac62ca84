"""Models that training made: adapters with their base, merged models, and adapters from elsewhere. Any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from engines.models import artifacts
from engines.models.artifacts import PEFT_CONFIG, TRAINED, Made
from engines.models.files import BrokenModel
from engines.models.identity import SCHEME, Digests
from engines.models.lookup.local_model import LocalModel
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places
from engines.protocol.problems import Problem
from engines.techniques.finetune import method_of
from engines.techniques.registry import find

SOURCE = "Trained here"
Resolve = Callable[[str], ResolvedModel | Problem]
VIRTUAL_TOKENS = frozenset({"PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING"})
_REPLACED = "weights"


class _Config(msgspec.Struct):
    peft_type: str = ""
    base_model_name_or_path: str | None = None


def trained_models(places: Places) -> Iterator[LocalModel]:
    """What trials have kept, the newest first."""
    for folder, made in artifacts.kept(places.artifacts):
        base = made.base
        gone = made.artifact == "adapter" and base.kind in ("folder", "gguf") and not Path(base.path).exists()
        yield LocalModel(
            ref=str(folder),
            title=title_of(made),
            aside=aside_of(made),
            made_by=made_by(made),
            source=SOURCE,
            kind="folder",
            path=str(folder),
            size_bytes=made.bytes,
            problem=f"Its base model is gone: {base.path}" if gone else "",
        )


def title_of(made: Made) -> str:
    """ "SmolLM2-135M-Instruct · LoRA (adapter)"."""
    return f"{made.title} ({aside_of(made)})"


def aside_of(made: Made) -> str:
    return "adapter" if made.artifact == "adapter" else "trained"


def made_by(made: Made) -> str:
    """ "LoRA, support, 60 steps": what tells the models apart that one base became."""
    order = method_of(made.techniques)
    method = find(order.id) if order is not None else None
    steps = f"{made.step:,} step{'' if made.step == 1 else 's'}"
    return ", ".join(
        part for part in (method.title if method is not None else "", made.experiment_title, steps) if part
    )


def is_adapter(folder: Path) -> bool:
    return not (folder / "config.json").is_file() and any((folder / name).is_file() for name in (PEFT_CONFIG, TRAINED))


def of_adapter(ref: str, folder: Path, places: Places, resolve: Resolve) -> ResolvedModel | Problem:
    """The base with the adapter in `folder` on it. Raises `BrokenModel`, OSError."""
    made = artifacts.read(folder)
    config = _config(folder)
    if config.peft_type in VIRTUAL_TOKENS:
        raise BrokenModel(
            f"{folder.name} holds virtual tokens ({config.peft_type}), which cannot be generated from here.",
            "Compare them by the held-out loss of their training trials.",
        )
    artifacts.check_adapter(folder)
    found = artifacts.digest(folder, Digests(places.digests).of)
    if made is not None and found != made.sha256:
        artifacts.check(folder, made)
    base = _base(folder, made, config, resolve)
    if isinstance(base, Problem):
        message = f"The base model of the adapter {folder} cannot be used: {base.message}"
        return msgspec.structs.replace(base, place=ref, message=message)
    order = msgspec.structs.replace(
        base.order,
        ref=ref,
        title=title_of(made) if made is not None else f"{base.order.title} with {folder.name}",
        aside=aside_of(made) if made is not None else "",
        adapter=str(folder),
        adapter_hash=found,
    )
    facts = msgspec.structs.replace(base.facts, adapter=config.peft_type or _REPLACED)
    return msgspec.structs.replace(base, order=order, facts=facts)


def of_model(model: ResolvedModel) -> ResolvedModel:
    """A folder; where a trial of ours wrote it, with the title and the cautions that go with that."""
    made = artifacts.read(Path(model.order.path))
    if made is None or made.artifact != "model":
        return model
    into = f"merged into {made.merged_into}" if made.merged_into else ""
    origin = "; ".join(part for part in (made.base.origin, into) if part)
    order = msgspec.structs.replace(model.order, title=title_of(made), aside=aside_of(made), origin=origin)
    return msgspec.structs.replace(model, order=order)


def check_identity(order: ModelOrder) -> None:
    """Raise `BrokenModel` where a model whose fingerprint is known is not the one that training wrote or used."""
    if order.adapter:
        made = artifacts.read(Path(order.adapter))
        if made is not None and made.base.fingerprint.startswith(SCHEME) and made.base.fingerprint != order.fingerprint:
            raise BrokenModel(
                f"{order.path} is not the model that the adapter {order.adapter} was trained on.",
                "Its files have changed. Bring them back as they were, or train again on the model as it is.",
            )
        return
    made = artifacts.read(Path(order.path)) if order.kind == "folder" else None
    if made is not None and made.artifact == "model" and made.sha256 != order.fingerprint:
        raise BrokenModel(
            f"The files in {order.path} are not those that trial {made.trial} wrote.",
            "They were changed or damaged. Train again; the trial's figures are stored and stay as they are.",
        )


def _config(folder: Path) -> _Config:
    file = folder / PEFT_CONFIG
    if not file.is_file():
        return _Config()
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Config)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenModel(f"{file} cannot be read: {error}.", "Fetch the adapter again.") from error


def _base(folder: Path, made: Made | None, config: _Config, resolve: Resolve) -> ResolvedModel | Problem:
    """Of an adapter made here the model that was trained, at the same place; of another the one it names."""
    if made is None:
        if not config.base_model_name_or_path:
            raise BrokenModel(f"{folder} does not say what base model the adapter belongs to.", "Merge it elsewhere.")
        return resolve(config.base_model_name_or_path)
    base = made.base
    first = resolve(base.ref)
    if isinstance(first, ResolvedModel) and first.order.path == base.path:
        return first
    return resolve(base.path or base.ref)
