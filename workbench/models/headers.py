"""The headers of weight files: what tensors a safetensors or GGUF file holds, and whether the file is whole.

Only headers are read, never weights; no heavy import. Any thread. Raises `BrokenModel` with a sentence for people.
Formats: https://github.com/huggingface/safetensors#format, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.models.files import BrokenModel
from engines.protocol.gguf_types import GGUF_TYPES, LIST_KEPT, VERSIONS, ListLength, version_trouble

MAX_HEADER_BYTES = 100_000_000
"""The safetensors library's own limit; a larger number means that the file is something else."""

DTYPE_BITS = {
    **dict.fromkeys(("F64", "I64", "U64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 8),
}

_GGUF_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_GGUF_STRING, _GGUF_ARRAY = 8, 9
_MAX_DIMENSIONS = 8


@dataclass(frozen=True)
class Tensor:
    """One tensor by its header: its type's name, its shape, and the bytes it takes in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int

    @property
    def weights(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """`metadata` holds a GGUF file's facts ("llama.block_count"), of long lists and lists of texts their length; or
    safetensors' `__metadata__`."""

    tensors: tuple[Tensor, ...]
    metadata: dict[str, object]
    header_bytes: int
    """From the start of the file to the first tensor's data."""


_AGAIN = "Download or copy the file again; nothing has been changed."
_MODELS = (
    "A model is a GGUF file, or a folder with config.json and *.safetensors; weights in pickle files (.bin, .pt) are "
    "not loaded."
)


def _refuse_pointer(path: Path, head: bytes) -> None:
    """Raise `BrokenModel` for what a clone has in the place of a file that Git LFS has not fetched."""
    if head.startswith(b"version "):
        raise BrokenModel(
            f"{path.name} is a pointer of Git LFS and not the weights: they were not fetched with the repository.",
            "Run `git lfs pull` in its folder, or download the file itself; nothing has been changed.",
        )


def read_safetensors(path: Path) -> Header:
    """The header of a safetensors file, checked against the file's size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        _refuse_pointer(path, head)
        if size < 8 or not 2 <= length <= MAX_HEADER_BYTES:
            raise BrokenModel(f"{path.name} is not a safetensors file ({size:,} bytes).", _AGAIN)
        if size < 8 + length:
            raise BrokenModel(f"{path.name} ends inside its header: {size:,} bytes of {8 + length:,}.", _AGAIN)
        raw = file.read(length)
    try:
        document = msgspec.json.decode(raw, type=dict[str, dict[str, object]])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenModel(f"The header of {path.name} cannot be read: {error}.", _AGAIN) from error
    metadata = document.pop("__metadata__", {})
    end = 0
    tensors: list[Tensor] = []
    for name, entry in document.items():
        tensor, last = _safetensors_entry(path, name, entry)
        tensors.append(tensor)
        end = max(end, last)
    expected = 8 + length + end
    if size < expected:
        raise BrokenModel(f"{path.name} is cut short: {size:,} bytes of {expected:,}.", _AGAIN)
    if size > expected:
        raise BrokenModel(f"{path.name} is longer than its header says: {size:,} bytes, not {expected:,}.", _AGAIN)
    return Header(tuple(tensors), metadata, 8 + length)


def _safetensors_entry(path: Path, name: str, entry: dict[str, object]) -> tuple[Tensor, int]:
    try:
        known = msgspec.convert(entry, _Entry)
    except msgspec.ValidationError as error:
        raise BrokenModel(f"The header of {path.name} describes {name!r} wrongly: {error}.", _AGAIN) from error
    first, last = known.data_offsets
    bits = DTYPE_BITS.get(known.dtype)
    weights = math.prod(known.shape)
    if min(known.shape, default=0) < 0 or not 0 <= first <= last or (bits and weights * bits // 8 != last - first):
        raise BrokenModel(f"The header of {path.name} contradicts itself about {name!r}.", _AGAIN)
    return Tensor(name, known.dtype, known.shape, last - first), last


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def read_gguf(path: Path) -> Header:
    """The header of a GGUF file (versions 2 and 3, little-endian), checked against the file's size."""
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(8)
        _refuse_pointer(path, magic)
        if not magic.startswith(b"GGUF"):
            raise BrokenModel(f"{path.name} is not a GGUF file: it does not begin with GGUF.", _MODELS)
        if size < 24:
            raise BrokenModel(f"{path.name} is cut short: {size} bytes.", _AGAIN)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Gguf(path, data).header()


class _Gguf:
    """A cursor over a mapped GGUF file."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path = path
        self.data = data
        self.at = 4

    def header(self) -> Header:
        try:
            return self._header()
        except (struct.error, UnicodeDecodeError, IndexError) as error:
            raise BrokenModel(f"{self.path.name} ends inside its header, or the header is damaged.", _AGAIN) from error

    def _header(self) -> Header:
        (version,) = self._read("I")
        if version not in VERSIONS:
            what, advice = version_trouble(version)
            raise BrokenModel(f"{self.path.name} is {what}; versions 2 and 3, little-endian, can be read.", advice)
        tensor_count, pair_count = self._read("QQ")
        if tensor_count > len(self.data) or pair_count > len(self.data):
            raise BrokenModel(f"The header of {self.path.name} is damaged.", _AGAIN)
        metadata: dict[str, object] = {}
        for _ in range(pair_count):
            key = self._text()
            (kind,) = self._read("I")
            value = self._value(kind)
            if value is not None:
                metadata[key] = value
        entries = [self._tensor() for _ in range(tensor_count)]
        alignment = metadata.get("general.alignment", 32)
        step = alignment if isinstance(alignment, int) and alignment > 0 else 32
        start = -(-self.at // step) * step
        end = max((start + offset + tensor.size_bytes for tensor, offset in entries), default=self.at)
        if len(self.data) < end:
            raise BrokenModel(f"{self.path.name} is cut short: {len(self.data):,} bytes of {end:,}.", _AGAIN)
        return Header(tuple(t for t, _ in entries), metadata, min(start, len(self.data)))

    def _tensor(self) -> tuple[Tensor, int]:
        name = self._text()
        (dimensions,) = self._read("I")
        if dimensions > _MAX_DIMENSIONS:
            raise BrokenModel(f"The header of {self.path.name} is damaged at {name!r}.", _AGAIN)
        shape = self._read("Q" * dimensions)
        kind, offset = self._read("IQ")
        if kind not in GGUF_TYPES:
            raise BrokenModel(
                f"{self.path.name} stores {name!r} in a tensor type that is not known here (number {kind}).",
                "The file is newer than this program. Choose another quantisation of the model, or update.",
            )
        type_name, block, block_bytes = GGUF_TYPES[kind]
        return Tensor(name, type_name, tuple(reversed(shape)), math.prod(shape) // block * block_bytes), offset

    def _value(self, kind: int) -> object:
        """A scalar, a text or a tuple of numbers; the words of a tokenizer are passed over."""
        if kind in _GGUF_SCALARS:
            return self._read(_GGUF_SCALARS[kind])[0]
        if kind == _GGUF_STRING:
            return self._text()
        if kind != _GGUF_ARRAY:
            raise BrokenModel(f"The header of {self.path.name} is damaged.", _AGAIN)
        inner, count = self._read("IQ")
        if inner in _GGUF_SCALARS and count <= LIST_KEPT:
            return self._read(_GGUF_SCALARS[inner] * count)
        if inner in _GGUF_SCALARS:
            self._pass(count * struct.calcsize(_GGUF_SCALARS[inner]))
        elif inner == _GGUF_STRING:
            for _ in range(count):
                (length,) = self._read("Q")
                self._pass(length)
        else:
            raise BrokenModel(f"The header of {self.path.name} holds lists of lists.", "Convert it again.")
        return ListLength(count)

    def _read(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def _text(self) -> str:
        (length,) = self._read("Q")
        start = self.at
        self._pass(length)
        return self.data[start : self.at].decode()

    def _pass(self, count: int) -> None:
        self.at += count
        if self.at > len(self.data):
            raise IndexError(self.at)
