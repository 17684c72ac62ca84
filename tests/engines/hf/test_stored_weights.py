"""Packed weights count their elements: against models built from their configs, packed as each method packs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from engines.techniques.stored_precision import StoredPrecision, stored_precision
from engines.techniques.stored_weights import logical_weights

WIDTHS = {"F32": 4, "BF16": 2, "F16": 2, "I32": 4, "I64": 8, "U8": 1, "I8": 1, "F8_E4M3": 1}


@dataclass(frozen=True)
class Stored:
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * WIDTHS[self.dtype]


Pack = Callable[[str, int, int], Iterator[Stored]]
"""Name without ".weight", output and input width -> what is stored."""


def gptq(name: str, out: int, width: int) -> Iterator[Stored]:
    yield Stored(f"{name}.qweight", "I32", (width * 4 // 32, out))
    yield Stored(f"{name}.qzeros", "I32", (width // 32, out * 4 // 32))
    yield Stored(f"{name}.scales", "F16", (width // 32, out))
    yield Stored(f"{name}.g_idx", "I32", (width,))


def awq(name: str, out: int, width: int) -> Iterator[Stored]:
    yield Stored(f"{name}.qweight", "I32", (width, out * 4 // 32))
    yield Stored(f"{name}.qzeros", "I32", (width // 32, out * 4 // 32))
    yield Stored(f"{name}.scales", "F16", (width // 32, out))


def compressed(name: str, out: int, width: int) -> Iterator[Stored]:
    yield Stored(f"{name}.weight_packed", "I32", (out, width * 4 // 32))
    yield Stored(f"{name}.weight_scale", "BF16", (out, width // 32))
    yield Stored(f"{name}.weight_shape", "I64", (2,))


def fine_fp8(name: str, out: int, width: int) -> Iterator[Stored]:
    yield Stored(f"{name}.weight", "F8_E4M3", (out, width))
    yield Stored(f"{name}.weight_scale_inv", "F32", (1, 1))


def eight_bit(name: str, out: int, width: int) -> Iterator[Stored]:
    yield Stored(f"{name}.weight", "I8", (out, width))
    yield Stored(f"{name}.SCB", "F32", (out,))
    yield Stored(f"{name}.weight_format", "U8", ())


def nested_nf4(name: str, out: int, width: int) -> Iterator[Stored]:
    yield Stored(f"{name}.weight", "U8", (out * width // 2, 1))
    yield Stored(f"{name}.weight.absmax", "U8", (out * width // 64,))
    yield Stored(f"{name}.weight.nested_absmax", "F32", (1,))
    yield Stored(f"{name}.weight.nested_quant_map", "F32", (256,))
    yield Stored(f"{name}.weight.quant_map", "F32", (16,))
    yield Stored(f"{name}.weight.quant_state.bitsandbytes__nf4", "U8", (88,))


def nf4_in_bfloat16(name: str, out: int, width: int) -> Iterator[Stored]:
    yield Stored(f"{name}.weight", "BF16", (out * width // 4, 1))
    yield Stored(f"{name}.weight.absmax", "F32", (out * width // 64,))
    yield Stored(f"{name}.weight.quant_state.bitsandbytes__nf4", "U8", (88,))


GROUPS = {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int"}}}
METHODS: dict[str, tuple[dict[str, object], Pack, str, float]] = {
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": 32}, gptq, "gptq 4 bit", 4),
    "awq": ({"quant_method": "awq", "bits": 4}, awq, "awq 4 bit", 4),
    "awq, older": ({"quant_method": "awq", "w_bit": 4}, awq, "awq 4 bit", 4),
    "compressed": (
        {"quant_method": "compressed-tensors", "config_groups": GROUPS},
        compressed,
        "int4 (compressed-tensors)",
        4,
    ),
    "fp8": ({"quant_method": "fp8", "weight_block_size": [128, 128]}, fine_fp8, "fp8", 8),
    "int8": ({"quant_method": "bitsandbytes", "load_in_8bit": True}, eight_bit, "int8 (bitsandbytes)", 8),
    "nf4": ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, nested_nf4, "nf4", 4),
    "nf4, otherwise stored": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        nf4_in_bfloat16,
        "nf4",
        4,
    ),
}


@pytest.fixture(scope="module")
def llama() -> dict[str, tuple[int, ...]]:
    """Parameters of a model with a tied head, as transformers stores them."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        "llama",
        hidden_size=64,
        num_hidden_layers=2,
        vocab_size=96,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


CONFIG: dict[str, object] = {"model_type": "llama", "tie_word_embeddings": True}


