"""A model's files, checked before anything heavy reads them. No torch. Worker process.

The safetensors layout (8 bytes of header length, a JSON header with `data_offsets`, then the data) is described at
https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engines.models.files import BrokenModel, folder_files, model_files
from engines.models.identity import SCHEME, Digests
from engines.protocol.gguf_parts import parts_of
from engines.protocol.orders import ModelOrder
from engines.worker.failures import WorkerFailure

_HEADER_MAX = 100 << 20


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
    for file in weight_files(folder):
        tensors(file)


def check_same(model: ModelOrder, source: Path, digests: Digests, *, read: bool = False) -> None:
    """Raise `WorkerFailure` where the files are no longer those that were planned. Without `read` only what is known
    at once is compared."""
    if not model.fingerprint.startswith(SCHEME):
        return
    with _explained(source):
        files = model_files(source)
        found = digests.of_model(files) if read else digests.known_of_model(files)
    if found and found != model.fingerprint:
        raise WorkerFailure(
            "model",
            f"The files of {model.title} have changed since the experiment was planned.",
            "Nothing of them was mixed up: run the experiment again, and it is planned with the files as they are.",
        )


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


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files with the folder's weights (`engines.models.files`). Raises `WorkerFailure`."""
    with _explained(folder):
        return folder_files(folder).weights


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


def stored_bytes(path: Path) -> int:
    """Bytes of the tensors in a model's safetensors or GGUF files. Raises `WorkerFailure`."""
    if path.is_file():
        return sum(map(_gguf_bytes, parts_of(path)))
    return sum(entry.size_bytes for file in weight_files(path) for entry in tensors(file))


def hashes(path: Path, digests: Digests) -> Iterator[tuple[str, str]]:
    """(file name, "sha256:…") of every file of a model that decides a run. Raises `WorkerFailure`."""
    with _explained(path):
        for file in model_files(path).all:
            yield file.name, f"sha256:{digests.of(file)}"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What stands against a model's files, as a failure of the trial."""
    try:
        yield
    except BrokenModel as error:
        raise WorkerFailure("model", str(error), error.advice) from error
    except OSError as error:
        raise WorkerFailure(
            "model", f"The files in {path} cannot be read: {error.strerror}.", "Choose the model again in Setup."
        ) from error


def _gguf_bytes(file: Path) -> int:
    from gguf import GGUFReader

    return sum(int(tensor.n_bytes) for tensor in GGUFReader(str(file)).tensors)


def _broken(file: Path, why: str) -> WorkerFailure:
    return WorkerFailure(
        "model",
        f"{file.parent.name}/{file.name} is damaged: {why}.",
        "The download was probably interrupted. Fetch the model again; nothing else is affected.",
    )
