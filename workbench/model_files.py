"""A model on disk: its facts, whether it is whole, and its fingerprint. Reads config.json and headers, never weights.

No heavy import; any thread. Raises `BrokenModel` with a sentence for people.

The fingerprint names a model by its content without reading gigabytes: SHA-256 over config.json and, for every tensor
file in order of name, its name, its size, its header, and the first and last 64 KiB of the file. Two files that differ
only deep inside one tensor have the same fingerprint; a re-trained or re-quantised model does not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from engines.protocol.gguf_parts import parts_of
from engines.protocol.gguf_types import FILE_TYPES, ListLength
from engines.protocol.orders import ModelKind
from engines.techniques import ModelFacts
from engines.techniques.facts import CONV1D
from engines.techniques.layers_config import layers_of_config, sizes, text_config, whole_number
from engines.techniques.layers_gguf import layers_of_gguf
from engines.techniques.stored_precision import stored_precision
from engines.techniques.stored_weights import logical_weights
from engines.techniques.unfit import unfit_config, unfit_gguf
from workbench.model_headers import BrokenModel, Header, Tensor, read_gguf, read_safetensors

EDGE_BYTES = 64 * 1024
FLOATS = frozenset({"float64", "float32", "float16", "bfloat16"})
"""Values of `ModelFacts.stored_dtype` that are no quantisation."""
_FLOAT_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "I8": "int8"}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
_NOT_CHANGED = ("embed", "wte", "wpe", "lm_head", "router", ".experts.", ".gate.weight")
"""Parts of the names of matrices that weight quantisation leaves alone: embeddings, the output head, routers, and the
experts that transformers stacks in one tensor a layer."""
_PLAIN = frozenset({"llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma2", "gemma3_text", "olmo2"})
"""Architectures all of whose linear layers lie between the hidden states, the heads and the feed-forward width."""


def inspect_folder(folder: Path) -> tuple[ModelFacts, str]:
    """Facts and fingerprint of a folder in Hugging Face format with safetensors weights."""
    config = read_config(folder)
    files = _weight_files(folder)
    headers = {file: _cached_header(str(file), *_stamp(file)) for file in files}
    tensors = [t for header in headers.values() for t in header.tensors]
    if not tensors:
        raise BrokenModel(f"The weight files of {folder.name} hold no tensors.", "Download the model again.")
    linear = _linear(str(config["model_type"]), tensors)
    stored = stored_precision(config)
    logical = logical_weights(tensors, config, stored)
    packed = [one for one in logical if one.packed and not any(part in one.name for part in _NOT_CHANGED)]
    is_known = all(one.weights for one in logical if one.packed)
    facts = facts_of_config(
        config,
        kind="folder",
        parameters=sum(one.weights for one in logical) if is_known else 0,
        linear_parameters=sum(one.weights for one in packed) if stored else sum(t.weights for t in linear),
        stored_bytes=sum(t.size_bytes for t in tensors),
        stored_dtype=stored.kind if stored and any(one.packed for one in logical) else _common_dtype(tensors),
        has_tokenizer=any((folder / name).is_file() for name in _TOKENIZER_FILES),
    )
    if stored:  # the widths are not those of the packed tensors
        linear = []
    facts = msgspec.structs.replace(
        facts,
        linear_in_divisor=math.gcd(*(t.shape[1] for t in linear)),
        linear_out_divisor=math.gcd(*(t.shape[0] for t in linear)),
    )
    return facts, _fingerprint(files, (folder / "config.json").read_bytes())


def inspect_gguf(file: Path) -> tuple[ModelFacts, str, str]:
    """Facts, fingerprint and the file's own name ("" where it has none) of a GGUF model, by its file or its first
    part."""
    files = _whole_gguf(file)
    headers = [_cached_header(str(part), *_stamp(part)) for part in files]
    meta, tensors = headers[0].metadata, [t for header in headers for t in header.tensors]
    architecture = meta.get("general.architecture")
    if not isinstance(architecture, str):
        raise BrokenModel(f"{file.name} does not say what architecture it is.", "Convert it again.")
    if (part := _part_of_a_model(meta)) is not None:
        raise BrokenModel(f"{file.name} is no whole model, but {part}.", "Choose the GGUF file of the model itself.")

    def number(name: str) -> int:
        """The largest, where there is one for each layer."""
        value = meta.get(f"{architecture}.{name}", 0)
        each = value if isinstance(value, tuple) else (value,)
        return max((one for one in each if isinstance(one, int) and not isinstance(one, ListLength)), default=0)

    hidden, heads = number("embedding_length"), number("attention.head_count")
    words = meta.get("tokenizer.ggml.tokens", 0)
    facts = ModelFacts(
        kind="gguf",
        architecture=architecture,
        parameters=sum(t.weights for t in tensors),
        stored_bytes=sum(t.size_bytes for t in tensors),
        stored_dtype=_named_type(meta, _common_dtype(tensors)),
        layers=number("block_count"),
        hidden=hidden,
        heads=heads,
        kv_heads=number("attention.head_count_kv") if f"{architecture}.attention.head_count_kv" in meta else heads,
        attention=layers_of_gguf(meta),
        head_dim=number("attention.key_length") or (hidden // heads if heads else 0),
        vocabulary=number("vocab_size") or (words if isinstance(words, int) else 0),
        context_tokens=number("context_length"),
        linear_parameters=sum(
            t.weights for t in tensors if t.name.startswith("blk.") and len(t.shape) == 2 and "gate_inp" not in t.name
        ),
        has_tokenizer=meta.get("tokenizer.ggml.model", "none") not in ("none", "no_vocab"),
        unfit=unfit_gguf(meta),
    )
    name = meta.get("general.name", "")
    digests = [_cached_digest(str(part), *_stamp(part)) for part in files]
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return facts, whole, name if isinstance(name, str) else ""


def _part_of_a_model(meta: Mapping[str, object]) -> str | None:
    """What a GGUF file is that goes with a model and is none; None for a model."""
    kind = "mmproj" if meta.get("general.architecture") == "clip" else meta.get("general.type", "model")
    return {
        "mmproj": "the vision part of one",
        "adapter": "an adapter (LoRA) for one",
        "imatrix": "statistics for quantising one",
    }.get(str(kind))


def _whole_gguf(file: Path) -> tuple[Path, ...]:
    """The files of a GGUF model, all of them there."""
    files = parts_of(file)
    missing = [part.name for part in files if not part.is_file()]
    if missing and len(files) > 1:
        verb, more = ("are", ", ...") if len(missing) > 1 else ("is", "")
        raise BrokenModel(
            f"{len(missing)} of {len(files)} parts of the model {verb} missing in {file.parent}: {missing[0]}{more}.",
            "Fetch what is missing into the same folder, under its own name.",
        )
    if not _begins(file, b"GGUF"):
        read_gguf(file)  # says that it is none
    count = _cached_header(str(file), *_stamp(file)).metadata.get("split.count", 1)
    if isinstance(count, int) and count > 1 and len(files) != count:
        raise BrokenModel(
            f"{file.name} is a part of a model in {count} files, and its name does not say so.",
            f"Put all of them into one folder, named like NAME-00001-of-{count:05d}.gguf: llama.cpp goes by the names.",
        )
    return files


def read_config(folder: Path) -> dict[str, object]:
    """config.json of a model folder, with its `model_type`."""
    advice = "A model folder holds config.json and *.safetensors, as on the Hugging Face hub."
    file = folder / "config.json"
    if not file.is_file():
        raise BrokenModel(f"{folder} is not a model folder: it has no config.json.", advice)
    try:
        config = msgspec.json.decode(file.read_bytes(), type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise BrokenModel(f"config.json in {folder} cannot be read: {error}.", "Download the model again.") from error
    if not isinstance(config.get("model_type"), str):
        raise BrokenModel(f"config.json in {folder} does not say what architecture it is (model_type).", advice)
    return config


def facts_of_config(
    config: Mapping[str, object],
    *,
    kind: ModelKind,
    parameters: int,
    linear_parameters: int,
    stored_bytes: int,
    stored_dtype: str,
    has_tokenizer: bool = True,
) -> ModelFacts:
    """Facts from a Hugging Face config, whatever its architecture calls them; counts come from the caller."""
    text, shape = text_config(config), sizes(config)
    architecture = str(config.get("model_type", ""))
    divisors = _divisors(
        architecture,
        shape.hidden,
        shape.heads * shape.head,
        shape.kv_heads * shape.head,
        whole_number(text, "intermediate_size"),
    )
    return ModelFacts(
        kind=kind,
        architecture=architecture,
        parameters=parameters,
        stored_bytes=stored_bytes,
        stored_dtype=stored_dtype,
        layers=shape.layers,
        hidden=shape.hidden,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        head_dim=shape.head,
        attention=layers_of_config(config),
        vocabulary=whole_number(text, "vocab_size"),
        context_tokens=whole_number(text, "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"),
        linear_parameters=linear_parameters,
        linear_in_divisor=divisors[0],
        linear_out_divisor=divisors[1],
        has_tokenizer=has_tokenizer,
        unfit=unfit_config(config),
    )


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, in order of name; a shard its index names but the folder lacks is an error."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(msgspec.json.decode(index.read_bytes(), type=_Index).weight_map.values()))
        except msgspec.MsgspecError as error:
            raise BrokenModel(f"{index.name} in {folder} cannot be read: {error}.", "Download it again.") from error
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise BrokenModel(
                f"{len(missing)} of {len(names)} weight files are missing in {folder}: {missing[0]}"
                f"{', ...' if len(missing) > 1 else ''}.",
                "The download may not have finished: start it again.",
            )
        return [folder / name for name in names]
    single = folder / "model.safetensors"
    files = [single] if single.is_file() else sorted(folder.glob("*.safetensors"))
    if not files:
        others = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
        advice = "Weights in pickle files (.bin, .pt) are not loaded: convert them to safetensors." if others else ""
        raise BrokenModel(
            f"{folder} holds no *.safetensors weights.", advice or "The download may not have finished: start it again."
        )
    return files


class _Index(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


def _linear(architecture: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The matrices (output x input width) that weight quantisation changes."""
    if architecture in CONV1D:
        return []
    return [
        t
        for t in tensors
        if len(t.shape) == 2 and t.name.endswith(".weight") and not any(part in t.name for part in _NOT_CHANGED)
    ]


