"""Models that cannot go on with a text are known by their config or header."""

from __future__ import annotations

import pytest

from engines.techniques.unfit import _ENCODER_DECODERS, _ENCODERS, EAGER_ONLY, unfit_config, unfit_gguf


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "encoder-decoder"),
        ({"model_type": "new", "is_encoder_decoder": True}, "encoder-decoder"),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "encoder"),
        ({"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]}, "reward model"),
        ({"model_type": "qwen2", "architectures": ["Qwen2ForProcessRewardModel"]}, "reward model"),
        ({"model_type": "mistral", "architectures": ["MistralModel"]}, "without an output head"),
        ({"model_type": "bert", "is_decoder": True, "architectures": ["BertLMHeadModel"]}, ""),
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, ""),
        ({"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"]}, ""),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, ""),
        ({"model_type": "mamba", "architectures": ["MambaForCausalLM"]}, ""),
        ({"model_type": "llama"}, ""),
        ({}, ""),
    ],
)
def test_that_a_model_in_hugging_face_format_that_writes_no_text_is_known(config: dict[str, object], why: str) -> None:
    found = unfit_config(config)
    assert bool(found) == bool(why)
    assert why in found


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"general.architecture": "t5"}, "encoder-decoder"),
        ({"general.architecture": "bert"}, "encoder"),
        ({"general.architecture": "llama", "llama.attention.causal": False}, "encoder"),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 4}, "scores"),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 3}, "embeddings"),
        ({"general.architecture": "qwen3", "qwen3.pooling_type": 0}, ""),
        ({"general.architecture": "llama", "llama.attention.causal": True}, ""),
        ({"general.architecture": "mamba"}, ""),
        ({}, ""),
    ],
)
def test_that_a_gguf_file_that_writes_no_text_is_known(metadata: dict[str, object], why: str) -> None:
    found = unfit_gguf(metadata)
    assert bool(found) == bool(why)
    assert why in found


@pytest.mark.real
def test_that_transformers_says_the_same_of_its_architectures() -> None:
    import transformers
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    no_attention = {"mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"}
    for kind, name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        offered = getattr(transformers, name)
        if unfit_config({"model_type": kind, "architectures": [name]}) or kind in no_attention:
            continue
        assert (kind in EAGER_ONLY) != offered._supports_sdpa, kind
        config = AutoConfig.for_model(kind).to_dict() if kind in ("llama", "qwen2", "gpt2", "gemma2") else {}
        assert not unfit_config({**config, "architectures": [name]}), kind
    for kind in ("t5", "bart", "marian"):
        assert kind in _ENCODER_DECODERS
        assert AutoConfig.for_model(kind).is_encoder_decoder
    for kind in ("bert", "roberta", "modernbert"):
        assert kind in _ENCODERS
