"""A model's files, checked before anything heavy reads them. No torch. Worker process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engines.models.files import BrokenModel, folder_files, model_files
from engines.models.gguf import GgufModel, read_model
from engines.models.headers import Tensor, read_safetensors
from engines.models.identity import SCHEME, Digests
from engines.protocol.gguf_parts import parts_of
from engines.protocol.orders import ModelOrder
from engines.worker.failures import WorkerFailure


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
    """Raise `WorkerFailure` unless `file` is a GGUF file and is the whole model: transformers reads one file and would
    fill what lies in the others with random weights."""
    if len(parts_of(file)) > 1:
        raise WorkerFailure(
            "model",
            f"{file.name} is one of {len(parts_of(file))} parts of a model, and transformers reads GGUF models in one "
            "file only.",
            "Run it with the llama.cpp engine, or give the model's folder in Hugging Face format.",
        )
    gguf_model(file)


def gguf_model(file: Path) -> GgufModel:
    """A GGUF model by the headers of its files. Raises `WorkerFailure` when it is cut short or broken."""
    with _explained(file):
        return read_model(file)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files with the folder's weights (`engines.models.files`). Raises `WorkerFailure`."""
    with _explained(folder):
        return folder_files(folder).weights


def tensors(file: Path) -> tuple[Tensor, ...]:
    """The tensors of a safetensors file. Raises `WorkerFailure` when it is cut short or broken."""
    with _explained(file):
        return read_safetensors(file).tensors


def stored_bytes(path: Path) -> int:
    """Bytes of the tensors in a model's safetensors or GGUF files. Raises `WorkerFailure`."""
    if path.is_file():
        return gguf_model(path).tensor_bytes
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