def _divisors(architecture: str, hidden: int, queries: int, keys: int, feed_forward: int) -> tuple[int, int]:
    """What divides the input and the output widths of every linear layer; 0, 0 where the config does not tell."""
    if architecture not in _PLAIN or not all((hidden, queries, keys, feed_forward)):
        return 0, 0
    return math.gcd(hidden, queries, feed_forward), math.gcd(hidden, queries, keys, feed_forward)


def _named_type(meta: Mapping[str, object], most: str) -> str:
    """What people call a GGUF file; `most`, the type of most weights, where it does not say or cannot be right."""
    told = meta.get("general.file_type")
    name = FILE_TYPES.get(told, "") if isinstance(told, int) else ""
    name = _FLOAT_NAMES.get(name, name)
    return name if name and (name in FLOATS) == (most in FLOATS) else most


def _common_dtype(tensors: Sequence[Tensor]) -> str:
    """The type that holds most weights: "bfloat16", "Q4_K"."""
    weights: dict[str, int] = {}
    for tensor in tensors:
        weights[tensor.dtype] = weights.get(tensor.dtype, 0) + tensor.weights
    most = max(weights, key=lambda name: weights[name], default="")
    return _FLOAT_NAMES.get(most, most)


def _stamp(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=256)
def _cached_header(path: str, _size: int, _mtime_ns: int) -> Header:
    file = Path(path)
    return read_gguf(file) if file.suffix == ".gguf" or _begins(file, b"GGUF") else read_safetensors(file)


def _begins(file: Path, magic: bytes) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(magic)) == magic


def _fingerprint(files: Sequence[Path], config: bytes) -> str:
    total = hashlib.sha256(config)
    for file in files:
        total.update(f"\n{file.name}\n".encode())
        total.update(bytes.fromhex(_cached_digest(str(file), *_stamp(file))))
    return total.hexdigest()


@lru_cache(maxsize=256)
def _cached_digest(path: str, size: int, mtime_ns: int) -> str:
    """SHA-256 of a file's size, header, and first and last 64 KiB."""
    header_bytes = _cached_header(path, size, mtime_ns).header_bytes
    found = hashlib.sha256(str(size).encode())
    with Path(path).open("rb") as stream:
        found.update(stream.read(max(header_bytes, EDGE_BYTES)))
        stream.seek(max(0, size - EDGE_BYTES))
        found.update(stream.read(EDGE_BYTES))
    return found.hexdigest()
