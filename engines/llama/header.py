"""The header of a GGUF file, read before llama.cpp sees the file: what it holds, and whether it is whole.

Only the header is read, never a weight. Nothing heavy is imported; worker process. Raises `WorkerFailure`.
Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. (`workbench.model_headers` reads the same for the
list of models, one floor up; the floors share no file reader.)
"""

from __future__ import annotations

import math
import mmap
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engines.protocol.gguf_parts import parts_of
from engines.worker.failures import WorkerFailure

VERSIONS = (2, 3)
"""GGUF versions that llama.cpp of today reads."""

# tensor type -> (name, weights in a block, bytes of a block)
_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}  # fmt: skip
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Types that are no quantisation."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_DIMENSIONS = 4
_ALIGNMENT = 32
_AGAIN = "The download was probably interrupted. Fetch the file again; nothing else is affected."


@dataclass(frozen=True)
class Tensor:
    """One tensor by its header."""

    name: str
    type: str
    weights: int
    size_bytes: int


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself. `metadata` holds scalars and texts; of a list its length."""

    metadata: dict[str, object]
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    def number(self, name: str) -> int | None:
        """A whole number of this architecture ("block_count"), None where it is not told as one number."""
        value = self.metadata.get(f"{self.architecture}.{name}")
        return value if isinstance(value, int) and not isinstance(value, bool | ListLength) else None

    @property
    def parameters(self) -> int:
        return sum(tensor.weights for tensor in self.tensors)

    @property
    def tensor_bytes(self) -> int:
        return sum(tensor.size_bytes for tensor in self.tensors)

    def bytes_by_type(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for tensor in self.tensors:
            found[tensor.type] += tensor.size_bytes
        return dict(found)


class ListLength(int):
    """Length of a list, whose items are not kept; no number of the model."""


def read_header(file: Path) -> Header:
    """Read and check the header against the size of the file, and of the other files of a model in several parts: all
    their tensors, under the first one's metadata."""
    first = _read_one(file)
    tensors = list(first.tensors)
    count = _part_number(first, "split.count") or 1
    if count > 1:
        files = _parts(file, first, count)
        for number, other in enumerate(files[1:], start=1):
            tensors += _checked_part(other, number, count).tensors
        told = _part_number(first, "split.tensors.count")
        if told is not None and told != len(tensors):
            raise _broken(file, f"its {count} parts hold {len(tensors)} tensors together, not {told}")
    if not tensors:
        raise WorkerFailure("model", f"{file.name} holds no tensors: it is no model.", "Choose another file.")
    return Header(first.metadata, tuple(tensors))


def _parts(file: Path, first: Header, count: int) -> tuple[Path, ...]:
    """The files of a model in `count` parts, of which `file` must be the first."""
    number = (_part_number(first, "split.no") or 0) + 1
    files = parts_of(file)
    if len(files) != count or files[number - 1] != file:
        name = f"NAME-{number:05d}-of-{count:05d}.gguf"
        raise WorkerFailure(
            "model",
            f"{file.name} is part {number} of a model in {count} files, and its name does not say so.",
            f"llama.cpp finds the parts by their names: put all of them into one folder, named like {name}.",
        )
    if number > 1:
        raise WorkerFailure(
            "model",
            f"{file.name} is part {number} of a model in {count} files.",
            f"Choose its first part, {files[0].name}.",
        )
    missing = [other for other in files if not other.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise WorkerFailure(
            "model",
            f"The model is in {count} files, and {missing[0].name}{more} is missing in {file.parent}.",
            "Fetch what is missing into the same folder, under its own name; what is there can stay.",
        )
    return files


def _checked_part(file: Path, number: int, count: int) -> Header:
    """A part after the first; `number` from 0."""
    found = _read_one(file)
    told = _part_number(found, "split.no"), _part_number(found, "split.count")
    if told != (number, count):
        raise _broken(file, f"it is not part {number + 1} of {count}, as its name says")
    return found


def _part_number(header: Header, name: str) -> int | None:
    value = header.metadata.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool | ListLength) else None


