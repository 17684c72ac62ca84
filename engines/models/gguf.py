"""A GGUF model by the headers of its files: what it holds, and whether it is whole. No weight is read; any thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.models.files import BrokenModel
from engines.models.headers import Header, Tensor, damaged, read_gguf
from engines.protocol.gguf_parts import parts_of
from engines.protocol.gguf_types import ListLength

FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Types that are no quantisation."""

_LLAMA_3 = {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"}
_SPLIT_WITH_BOS = frozenset({*_LLAMA_3, "tekken", "chameleon"})
"""Byte-level rules of splitting whose texts begin with the begin-of-sequence token by default, as SentencePiece's do:
`llama_vocab::impl::load` in src/llama-vocab.cpp of https://github.com/ggml-org/llama.cpp."""


@dataclass(frozen=True)
class GgufModel:
    """What a GGUF model says of itself. `metadata` holds scalars, texts and tuples of numbers; of other lists, and
    those longer than `LIST_KEPT`, their length."""

    metadata: dict[str, object]
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    def number(self, name: str) -> int | None:
        """A whole number of this architecture ("block_count"), None where it is not given as one number."""
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
            found[tensor.dtype] += tensor.size_bytes
        return dict(found)


def read_model(file: Path, read: Callable[[Path], Header] = read_gguf) -> GgufModel:
    """A model by its file, or by the first of its several parts: all their tensors, under the first one's metadata.
    `read` is used for each. Raises `BrokenModel` and OSError."""
    files = parts_of(file)
    missing = [part.name for part in files if not part.is_file()]
    if missing and len(files) > 1:
        verb, more = ("are", ", ...") if len(missing) > 1 else ("is", "")
        raise BrokenModel(
            f"{len(missing)} of {len(files)} parts of the model {verb} missing in {file.parent}: {missing[0]}{more}.",
            "Fetch what is missing into the same folder, under its own name; what is there can stay.",
        )
    first = read(file)
    tensors = list(first.tensors)
    count = _part_number(first, "split.count") or 1
    if count > 1:
        _check_first(file, files, (_part_number(first, "split.no") or 0) + 1, count)
        for number, other in enumerate(files[1:], start=1):
            tensors += _part(other, number, count, read).tensors
        said = _part_number(first, "split.tensors.count")
        if said is not None and said != len(tensors):
            raise damaged(file, f"its {count} parts hold {len(tensors)} tensors together, not {said}")
    if not tensors:
        raise BrokenModel(f"{file.name} holds no tensors: it is no model.", "Choose another file.")
    return GgufModel(first.metadata, tuple(tensors))


def _check_first(file: Path, files: tuple[Path, ...], number: int, count: int) -> None:
    """Raise unless `file`, part `number` of `count`, is the first and named like it."""
    if len(files) != count or files[number - 1] != file:
        raise BrokenModel(
            f"{file.name} is part {number} of a model in {count} files, and its name does not say so.",
            "llama.cpp finds the parts by their names: put all of them into one folder, named like "
            f"NAME-{number:05d}-of-{count:05d}.gguf.",
        )
    if number > 1:
        raise BrokenModel(
            f"{file.name} is part {number} of a model in {count} files.", f"Choose its first part, {files[0].name}."
        )


def _part(file: Path, number: int, count: int, read: Callable[[Path], Header]) -> Header:
    """A part after the first; `number` from 0."""
    found = read(file)
    if (_part_number(found, "split.no"), _part_number(found, "split.count")) != (number, count):
        raise damaged(file, f"it is not part {number + 1} of {count}, as its name says")
    return found


def _part_number(header: Header, name: str) -> int | None:
    value = header.metadata.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool | ListLength) else None
