"""A model's files, checked before anything heavy reads them. No torch. Worker process.

The safetensors layout (8 bytes of header length, a JSON header with `data_offsets`, then the data) is described at
https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engines.protocol.gguf_parts import parts_of
from engines.worker.failures import WorkerFailure

_HEADER_MAX = 100 << 20
_EDGE_BYTES = 1 << 20
_WHOLE_MAX_BYTES = 2 << 30
"""Files up to this size are hashed whole; larger ones by size, first and last MiB."""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a safetensors header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    offset_bytes: int
    """Where its data begin, from the start of the file."""


def check_folder(folder: Path) -> None:
    """Raise `WorkerFailure` unless `folder` is a model in Hugging Face format whose safetensors files are whole."""
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "is not there"
        raise WorkerFailure("model", f"The model folder {folder} {what}.", "Choose the model again in Setup.")
    config = folder / "config.json"
    if not config.is_file():
        raise WorkerFailure(
            "model",
            f"{folder} is not a model folder: it has no config.json.",
            "A model folder holds config.json, the weights (*.safetensors) and the tokenizer's files.",
        )
    try:
        kind = json.loads(config.read_text()).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise _broken(config, f"it cannot be read ({error})") from error
    if not kind:
        raise _broken(config, "it names no model_type")
    for name in _indexed(folder):
        if not (folder / name).is_file():
            raise WorkerFailure(
                "model",
                f"{folder.name} is not complete: {name} is missing.",
                "The download was probably interrupted. Fetch the model again.",
            )
    weights = weight_files(folder)
    if not weights:
        raise WorkerFailure(
            "model",
            f"{folder} has a config.json but no weights.",
            "Put the *.safetensors files of the model beside it.",
        )
    for file in weights:
        if file.suffix == ".safetensors":
            tensors(file)


def check_gguf(file: Path) -> None:
    """Raise `WorkerFailure` unless `file` starts like a GGUF file and is the whole model: transformers reads one file
    and would fill what lies in the others with random weights."""
    try:
        with file.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise WorkerFailure(
            "model", f"The GGUF file {file} cannot be read: {error.strerror}.", "Choose the model again in Setup."
        ) from error
    if magic != b"GGUF":
        raise _broken(file, "it does not begin with the GGUF magic")
    if len(parts_of(file)) > 1:
        raise WorkerFailure(
            "model",
            f"{file.name} is one of {len(parts_of(file))} parts of a model, and transformers reads GGUF models in one "
            "file only.",
            "Run it with the llama.cpp engine, or give the model's folder in Hugging Face format.",
        )


def weight_files(folder: Path) -> list[Path]:
    """The files with weights, safetensors where there are any."""
    found = sorted(folder.glob("*.safetensors"))
    return found or sorted([*folder.glob("pytorch_model*.bin")])


def tensors(file: Path) -> list[TensorEntry]:
    """The tensors of a safetensors file. Raises `WorkerFailure` when it is cut short or broken."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or length > min(_HEADER_MAX, size - 8):
                raise _broken(file, f"it is cut short at {size:,} bytes")
            header = json.loads(stream.read(length))
        entries = [
            TensorEntry(
                name,
                str(e["dtype"]),
                tuple(e["shape"]),
                size_bytes=e["data_offsets"][1] - e["data_offsets"][0],
                offset_bytes=8 + length + e["data_offsets"][0],
            )
            for name, e in header.items()
            if name != "__metadata__"
        ]
        end = max((e.offset_bytes + e.size_bytes for e in entries), default=8 + length)
    except OSError as error:
        raise _broken(file, f"it cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _broken(file, "its header is damaged") from error
    if end > size:
        raise _broken(file, f"it is cut short: {size:,} of {end:,} bytes are there")
    return entries


def stored_bytes(path: Path) -> int | None:
    """Bytes of the tensors in a model's safetensors or GGUF files; None for other formats."""
    if path.is_file():
        return sum(map(_gguf_bytes, parts_of(path)))
    files = weight_files(path)
    if not files or files[0].suffix != ".safetensors":
        return None
    return sum(entry.size_bytes for file in files for entry in tensors(file))


def hashes(path: Path) -> Iterator[tuple[str, str]]:
    """(file name, hash) of config, tokenizer and weights, or of each part of a GGUF model. Whole files up to 2 GiB
    ("sha256:…"), larger ones by their size and edges ("sha256-edges:…")."""
    named = [path / n for n in ("config.json", "tokenizer.json")]
    for file in parts_of(path) if path.is_file() else [*named, *weight_files(path)]:
        if file.is_file():
            yield file.name, _hash(file)


def _hash(file: Path) -> str:
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= _WHOLE_MAX_BYTES:
            return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
        digest = hashlib.sha256(str(size).encode())
        digest.update(stream.read(_EDGE_BYTES))
        stream.seek(-_EDGE_BYTES, 2)
        digest.update(stream.read(_EDGE_BYTES))
    return "sha256-edges:" + digest.hexdigest()


def _gguf_bytes(file: Path) -> int:
    from gguf import GGUFReader

    return sum(int(tensor.n_bytes) for tensor in GGUFReader(str(file)).tensors)


def _indexed(folder: Path) -> set[str]:
    """Files an index of shards names."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return set()
    try:
        return set(json.loads(index.read_text())["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise _broken(index, "it cannot be read") from error


def _broken(file: Path, why: str) -> WorkerFailure:
    return WorkerFailure(
        "model",
        f"{file.parent.name}/{file.name} is damaged: {why}.",
        "The download was probably interrupted. Fetch the model again; nothing else is affected.",
    )
