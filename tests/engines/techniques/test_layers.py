"""What layers attend to and keep: against the caches that transformers makes, and worked examples of GGUF headers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.techniques.layers import (
    LayerGroup,
    Layers,
    attended,
    cached_numbers,
    grouped,
    layer_details,
    layers_of_details,
)
from engines.techniques.layers_config import layers_of_config
from engines.techniques.layers_gguf import layers_of_gguf

CONFIG: dict[str, object] = {
    "num_hidden_layers": 6,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
FULL = LayerGroup(1, 64, 64)


def several(count: int, window: int = 0, cached: int = 64) -> LayerGroup:
    return LayerGroup(count, 64, cached, window)


# --- arithmetic -------------------------------------------------------------------------------------


@given(positions=st.integers(0, 60), depth=st.integers(0, 60), window=st.integers(0, 70))
def test_that_positions_attended_to_are_those_counted_one_by_one(positions: int, depth: int, window: int) -> None:
    each = [depth + place for place in range(1, positions + 1)]
    assert attended(positions, depth, window) == sum(min(seen, window) if window else seen for seen in each)


@pytest.mark.parametrize(
    ("tokens", "spare", "numbers"),
    [(0, 0, 0), (1, 0, 192), (8, 0, 3 * 8 * 64), (9, 0, 2 * 8 * 64 + 9 * 64), (9, 1, 3 * 9 * 64)],
)
def test_that_layers_with_a_window_keep_no_more_than_it(tokens: int, spare: int, numbers: int) -> None:
    groups = (several(2, window=8), several(1), LayerGroup(5, 0, 0))
    assert cached_numbers(groups, tokens, spare) == numbers


def test_that_layers_survive_the_way_into_a_record_and_back() -> None:
    layers = grouped([FULL, several(1, 8), FULL])
    assert layers == Layers((several(2), several(1, 8)))
    assert layers_of_details(layer_details(layers)) == layers
    assert layers_of_details(layer_details(Layers(unknown="why"))) == Layers(unknown="why")
    assert layers_of_details({"layers": "2", "attention_width": "8"}).groups == (LayerGroup(2, 8, 0),)
    assert layers_of_details({"layers": "2"}).unknown
    assert layers_of_details({"attention_layers": "[["}).unknown
    assert (layers.shortest_window, Layers((several(3),)).shortest_window) == (8, 0)


# --- Hugging Face configs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "groups"),
    [
        ({"model_type": "llama"}, (several(6),)),
        ({"model_type": "mistral"}, (several(6, 4096),)),
        ({"model_type": "mistral", "sliding_window": None}, (several(6),)),
        ({"model_type": "mixtral", "sliding_window": 512}, (several(6, 512),)),
        ({"model_type": "phi3"}, (several(6),)),
        ({"model_type": "qwen2", "sliding_window": 8, "max_window_layers": 2}, (several(6),)),
        (
            {"model_type": "qwen2", "sliding_window": 8, "max_window_layers": 2, "use_sliding_window": True},
            (several(2), several(4, 8)),
        ),
        ({"model_type": "gemma2", "sliding_window": 8}, (several(3, 8), several(3))),
        ({"model_type": "gemma3_text", "sliding_window": 8, "sliding_window_pattern": 3}, (several(4, 8), several(2))),
        ({"model_type": "gemma3", "text_config": {**CONFIG, "model_type": "gemma3_text"}}, (several(5, 4096), FULL)),
        ({"model_type": "jamba", "attn_layer_period": 3, "attn_layer_offset": 1}, (LayerGroup(4, 0, 0), several(2))),
        ({"model_type": "lfm2", "full_attn_idxs": [5]}, (LayerGroup(5, 0, 0), FULL)),
        ({"model_type": "falcon_h1"}, (several(6),)),
        ({"model_type": "qwen3_next", "full_attention_interval": 3}, (LayerGroup(4, 0, 0), several(2))),
        ({"model_type": "mamba", "state_size": 16}, (LayerGroup(6, 0, 0),)),
        (
            {"model_type": "new", "layer_types": ["sliding_attention"] * 5 + ["full_attention"], "sliding_window": 8},
            (several(5, 8), FULL),
        ),
        (
            {"model_type": "gemma3n_text", "sliding_window": 8, "num_kv_shared_layers": 2},
            (several(4, 8), LayerGroup(1, 64, 0), LayerGroup(1, 64, 0, 8)),
        ),
        (
            {
                "model_type": "deepseek_v3",
                "kv_lora_rank": 5,
                "qk_nope_head_dim": 8,
                "qk_rope_head_dim": 4,
                "v_head_dim": 6,
            },
            (LayerGroup(6, 4 * 9, 5 + 4),),
        ),
    ],
)
def test_that_layers_are_read_from_a_config(more: dict[str, object], groups: tuple[LayerGroup, ...]) -> None:
    assert layers_of_config({**CONFIG, **more}).groups == groups


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"model_type": "new", "sliding_window": 8}, "sliding_window"),
        ({"model_type": "new", "mamba_d_state": 8}, "mamba_d_state"),
        ({"model_type": "new", "layer_types": ["odd_attention"] * 6}, "odd_attention"),
        ({"model_type": "new", "layer_types": ["full_attention"] * 5}, "5 kinds for 6 layers"),
        ({"model_type": "new", "layer_types": ["sliding_attention"] * 6}, "no size"),
        ({"model_type": "llama", "num_hidden_layers": 0}, "how many layers"),
        ({"model_type": "llama", "num_attention_heads": None}, "attention heads"),
        ({"model_type": "openelm", "num_key_value_heads": [2, 1, 1, 1, 1, 1]}, "one number"),
    ],
)
def test_that_a_config_without_a_rule_is_unknown_with_the_reason(more: dict[str, object], why: str) -> None:
    layers = layers_of_config({**CONFIG, **more})
    assert layers.groups == ()
    assert why in layers.unknown


@pytest.mark.real
def test_that_no_architecture_of_transformers_is_read_otherwise_than_transformers_caches_it() -> None:
    from transformers import AutoConfig, DynamicCache
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    from engines.techniques.layers_config import _WINDOWS

    read = set()
    for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        try:
            config = AutoConfig.for_model(kind).get_text_config(decoder=True)
            cache = DynamicCache(config=config)
        except Exception:  # some defaults are no model
            continue
        kept = [layer for layer in cache.layers if hasattr(layer, "keys") and type(layer).__name__ != "DummyLayer"]
        windows = Counter(getattr(layer, "sliding_window", 0) for layer in kept)
        told = config.to_dict()
        # as older files are: without the list that newer ones have
        for as_written in (told, {**told, "layer_types": None}):
            groups = layers_of_config(as_written).groups
            if not groups or kind in ("rwkv", "xlstm"):  # states of their own, which the general cache knows nothing of
                continue
            read.add(str(config.model_type))
            found: Counter[int] = Counter()
            for group in groups:
                found[group.window] += group.layers if group.cached else 0
            assert +found == windows, kind
    assert len(read) > 80
    assert set(_WINDOWS) <= read


# --- GGUF headers -----------------------------------------------------------------------------------


def gguf(kind: str, **more: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "block_count": 6,
        "embedding_length": 64,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
    }
    told = plain | {name.replace("__", "."): value for name, value in more.items()}
    return {"general.architecture": kind, **{f"{kind}.{name}": value for name, value in told.items() if value != ""}}


@pytest.mark.parametrize(
    ("metadata", "groups"),
    [
        (gguf("llama"), (several(6),)),
        (gguf("llama", attention__head_count_kv=""), (several(6, cached=128),)),
        (gguf("llama", attention__sliding_window=8), (several(6),)),
        (gguf("jamba", ssm__state_size=16, attention__head_count_kv=(0, 0, 0, 2, 0, 0)), (LayerGroup(5, 0, 0), FULL)),
        (
            gguf("deci", attention__head_count_kv=(4, 2, 1, 1, 1, 1)),
            (several(1, cached=128), FULL, several(4, cached=32)),
        ),
        (gguf("lfm2", attention__head_count_kv=(0, 0, 2, 0, 0, 2)), (LayerGroup(4, 0, 0), several(2))),
        (gguf("mamba", ssm__state_size=16, attention__head_count=0), (LayerGroup(6, 0, 0),)),
        (gguf("rwkv7", attention__head_count=0), (LayerGroup(6, 0, 0),)),
        (gguf("falcon-h1", ssm__state_size=16), (several(6),)),
        (gguf("qwen3next", ssm__state_size=16, full_attention_interval=3), (LayerGroup(4, 0, 0), several(2))),
        (gguf("gemma3", attention__sliding_window=8), (several(5, 8), FULL)),
        (gguf("gemma3"), (several(6),)),
        (gguf("gemma2"), (several(3, 4096), several(3))),
        (gguf("gpt-oss", attention__sliding_window=128), (several(3, 128), several(3))),
        (gguf("cohere2moe", attention__sliding_window=8), (several(2), several(4, 8))),
        (
            gguf("gemma4", attention__sliding_window=8, attention__sliding_window_pattern=(True, True, False) * 2,
                 attention__key_length=32, attention__value_length=32, attention__key_length_swa=16,
                 attention__value_length_swa=16, attention__shared_kv_layers=1),
            (several(4, 8), LayerGroup(1, 128, 128), LayerGroup(1, 128, 0)),
        ),
        (gguf("glm4moe", nextn_predict_layers=1), (several(5),)),
        (
            gguf("deepseek2", attention__head_count_kv=1, attention__key_length=20, attention__value_length=16,
                 attention__key_length_mla=12, attention__value_length_mla=8),
            (LayerGroup(6, 40, 20),),
        ),
    ],
)  # fmt: skip
def test_that_layers_are_read_from_a_gguf_header(metadata: dict[str, object], groups: tuple[LayerGroup, ...]) -> None:
    assert layers_of_gguf(metadata).groups == groups


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        (gguf("new", attention__sliding_window=8), "which layers"),
        (gguf("new", ssm__state_size=16), "recurrent"),
        (gguf("llama", attention__head_count_kv=(2, 2)), "head_count_kv"),
        (gguf("llama", attention__head_count=""), "attention heads"),
        (gguf("llama", block_count=0), "how many layers"),
        (gguf("llama", embedding_length=""), "how large"),
        ({}, "how many layers"),
    ],
)
def test_that_a_gguf_header_that_does_not_tell_is_unknown_with_the_reason(
    metadata: dict[str, object], why: str
) -> None:
    layers = layers_of_gguf(metadata)
    assert layers.groups == ()
    assert why in layers.unknown
