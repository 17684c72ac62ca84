"""A Hugging Face folder, or an architecture with random weights, as a GGUF file. No torch.

Tensors go through one by one, so memory holds one tensor of the model at a time. Runs in the process that
`engines.llama.ladder` starts for it. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from engines.llama.convert.names import Place, place_of, reordered, required
from engines.llama.convert.shape import Shape, shape_of
from engines.llama.convert.tokenizer import Vocabulary, read_vocabulary
from engines.llama.convert.weights import NUMPY_TYPES, Array, FloatType, Stored, converted, open_folder
from engines.llama.ladder.cache import CONVERTER_VERSION
from engines.worker.failures import WorkerFailure

Report = Callable[[str, float], None]

_FILE_TYPES: dict[FloatType, int] = {"F32": 0, "F16": 1, "BF16": 32}
_WRITER = {"gguf.converter": f"workbench {CONVERTER_VERSION}"}
_SPREAD = 0.02
"""Standard deviation of random weights: `initializer_range` of the architectures here."""


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    type: FloatType
    make: Callable[[], Array]
    release: Callable[[], None] = lambda: None
    """Called once it is written."""

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * NUMPY_TYPES[self.type].itemsize


def convert_folder(folder: Path, target: Path, wanted: FloatType, title: str, report: Report) -> dict[str, str]:
    """Write `folder` as `target`, matrices in `wanted`, norms and biases in float32; returns facts.

    Raises `WorkerFailure`, and OSError of the file system.
    """
    config = _config(folder)
    shape = shape_of(config)
    vocabulary = read_vocabulary(folder, config, shape.vocabulary)
    tensors = list(_folder_tensors(open_folder(folder), shape, wanted))
    _write(target, title, shape, vocabulary, wanted, tensors, report)
    facts = {"gguf.tokenizer": f"{vocabulary.model}, {vocabulary.pre}", **_WRITER}
    cautions = shape.cautions + vocabulary.cautions
    return facts | ({"gguf.cautions": "; ".join(cautions)} if cautions else {})


def write_random(config: Mapping[str, object], target: Path, title: str, report: Report) -> dict[str, str]:
    """Write an architecture with seeded normal weights in float16 and no tokenizer: speed and memory are true, there
    is no quality. The same config gives the same file. Raises `WorkerFailure`."""
    shape = shape_of(config)
    seed = int.from_bytes(hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).digest()[:8])
    tensors = list(_random_tensors(shape, seed, biased=config.get("model_type") == "qwen2"))
    _write(target, title, shape, None, "F16", tensors, report)
    return {"gguf.tokenizer": "none", "gguf.weights": f"random, seed {seed}", **_WRITER}


def parameters_of(config: Mapping[str, object]) -> int:
    """Weights of the architecture. Raises `WorkerFailure`."""
    return sum(math.prod(t.shape) for t in _random_tensors(shape_of(config), 0, biased=True))


# --- tensors ---------------------------------------------------------------------------------------


def _folder_tensors(stored: Mapping[str, Stored], shape: Shape, wanted: FloatType) -> Iterator[_Tensor]:
    placed: dict[str, tuple[Place, Stored, str]] = {}
    for name, tensor in stored.items():
        try:
            place = place_of(name, shape)
        except KeyError as error:
            raise _broken(f"it holds a tensor that a {shape.architecture} model does not have: {name}") from error
        if place is not None:
            placed[place.name] = (place, tensor, name)
    missing = sorted(required(shape) - placed.keys())
    if missing:
        raise _broken(f"it lacks {len(missing)} tensors ({missing[0]}, ...)")
    if shape.rope.frequency_factors is not None:
        factors = shape.rope.frequency_factors
        yield _Tensor("rope_freqs.weight", factors.shape, "F32", lambda: factors)
    for place, tensor, name in placed.values():
        kind: FloatType = wanted if tensor.raw.ndim > 1 else "F32"
        yield _Tensor(place.name, tensor.raw.shape, kind, _maker(tensor, place, shape, kind, name), tensor.release)


def _maker(tensor: Stored, place: Place, shape: Shape, kind: FloatType, name: str) -> Callable[[], Array]:
    def make() -> Array:
        try:
            return converted(reordered(tensor, place.part, shape), kind)
        except OverflowError as error:
            raise WorkerFailure(
                "technique",
                f"The model cannot be written in float16: {name}: {error}.",
                "Choose a quantised GGUF precision: those are made from the model's own type.",
            ) from error

    return make


def _random_tensors(shape: Shape, seed: int, *, biased: bool) -> Iterator[_Tensor]:
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    matrices = {
        "attn_q": (wide, shape.hidden),
        "attn_k": (narrow, shape.hidden),
        "attn_v": (narrow, shape.hidden),
        "attn_output": (shape.hidden, wide),
        "ffn_gate": (shape.feed_forward, shape.hidden),
        "ffn_up": (shape.feed_forward, shape.hidden),
        "ffn_down": (shape.hidden, shape.feed_forward),
    }
    biases = {"attn_q": wide, "attn_k": narrow, "attn_v": narrow} if biased else {}
    norms = {"attn_norm": shape.hidden, "ffn_norm": shape.hidden}
    if shape.architecture == "qwen3":
        norms |= {"attn_q_norm": shape.head_dim, "attn_k_norm": shape.head_dim}
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (shape.vocabulary, shape.hidden)}
    for layer in range(shape.layers):
        shapes |= {f"blk.{layer}.{name}.weight": size for name, size in matrices.items()}
        shapes |= {f"blk.{layer}.{name}.weight": (size,) for name, size in norms.items()}
        shapes |= {f"blk.{layer}.{name}.bias": (size,) for name, size in biases.items()}
    shapes["output_norm.weight"] = (shape.hidden,)
    if not shape.tied:
        shapes["output.weight"] = (shape.vocabulary, shape.hidden)
    if shape.rope.frequency_factors is not None:
        factors = shape.rope.frequency_factors
        yield _Tensor("rope_freqs.weight", factors.shape, "F32", lambda: factors)
    for number, (name, size) in enumerate(shapes.items()):
        if len(size) > 1:
            yield _Tensor(name, size, "F16", _normal(size, seed + number))
        else:
            value = 0.0 if name.endswith(".bias") else 1.0
            yield _Tensor(name, size, "F32", _constant(size, value))


def _normal(size: tuple[int, ...], seed: int) -> Callable[[], Array]:
    def make() -> Array:
        source = np.random.Generator(np.random.SFC64(seed))
        out = np.empty(size, np.float16)
        for row in range(0, size[0], 256):
            part = out[row : row + 256]
            part[:] = source.standard_normal(part.shape, np.float32) * _SPREAD
        return out

    return make


def _constant(size: tuple[int, ...], value: float) -> Callable[[], Array]:
    return lambda: np.full(size, value, np.float32)


# --- writing ---------------------------------------------------------------------------------------


def _write(
    target: Path,
    title: str,
    shape: Shape,
    vocabulary: Vocabulary | None,
    kind: FloatType,
    tensors: list[_Tensor],
    report: Report,
) -> None:
    writer = gguf.GGUFWriter(None, shape.architecture)
    writer.add_name(title)
    writer.add_file_type(_FILE_TYPES[kind])
    _add_shape(writer, shape)
    if vocabulary is None:
        writer.add_tokenizer_model("no_vocab")
    else:
        _add_vocabulary(writer, vocabulary)
    for tensor in tensors:
        raw_type = gguf.GGMLQuantizationType[tensor.type]
        writer.add_tensor_info(tensor.name, tensor.shape, NUMPY_TYPES[tensor.type], tensor.size_bytes, raw_type)
    try:
        writer.write_header_to_file(target)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        done, whole = 0, sum(t.size_bytes for t in tensors)
        for tensor in tensors:
            writer.write_tensor_data(np.ascontiguousarray(tensor.make()))
            tensor.release()
            done += tensor.size_bytes
            report(f"Converting: {tensor.name}", done / whole)
        for file in writer.fout or ():
            file.flush()
            os.fsync(file.fileno())
    finally:
        writer.close()


def _add_shape(writer: Any, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_base)
    rope = shape.rope
    if rope.type:
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope.type))
        writer.add_rope_scaling_factor(rope.factor)
    if rope.type == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope.original_context)
        if rope.attention_factor is not None:
            # llama.cpp multiplies its own 1 + 0.1 ln(factor) by this
            writer.add_rope_scaling_attn_factors(rope.attention_factor / (1.0 + 0.1 * math.log(rope.factor)))
        if rope.beta_fast is not None:
            writer.add_rope_scaling_yarn_beta_fast(rope.beta_fast)
        if rope.beta_slow is not None:
            writer.add_rope_scaling_yarn_beta_slow(rope.beta_slow)


def _add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list([piece.text for piece in vocabulary.pieces])
    writer.add_token_types([piece.kind for piece in vocabulary.pieces])
    if vocabulary.model == "llama":
        writer.add_token_scores([piece.score for piece in vocabulary.pieces])
        writer.add_add_space_prefix(vocabulary.space_prefix)
    if vocabulary.merges:
        writer.add_token_merges(list(vocabulary.merges))
    for add, number in (
        (writer.add_bos_token_id, vocabulary.bos),
        (writer.add_eos_token_id, vocabulary.eos),
        (writer.add_unk_token_id, vocabulary.unknown),
        (writer.add_pad_token_id, vocabulary.padding),
    ):
        if number is not None:
            add(number)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(vocabulary.add_eos)
    if vocabulary.chat_template:
        writer.add_chat_template(vocabulary.chat_template)


def _config(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _broken(f"its config.json cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise _broken("its config.json is not an object")
    return found


def _broken(why: str) -> WorkerFailure:
    return WorkerFailure(
        "model", f"The model cannot be converted: {why}.", "Its files may be incomplete. Fetch the model again."
    )
