"""The headers of weight files: what tensors a safetensors or GGUF file holds, and whether the file is whole.

The one reader of both, for the list of models, both engines and the converter. Only headers are read, never weights; no
heavy import; any thread. Raises `BrokenModel` with a sentence for people, and OSError.
Formats: https://github.com/huggingface/safetensors#format, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass, replace
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
_MAX_DIMENSIONS = 4
"""GGML_MAX_DIMS: what llama.cpp reads."""
_ALIGNMENT = 32


@dataclass(frozen=True)
class Tensor:
    """One tensor by its header: its type's name, its shape, and where it lies in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    offset_bytes: int = 0
    """From the start of the file."""

    @property
    def weights(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """`metadata` holds a GGUF file's facts ("llama.block_count"), of long lists and lists of texts their length; or
    safetensors' `__metadata__`."""

    tensors: tuple[Tensor, ...]
    metadata: dict[str, object]


_AGAIN = "The download was probably interrupted. Fetch the model again; nothing else is affected."
_MODELS = (
    "A model is a GGUF file, or a folder with config.json and *.safetensors; weights in pickle files (.bin, .pt) are "
    "not loaded."
)


def damaged(path: Path, why: str) -> BrokenModel:
    """The file is what it should be, and not whole."""
    return BrokenModel(f"{path.parent.name}/{path.name} is damaged: {why}.", _AGAIN)


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
        if size < 8:
            raise damaged(path, f"it is cut short at {size} bytes")
        if not 2 <= length <= MAX_HEADER_BYTES:
            raise BrokenModel(f"{path.parent.name}/{path.name} is not a safetensors file ({size:,} bytes).", _AGAIN)
        if size < 8 + length:
            raise damaged(path, f"it is cut short inside its header: {size:,} of {8 + length:,} bytes are there")
        raw = file.read(length)
    try:
        document = msgspec.json.decode(raw, type=dict[str, dict[str, object]])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise damaged(path, f"its header is damaged ({error})") from error
    metadata = document.pop("__metadata__", {})
    tensors = tuple(_safetensors_entry(path, name, entry, 8 + length) for name, entry in document.items())
    end = max((t.offset_bytes + t.size_bytes for t in tensors), default=8 + length)
    if size < end:
        raise damaged(path, f"it is cut short: {size:,} of {end:,} bytes are there")
    if size > end:
        raise damaged(path, f"it is longer than its header says: {size:,} bytes, not {end:,}")
    return Header(tensors, metadata)


def _safetensors_entry(path: Path, name: str, entry: dict[str, object], start: int) -> Tensor:
    try:
        known = msgspec.convert(entry, _Entry)
    except msgspec.ValidationError as error:
        raise damaged(path, f"its header describes {name!r} wrongly ({error})") from error
    first, last = known.data_offsets
    bits = DTYPE_BITS.get(known.dtype)
    weights = math.prod(known.shape)
    if min(known.shape, default=0) < 0 or not 0 <= first <= last or (bits and weights * bits // 8 != last - first):
        raise damaged(path, f"its header contradicts itself about {name!r}")
    return Tensor(name, known.dtype, known.shape, last - first, start + first)


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def read_gguf(path: Path) -> Header:
    """The header of a GGUF file (versions 2 and 3, little-endian), checked against the file's size. A model may have
    several files: `engines.models.gguf`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(8)
        _refuse_pointer(path, magic)
        if not magic.startswith(b"GGUF"):
            raise BrokenModel(
                f"{path.name} is not a GGUF file: it begins with {_shown(magic[:4])}, not with GGUF.", _MODELS
            )
        if size < 24:
            raise damaged(path, f"it is cut short at {size} bytes")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _Gguf(path, data).header()
            except (struct.error, UnicodeDecodeError, IndexError) as error:
                raise damaged(path, "it ends inside its header, or the header is damaged") from error


def _shown(magic: bytes) -> str:
    return f"{magic.decode('ascii')!r}" if magic.isascii() and magic else f"the bytes {magic.hex(' ') or '(none)'}"


class _Gguf:
    """A cursor over a mapped GGUF file, from its version on. Raises `BrokenModel`, and what `read_gguf` catches."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self._path = path
        self._data = data
        self._at = 4

    def header(self) -> Header:
        (version,) = self._read("I")
        if version not in VERSIONS:
            what, advice = version_trouble(version)
            raise BrokenModel(f"{self._path.name} is {what}; versions 2 and 3, little-endian, can be read.", advice)
        tensor_count, pair_count = self._read("QQ")
        if max(tensor_count, pair_count) > len(self._data):
            raise damaged(self._path, "its header is damaged")
        metadata: dict[str, object] = {}
        for _ in range(pair_count):
            key = self._text()
            metadata[key] = self._value(*self._read("I"))
        entries = [self._tensor() for _ in range(tensor_count)]
        said = metadata.get("general.alignment")
        alignment = said if isinstance(said, int) and said > 0 else _ALIGNMENT
        start = -(-self._at // alignment) * alignment
        tensors = tuple(replace(entry, offset_bytes=start + entry.offset_bytes) for entry in entries)
        end = max((t.offset_bytes + t.size_bytes for t in tensors), default=self._at)
        if len(self._data) < end:
            raise damaged(self._path, f"it is cut short: {len(self._data):,} of {end:,} bytes are there")
        return Header(tensors, metadata)

    def _tensor(self) -> Tensor:
        """Its offset is still that from the first tensor."""
        name = self._text()
        (dimensions,) = self._read("I")
        if dimensions > _MAX_DIMENSIONS:
            raise damaged(self._path, f"its header is damaged at {name!r}")
        shape = self._read("Q" * dimensions)
        kind, offset = self._read("IQ")
        if kind not in GGUF_TYPES:
            raise BrokenModel(
                f"{self._path.name} stores {name!r} in a tensor type that is not known here (number {kind}).",
                "The file is newer than this program. Choose another quantisation of the model, or update.",
            )
        type_name, block, block_bytes = GGUF_TYPES[kind]
        return Tensor(name, type_name, tuple(reversed(shape)), math.prod(shape) // block * block_bytes, offset)

    def _value(self, kind: int) -> object:
        """A scalar, a text or a tuple of numbers; the words of a tokenizer are passed over."""
        if kind in _GGUF_SCALARS:
            return self._read(_GGUF_SCALARS[kind])[0]
        if kind == _GGUF_STRING:
            return self._text()
        if kind != _GGUF_ARRAY:
            raise damaged(self._path, "its header is damaged")
        inner, count = self._read("IQ")
        if inner in _GGUF_SCALARS and count <= LIST_KEPT:
            return self._read(_GGUF_SCALARS[inner] * count)
        if inner in _GGUF_SCALARS:
            self._pass(count * struct.calcsize(_GGUF_SCALARS[inner]))
        elif inner == _GGUF_STRING:
            for _ in range(count):
                self._pass(*self._read("Q"))
        else:
            raise damaged(self._path, "its header holds lists of lists")
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
