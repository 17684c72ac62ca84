"""The header of a GGUF file, read before llama.cpp sees the file: what it holds, and whether it is whole.

Only the header is read, never a weight. Nothing heavy is imported; worker process. Raises `WorkerFailure`.
Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. (`workbench.models.headers` reads the same for the
list of models, one floor up: the floors share no file reader, but the table of types.)
"""

from __future__ import annotations

import math
import mmap
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engines.protocol.gguf_parts import parts_of
from engines.protocol.gguf_types import GGUF_TYPES, LIST_KEPT, VERSIONS, ListLength, version_trouble
from engines.worker.failures import WorkerFailure

FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Types that are no quantisation."""

_LLAMA_3 = {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"}
_SPLIT_WITH_BOS = frozenset({*_LLAMA_3, "tekken", "chameleon"})
"""Byte-level rules of splitting whose texts begin with the begin-of-sequence token by default, as SentencePiece's do:
`llama_vocab::impl::load` in src/llama-vocab.cpp of https://github.com/ggml-org/llama.cpp."""

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
    """What a GGUF file says of itself. `metadata` holds scalars, texts and tuples of numbers; of other lists, and those
    longer than `LIST_KEPT`, their length."""

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
    def adds_bos(self) -> bool:
        """Whether texts begin with the begin-of-sequence token: as the file says, else as llama.cpp does with this kind
        of vocabulary."""
        vocabulary, splits = (str(self.metadata.get(f"tokenizer.ggml.{name}", "")) for name in ("model", "pre"))
        said = self.metadata.get("tokenizer.ggml.add_bos_token")
        if isinstance(said, bool):
            return said
        return vocabulary in ("llama", "bert") or (vocabulary == "gpt2" and splits in _SPLIT_WITH_BOS)

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
        what, advice = version_trouble(version)
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
        if number not in GGUF_TYPES:
            raise WorkerFailure(
                "model",
                f"{self._file.name} stores {name!r} in a tensor type that is not known here (number {number}).",
                "The file is newer than this program. Choose another quantisation of the model, or update.",
            )
        type_name, block, block_bytes = GGUF_TYPES[number]
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
        if inner in _SCALARS and count <= LIST_KEPT:
            return self._read(_SCALARS[inner] * count)
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
