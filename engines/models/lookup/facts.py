"""A model on disk: its facts, and whether it is whole. Reads config.json and headers, never weights.

No heavy import; any thread. Raises `BrokenModel` with a sentence for people. Which files make the model is
`engines.models.files`' to say, what it is the same as `workbench.models.identity`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import msgspec

from engines.models.files import BrokenModel, folder_files, read_config
from engines.models.gguf import read_model
from engines.models.headers import Header, Tensor, read_gguf, read_safetensors
from engines.protocol.gguf_types import FILE_TYPES, ListLength
from engines.protocol.orders import ModelKind
from engines.techniques import ModelFacts
from engines.techniques.facts import CONV1D
from engines.techniques.layers_config import layers_of_config, sizes, text_config, whole_number
from engines.techniques.layers_gguf import layers_of_gguf
from engines.techniques.stored_precision import stored_precision
from engines.techniques.stored_weights import logical_weights
from engines.techniques.unfit import unfit_config, unfit_gguf
from engines.techniques.weights import weights_of
from engines.techniques.weights_config import weights_of_config

FLOATS = frozenset({"float64", "float32", "float16", "bfloat16"})
"""Values of `ModelFacts.stored_dtype` that are no quantisation."""
_FLOAT_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64", "I8": "int8"}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
_PACKED = (".qweight", ".weight_packed", ".weight.absmax")
"""Ends of the names of tensors that only a quantised model has."""
_NOT_CHANGED = ("embed", "wte", "wpe", "lm_head", "router", ".experts.", ".gate.weight")
"""Parts of the names of matrices that weight quantisation leaves alone: embeddings, the output head, routers, and the
experts that transformers stacks in one tensor a layer."""
_PLAIN = frozenset({"llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma2", "gemma3_text", "olmo2"})
"""Architectures all of whose linear layers lie between the hidden states, the heads and the feed-forward width."""


def inspect_folder(folder: Path) -> tuple[ModelFacts, tuple[str, ...]]:
    """Facts of a folder in Hugging Face format with safetensors weights, and files that look like weights of it and
    are not read."""
    config = read_config(folder)
    files = folder_files(folder)
    tensors = [t for file in files.weights for t in _header_of(read_safetensors, file).tensors]
    if not tensors:
        raise BrokenModel(f"The weight files of {folder.name} hold no tensors.", "Download the model again.")
    linear = _linear(str(config["model_type"]), tensors)
    stored = stored_precision(config)
    if stored is None and any(t.name.endswith(_PACKED) for t in tensors):
        raise BrokenModel(
            f"{folder.name} holds packed weights, and its config.json has no quantization_config that says how.",
            "transformers would put random weights in their place. Where there is a quantize_config.json, add what it "
            "says to config.json as quantization_config, with its quant_method.",
        )
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
    else:
        by_name = {t.name: t.shape for t in tensors}
        head = any(name.endswith(("lm_head.weight", "embed_out.weight")) for name in by_name)
        transposed = facts.architecture in CONV1D
        weights = weights_of(by_name.items(), transposed=transposed, tied=not head)
        facts = msgspec.structs.replace(facts, weights=weights)
    facts = msgspec.structs.replace(
        facts,
        linear_in_divisor=math.gcd(*(t.shape[1] for t in linear)),
        linear_out_divisor=math.gcd(*(t.shape[0] for t in linear)),
        quantised=stored.kind if stored else "",
        quantised_by=stored.method if stored else "",
        quantised_packages=stored.packages if stored else (),
    )
    return facts, files.ignored


def inspect_gguf(file: Path) -> tuple[ModelFacts, str]:
    """Facts and the file's own name ("" where it has none) of a GGUF model, by its file or its first part."""
    model = read_model(file, partial(_header_of, read_gguf))
    meta, tensors = model.metadata, model.tensors
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
    return facts, name if isinstance(name, str) else ""


def _part_of_a_model(meta: Mapping[str, object]) -> str | None:
    """What a GGUF file is that goes with a model and is none; None for a model."""
    kind = "mmproj" if meta.get("general.architecture") == "clip" else meta.get("general.type", "model")
    return {
        "mmproj": "the vision part of one",
        "adapter": "an adapter (LoRA) for one",
        "imatrix": "statistics for quantising one",
    }.get(str(kind))


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
        weights=weights_of_config(config),
        unfit=unfit_config(config),
    )


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


def _header_of(read: Callable[[Path], Header], file: Path) -> Header:
    stat = file.stat()
    return _cached_header(read, file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _cached_header(read: Callable[[Path], Header], file: Path, _size: int, _mtime_ns: int) -> Header:
    return read(file)