@pytest.mark.real
@pytest.mark.parametrize("method", METHODS)
def test_that_a_packed_model_has_the_weights_of_the_one_it_was_made_of(
    llama: dict[str, tuple[int, ...]], method: str
) -> None:
    quantisation, pack, kind, bits = METHODS[method]
    config = {**CONFIG, "quantization_config": quantisation}
    stored = stored_precision(config)
    assert (stored.kind, stored.bits) == (kind, bits)
    assert stored.packages
    files: list[Stored] = []
    for name, shape in llama.items():
        if "proj" in name:
            files += pack(name.removesuffix(".weight"), *shape)
        else:
            files.append(Stored(name, "BF16", shape))
    found = logical_weights(files, config, stored)
    assert {one.name: one.weights for one in found} == {name: math.prod(shape) for name, shape in llama.items()}
    assert {one.name for one in found if one.packed} == {name for name in llama if "proj" in name}


@pytest.mark.real
def test_that_gpt_oss_in_mxfp4_has_the_weights_of_the_model() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        "gpt_oss",
        hidden_size=64,
        num_hidden_layers=1,
        vocab_size=96,
        intermediate_size=32,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        num_local_experts=4,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    parameters = {name: tuple(p.shape) for name, p in model.named_parameters()}
    files: list[Stored] = []
    for name, shape in parameters.items():
        if name.endswith(("gate_up_proj", "down_proj")):
            files.append(Stored(f"{name}_blocks", "U8", (shape[0], shape[2], shape[1] // 32, 16)))
            files.append(Stored(f"{name}_scales", "U8", (shape[0], shape[2], shape[1] // 32)))
        else:
            files.append(Stored(name, "BF16", shape))
    asked: dict[str, object] = {"model_type": "gpt_oss", "quantization_config": {"quant_method": "mxfp4"}}
    found = logical_weights(files, asked, stored_precision(asked))
    assert {one.name: one.weights for one in found} == {name: math.prod(shape) for name, shape in parameters.items()}


def test_that_bits_nobody_knows_leave_the_weights_unknown() -> None:
    stored = StoredPrecision("aqlm", "aqlm", 0, ())
    (found,) = logical_weights([Stored("a.qweight", "I32", (4, 4))], CONFIG, stored)
    assert (found.weights, found.packed) == (0, True)


HEAD, EMBEDDING = Stored("lm_head.weight", "BF16", (96, 64)), Stored("model.embed_tokens.weight", "BF16", (96, 64))


@pytest.mark.parametrize(
    ("config", "head", "weights"),
    [
        ({"model_type": "llama", "tie_word_embeddings": True}, HEAD, 96 * 64),
        ({"model_type": "llama", "tie_word_embeddings": False}, HEAD, 2 * 96 * 64),
        ({"model_type": "llama"}, HEAD, 2 * 96 * 64),
        ({"model_type": "gemma"}, HEAD, 96 * 64),
        ({"model_type": "x", "text_config": {"model_type": "gemma3_text"}}, HEAD, 96 * 64),
        ({"tie_word_embeddings": True}, Stored("lm_head.weight", "BF16", (96, 32)), 96 * 96),
    ],
)
def test_that_a_stored_copy_of_a_tied_head_counts_once(config: dict[str, object], head: Stored, weights: int) -> None:
    assert sum(one.weights for one in logical_weights([EMBEDDING, head], config, None)) == weights


@pytest.mark.real
def test_that_architectures_taken_for_tied_are_so_in_transformers() -> None:
    from transformers import AutoConfig

    from engines.techniques.stored_weights import _TIED_UNLESS_SAID

    for kind in _TIED_UNLESS_SAID:
        assert AutoConfig.for_model(kind).get_text_config().tie_word_embeddings is True, kind


def test_that_masks_and_frequencies_in_old_files_are_no_parameters() -> None:
    files = [
        Stored("h.0.attn.bias", "U8", (1, 1, 1024, 1024)),
        Stored("h.0.attn.masked_bias", "F32", ()),
        Stored("layers.0.self_attn.rotary_emb.inv_freq", "F32", (32,)),
        Stored("layers.0.attn.bias", "F32", (64,)),
    ]
    assert [one.name for one in logical_weights(files, {"model_type": "gpt2"}, None)] == ["layers.0.attn.bias"]


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({}, None),
        ({"quantization_config": None}, None),
        ({"quantization_config": {}}, None),
        ({"quantization_config": {"load_in_4bit": True}}, "fp4"),
        ({"text_config": {"quantization_config": {"quant_method": "mxfp4"}}}, "mxfp4"),
        ({"compression_config": {"config_groups": GROUPS}}, "int4 (compressed-tensors)"),
        ({"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {}}}, "compressed-tensors"),
        ({"quantization_config": {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4}}}},
         "hqq 4 bit"),
        ({"quantization_config": {"quant_method": "quanto", "weights": "int4"}}, "quanto int4"),
        ({"quantization_config": {"quant_method": "new"}}, "new"),
    ],
)  # fmt: skip
def test_that_the_kind_of_a_quantisation_is_read(config: dict[str, object], kind: str | None) -> None:
    found = stored_precision(config)
    assert (found.kind if found else None) == kind
