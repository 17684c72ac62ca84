"""Tensors of a safetensors folder as mapped arrays, and their conversion between 16- and 32-bit floats. Numpy only.

Nothing is read before it is needed, and conversions go in blocks: a model larger than memory can be converted.
bfloat16 is the upper half of a float32 (https://en.wikipedia.org/wiki/Bfloat16_floating-point_format); numpy has no
such type, so it is held as uint16.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engines.hf import files
from engines.worker.failures import WorkerFailure

FloatType = Literal["F32", "F16", "BF16"]
Array = NDArray[Any]

NUMPY_TYPES: dict[FloatType, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}
_BLOCK_WEIGHTS = 1 << 22


@dataclass(frozen=True)
class Stored:
    """One tensor as a file holds it. `raw` is mapped; bfloat16 is uint16."""

    type: FloatType
    raw: Array
    mapped: np.memmap[Any, Any] | None = None
    """The file it lies in."""

    def release(self) -> None:
        """Give the file's pages that were read back to the system: they can be read again. A model that is converted
        would otherwise stand in this process's memory as a whole by and by."""
        pages = getattr(self.mapped, "_mmap", None)
        if isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)


def open_folder(folder: Path) -> dict[str, Stored]:
    """Every floating tensor of a folder's safetensors files, by name. Raises `WorkerFailure`."""
    files.check_folder(folder)
    found: dict[str, Stored] = {}
    for file in files.weight_files(folder):
        mapped = np.memmap(file, mode="r", dtype=np.uint8)
        for entry in files.tensors(file):
            kind = _float_type(entry.dtype)
            if kind is None:
                raise WorkerFailure(
                    "model",
                    f"{entry.name} is stored as {entry.dtype}: weights that are already quantised cannot be converted.",
                    "Take the model in float32, float16 or bfloat16.",
                )
            data = mapped[entry.offset_bytes : entry.offset_bytes + entry.size_bytes]
            found[entry.name] = Stored(kind, data.view(NUMPY_TYPES[kind]).reshape(entry.shape), mapped)
    return found


def widest(tensors: Mapping[str, Stored]) -> FloatType:
    """The type that holds every matrix without loss: that of the matrices, float32 where they differ."""
    kinds = {t.type for t in tensors.values() if t.raw.ndim > 1}
    return kinds.pop() if len(kinds) == 1 else "F32"


def converted(stored: Stored, wanted: FloatType) -> Array:
    """The tensor in another type. Raises `OverflowError` where float16 cannot hold a value that was finite."""
    if stored.type == wanted:
        return stored.raw
    source = stored.raw.reshape(-1)
    out = np.empty(source.shape, NUMPY_TYPES[wanted])
    for start in range(0, source.size, _BLOCK_WEIGHTS):
        block = slice(start, start + _BLOCK_WEIGHTS)
        out[block] = _narrowed(_widened(source[block], stored.type), wanted)
    return out.reshape(stored.raw.shape)


def _widened(raw: Array, kind: FloatType) -> NDArray[np.float32]:
    if kind == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32)


def _narrowed(values: NDArray[np.float32], wanted: FloatType) -> Array:
    if wanted == "F32":
        return values
    if wanted == "F16":
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float16)
        if not np.array_equal(np.isfinite(narrow), np.isfinite(values)):
            raise OverflowError("a weight is larger than float16 can hold (65,504)")
        return narrow
    bits = values.view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)  # to nearest, ties to even
    return np.where(np.isnan(values), bits | 0x0040_0000, rounded).astype(np.uint32).__rshift__(16).astype(np.uint16)


def _float_type(name: str) -> FloatType | None:
    kinds: dict[str, FloatType] = {"F32": "F32", "F16": "F16", "BF16": "BF16"}
    return kinds.get(name)