def _read_one(file: Path) -> Header:
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            magic = stream.read(4)
            if magic != b"GGUF":
                raise WorkerFailure(
                    "model",
                    f"{file.name} is not a GGUF file: it begins with {_shown(magic)}, not with GGUF.",
                    "Choose a GGUF file; models in Hugging Face format are chosen by their folder.",
                )
            if size < 24:
                raise _broken(file, f"it is cut short at {size} bytes")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Cursor(file, data).header()
    except OSError as error:
        raise WorkerFailure(
            "model", f"The GGUF file {file} cannot be read: {error.strerror}.", "Choose the model again in Setup."
        ) from error
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise _broken(file, "it ends inside its header, or the header is damaged") from error


class _Cursor:
    """Reads a mapped file from its version on. Raises `WorkerFailure`, and what `read_header` catches."""

    def __init__(self, file: Path, data: mmap.mmap) -> None:
        self._file = file
        self._data = data
        self._at = 4

    def header(self) -> Header:
        self._check_version()
        tensor_count, pair_count = self._read("QQ")
        if max(tensor_count, pair_count) > len(self._data):
            raise _broken(self._file, "its header is damaged")
        metadata: dict[str, object] = {}
        for _ in range(pair_count):
            key = self._text()
            metadata[key] = self._value(*self._read("I"))
        entries = [self._tensor() for _ in range(tensor_count)]
        told = metadata.get("general.alignment")
        alignment = told if isinstance(told, int) and told > 0 else _ALIGNMENT
        start = -(-self._at // alignment) * alignment
        end = max((start + offset + tensor.size_bytes for tensor, offset in entries), default=self._at)
        if len(self._data) < end:
            raise _broken(self._file, f"it is cut short: {len(self._data):,} of {end:,} bytes are there")
        return Header(metadata, tuple(tensor for tensor, _ in entries))

    def _check_version(self) -> None:
        (version,) = self._read("I")
        if version in VERSIONS:
            return
        if int.from_bytes(version.to_bytes(4, "big"), "little") in VERSIONS:
            what, advice = "big-endian", "Fetch the little-endian file, or convert the model again on this machine."
        elif version > VERSIONS[-1]:
            what, advice = f"of GGUF version {version}", "Update llama-cpp-python, or fetch a file of version 3."
        else:
            what, advice = f"of GGUF version {version}", "Convert the model again with a current converter."
        raise WorkerFailure(
            "model", f"{self._file.name} is {what}; versions 2 and 3, little-endian, can be read here.", advice
        )

    def _tensor(self) -> tuple[Tensor, int]:
        name = self._text()
        (dimensions,) = self._read("I")
        if dimensions > _DIMENSIONS:
            raise _broken(self._file, f"its header is damaged at {name!r}")
        shape = self._read("Q" * dimensions)
        number, offset = self._read("IQ")
        if number not in _TYPES:
            raise WorkerFailure(
                "model",
                f"{self._file.name} stores {name!r} in a tensor type that is not known here (number {number}).",
                "The file is newer than this program. Choose another quantisation of the model, or update.",
            )
        type_name, block, block_bytes = _TYPES[number]
        weights = math.prod(shape)
        return Tensor(name, type_name, weights, weights // block * block_bytes), offset

    def _value(self, kind: int) -> object:
        if kind in _SCALARS:
            return self._read(_SCALARS[kind])[0]
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            raise _broken(self._file, "its header is damaged")
        inner, count = self._read("IQ")
        if inner in _SCALARS:
            self._pass(count * struct.calcsize(_SCALARS[inner]))
        elif inner == _STRING:
            for _ in range(count):
                self._pass(*self._read("Q"))
        else:
            raise _broken(self._file, "its header holds lists of lists")
        return ListLength(count)

    def _read(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from("<" + form, self._data, self._at)
        self._at += struct.calcsize("<" + form)
        return values

    def _text(self) -> str:
        (length,) = self._read("Q")
        start = self._at
        self._pass(length)
        return self._data[start : self._at].decode()

    def _pass(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError(self._at)


def _broken(file: Path, why: str) -> WorkerFailure:
    return WorkerFailure("model", f"{file.name} is damaged: {why}.", _AGAIN)


def _shown(magic: bytes) -> str:
    return f"{magic.decode('ascii')!r}" if magic.isascii() and magic else f"the bytes {magic.hex(' ') or '(none)'}"
