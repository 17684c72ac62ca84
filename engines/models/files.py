"""Which files make a model: one rule for plan, bytes, fingerprint, both engines and the GGUF converter.

For a folder it is transformers' rule (`modeling_utils._get_resolved_checkpoint_files`, 5.23): the file that the config
names as `transformers_weights`, else model.safetensors, else the shards that model.safetensors.index.json names.
Pickled weights come next there and are refused here. Looks at names, reads config and index; any thread, any process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import msgspec

from engines.protocol.gguf_parts import parts_of
from engines.protocol.problems import Advised

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_ADVICE = "A model folder holds config.json, model.safetensors (or shards with their index) and the tokenizer's files."
_FINISH = "The download may not have finished: start it again."
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "*.bin.index.json", "*.pth", "*.pt")
"""What weights are called, whoever reads them."""
_NO_WEIGHTS = frozenset({"optimizer.pt", "scheduler.pt", "scaler.pt"})
"""What a training leaves beside them, and states of random generators ("rng_state*")."""
_DECIDING = (
    "*.json", "*.jinja", "additional_chat_templates/*.jinja", "*.model", "*.tiktoken", "*.spm", "*.codes", "*.py",
)  # fmt: skip
"""Files besides the weights that may decide a run: config, generation config, tokenizer, chat templates, code."""
_VOCABULARIES = frozenset({"vocab.txt", "merges.txt", "dict.txt", "vocab.bpe"})
_NOT_DECIDING = frozenset({"trainer_state.json", "all_results.json", "eval_results.json", "train_results.json"})


class BrokenModel(Advised):
    """A file or folder that is no whole model. `advice` says what to do."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model, all of them there, as absolute or relative as the path they were asked for by."""

    weights: tuple[Path, ...]
    """Of a folder in order of name; the parts of a GGUF model in order."""
    others: tuple[Path, ...] = ()
    """What decides a run besides them, in order of name."""
    ignored: tuple[str, ...] = ()
    """Names of files that look like weights of the model and are not read."""

    @property
    def all(self) -> tuple[Path, ...]:
        return self.weights + self.others


def model_files(path: Path) -> ModelFiles:
    """The files of the model in a folder, or of a GGUF model by one of its parts. Raises `BrokenModel`, OSError."""
    return folder_files(path) if path.is_dir() else ModelFiles(parts_of(path))


def read_config(folder: Path) -> dict[str, object]:
    """config.json of a model folder, with its `model_type`. Raises `BrokenModel`, OSError."""
    file = folder / "config.json"
    if not file.is_file():
        raise BrokenModel(f"{folder} is not a model folder: it has no config.json.", _ADVICE)
    try:
        config = msgspec.json.decode(file.read_bytes(), type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenModel(f"config.json in {folder} cannot be read: {error}.", "Download the model again.") from error
    if not isinstance(config.get("model_type"), str):
        raise BrokenModel(f"config.json in {folder} does not say what architecture it is (model_type).", _ADVICE)
    return config


def folder_files(folder: Path) -> ModelFiles:
    """The files of a folder in Hugging Face format. Raises `BrokenModel`, OSError."""
    config = read_config(folder)
    if (folder / "adapter_config.json").is_file():
        raise BrokenModel(
            f"{folder} holds an adapter (adapter_config.json), which transformers would apply to the weights.",
            "Merge the adapter into the model first, or move the adapter's files elsewhere.",
        )
    leading = _leading(folder, config)
    weights, index = (_shards(leading), (leading,)) if leading.name.endswith(".index.json") else ((leading,), ())
    read = {file.name for file in (*weights, *index)}
    looks_like = {file.name for pattern in _WEIGHTS for file in folder.glob(pattern) if _is_weights(file.name)}
    others = {
        file
        for pattern in _DECIDING
        for file in folder.glob(pattern)
        if file.name not in looks_like and file.name not in _NOT_DECIDING
    }
    others |= {folder / name for name in _VOCABULARIES}
    return ModelFiles(
        weights=weights,
        others=tuple(sorted(file for file in (*others, *index) if file.is_file())),
        ignored=tuple(sorted(looks_like - read)),
    )


def _leading(folder: Path, config: Mapping[str, object]) -> Path:
    """The file with the weights, or the index of their shards."""
    named = config.get("transformers_weights")
    if named is not None:
        if not isinstance(named, str) or not named.endswith((".safetensors", ".safetensors.index.json")):
            raise BrokenModel(f"config.json in {folder} names weights that are no safetensors: {named!r}.", _ADVICE)
        _check_within(folder, "config.json", named)
        if not (folder / named).is_file():
            raise BrokenModel(f"{folder} lacks {named}, the weights that its config.json names.", _FINISH)
        return folder / named
    for name in (SINGLE, INDEX):
        if (folder / name).is_file():
            return folder / name
    if any(folder.glob("*.safetensors")):
        raise BrokenModel(
            f"{folder} has *.safetensors files, but neither {SINGLE} nor {INDEX}: transformers reads no others.",
            f"If one file holds the whole model, rename it to {SINGLE}; of shards, download the index too.",
        )
    pickled = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    advice = "Weights in pickle files (.bin, .pt) are not loaded: convert them to safetensors." if pickled else _FINISH
    raise BrokenModel(f"{folder} holds no *.safetensors weights.", advice)


class _Index(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


def _shards(index: Path) -> tuple[Path, ...]:
    folder = index.parent
    try:
        names = sorted(set(msgspec.json.decode(index.read_bytes(), type=_Index).weight_map.values()))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenModel(f"{index.name} in {folder} cannot be read: {error}.", "Download it again.") from error
    for name in names:
        _check_within(folder, index.name, name)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        more = ", ..." if len(missing) > 1 else ""
        raise BrokenModel(
            f"{len(missing)} of {len(names)} weight files are missing in {folder}: {missing[0]}{more}.", _FINISH
        )
    return tuple(folder / name for name in names)


def _check_within(folder: Path, file: str, name: str) -> None:
    """Raise `BrokenModel` where a file of the model names one outside its folder, which would be read, hashed and
    copied to other machines, or a pickled one. Links of the hub's cache are the user's own and are followed."""
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts or path.suffix not in (".safetensors", ".json"):
        raise BrokenModel(f"{file} in {folder} names what is no weight file of this folder: {name}.", _ADVICE)


def _is_weights(name: str) -> bool:
    return name not in _NO_WEIGHTS and not name.startswith("rng_state")
