"""llama.cpp's own quantiser: one GGUF file from another. Runs in the process of `engines.llama.ladder.make`: the
call cannot be interrupted from Python, so whoever wants to stop it ends the process.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.hf import files
from engines.llama.failures import UNKNOWN_ARCHITECTURE, load_failure
from engines.llama.library import Library, Words, library
from engines.models.gguf import FLOATS
from engines.worker.failures import WorkerFailure

Report = Callable[[str, float], None]

_MAXIMUM_ROWS_BYTES = 1 << 30
"""Rows of one tensor held in memory at once; llama.cpp's default is 8 GiB."""
_PROGRESS = re.compile(r"\[\s*(\d+)/\s*(\d+)\]\s+(\S+)")
_FALLBACK = b"falling back to"
_FLOAT_TYPES = {"F32": "ALL_F32", "F16": "MOSTLY_F16", "BF16": "MOSTLY_BF16"}
_EXPECTED = {
    "Q8_0": "Q8_0", "Q6_K": "Q6_K", "Q5_K_M": "Q5_K Q6_K", "Q4_K_M": "Q4_K Q6_K Q5_K", "Q4_0": "Q4_0 Q6_K Q4_1",
    "Q3_K_M": "Q3_K Q4_K Q5_K Q6_K", "Q2_K": "Q2_K Q3_K Q4_K Q6_K",
}  # fmt: skip
"""Tensor types that llama.cpp mixes by its own choice; any other in a file means that rows did not fit the blocks."""


@dataclass(frozen=True)
class Contents:
    """What the tensors of a GGUF file are stored in: type -> number of tensors, type -> number of weights."""

    tensors: dict[str, int]
    weights: dict[str, int]
    tensor_bytes: int

    @property
    def main_type(self) -> str:
        """The type that holds most weights."""
        return max(self.weights, key=lambda name: self.weights[name])

    @property
    def is_quantised(self) -> bool:
        return self.main_type not in FLOATS

    @property
    def parameters(self) -> int:
        return sum(self.weights.values())

    @property
    def bits_per_weight(self) -> float:
        return 8 * self.tensor_bytes / self.parameters

    def text(self) -> str:
        """ "Q5_0 166, F32 61": tensors by type, the largest share of weights first."""
        order = sorted(self.tensors, key=lambda name: -self.weights[name])
        return ", ".join(f"{name} {self.tensors[name]}" for name in order)

    def fallback(self, type_name: str) -> str:
        """The tensors whose rows are no multiple of the blocks of `type_name`, in words; "" where there are none."""
        usual = {*_EXPECTED.get(type_name, type_name).split(), *FLOATS}
        others = {name: count for name, count in self.tensors.items() if name not in usual}
        if not others or type_name in FLOATS:
            return ""
        listed = ", ".join(f"{count} in {name}" for name, count in sorted(others.items()))
        share = sum(self.weights[name] for name in others) / self.parameters
        return (
            f"{sum(others.values())} of {sum(self.tensors.values())} tensors ({share:.0%} of the weights) have rows "
            f"that do not fit the blocks of {type_name}; llama.cpp stored {listed}"
        )


def contents(file: Path) -> Contents:
    """By the file's header. Raises `WorkerFailure`."""
    found = files.gguf_model(file)
    if not found.tensors:
        raise WorkerFailure("model", f"{file.name} holds no tensors.", "Choose a file with the weights of a model.")
    tensors: Counter[str] = Counter()
    weights: Counter[str] = Counter()
    for tensor in found.tensors:
        tensors[tensor.dtype] += 1
        weights[tensor.dtype] += tensor.weights
    return Contents(dict(tensors), dict(weights), found.tensor_bytes)


def quantise(source: Path, target: Path, type_name: str, *, threads: int, requantise: bool, report: Report) -> None:
    """Write `source` as `target` in llama.cpp's file type `type_name` ("Q4_K_M"). Raises `WorkerFailure`.

    `requantise` allows a source that is quantised already. Where rows are no multiple of a type's blocks, llama.cpp
    takes another type for the tensor: see `Contents.fallback` of the result.
    """
    used = library()
    before, words = used.words, _Words(lambda name, share: report(f"Quantising to {type_name}: {name}", share))
    used.words = words
    try:
        code = _run(used, source, target, type_name, threads, requantise=requantise)
    finally:
        used.words = before
    if code != 0:
        if words.said(UNKNOWN_ARCHITECTURE):
            raise load_failure(words, source.name, used.version)
        said = words.last_error
        raise WorkerFailure(
            "engine",
            f"llama.cpp could not quantise {source.name} to {type_name}{f': {said[:300]}' if said else ''}.",
            "Nothing was left behind. Choose another precision, or run the file as it is.",
        )
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _run(used: Library, source: Path, target: Path, type_name: str, threads: int, *, requantise: bool) -> int:
    settings = used.api.llama_model_quantize_default_params()
    settings.nthread = max(1, threads)
    settings.ftype = _file_type(used, type_name)
    settings.allow_requantize = requantise
    settings.max_buf_size = _MAXIMUM_ROWS_BYTES
    return int(used.api.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(settings)))


class _Words(Words):
    """Tells each tensor that is begun, and is silent about each that does not fit: `Contents.fallback` counts them."""

    def __init__(self, tell: Report) -> None:
        super().__init__()
        self._tell = tell

    def hear(self, level: int, text: bytes, user: object) -> None:
        if _FALLBACK in text:
            return
        super().hear(level, text, user)
        found = _PROGRESS.search(text.decode(errors="replace"))
        if found:
            self._tell(found[3], int(found[1]) / int(found[2]))


def _file_type(used: Library, name: str) -> int:
    return int(getattr(used.api, f"LLAMA_FTYPE_{_FLOAT_TYPES.get(name, f'MOSTLY_{name}')}"))
