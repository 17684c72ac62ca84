"""Tiny models of several families in Hugging Face format, and llama.cpp's logits of a GGUF file. Imports torch late."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.protocol.orders import EngineOrder, ModelOrder, TechniqueOrder, TrialOrder
from tests.tiny_model import CONTEXT_TOKENS, VOCABULARY, make_tiny_model

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "tie_word_embeddings": True},
    "llama with biases, untied, wide heads": {
        "model_type": "llama",
        "tie_word_embeddings": False,
        "attention_bias": True,
        "head_dim": 32,
    },
    "llama 3 rope": {
        "model_type": "llama",
        "max_position_embeddings": 2048,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "linear rope": {
        "model_type": "llama",
        "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    },
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": False},
    "qwen2 yarn": {
        "model_type": "qwen2",
        "max_position_embeddings": 1024,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 32, "tie_word_embeddings": True},
    "mistral": {"model_type": "mistral", "sliding_window": 512, "tie_word_embeddings": False},
}


def make_family(folder: Path, settings: dict[str, Any], dtype: str = "float32", *, begins: bool = False) -> Path:
    """A random model of a family, its norms and biases random too, with the tiny model's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    make_tiny_model(folder, begins=begins)
    kind = settings["model_type"]
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT_TOKENS,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    config = AutoConfig.for_model(kind, **{**shape, **{k: v for k, v in settings.items() if k != "model_type"}})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for name, value in model.named_parameters():
                # large enough that attention depends on positions, so that a wrong rotation shows
                value.copy_(torch.randn(value.shape) * (0.1 if value.ndim > 1 else 0.3) + ("norm" in name))
    (folder / "model.safetensors").unlink()
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    return folder


def transformers_logits(folder: Path, ids: list[int]) -> np.ndarray:
    """[tokens, vocabulary] in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    with torch.inference_mode():
        found: np.ndarray = model(input_ids=torch.tensor([ids])).logits[0].float().numpy()
    return found


def llama_logits(gguf: Path, ids: list[int]) -> np.ndarray:
    """[tokens, vocabulary] in float32, computed in one batch on the processor without flash attention."""
    from engines.llama.library import library

    api = library().api
    loading = api.llama_model_default_params()
    loading.use_extra_bufts = False  # a build's code for AMX may be broken (`engines.llama.amx`)
    model = api.llama_model_load_from_file(os.fsencode(gguf), loading)
    assert model, library().words.last_error
    try:
        settings = api.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = len(ids)
        settings.n_threads = settings.n_threads_batch = 2
        settings.flash_attn_type = 0
        settings.type_k = settings.type_v = 0  # float32
        context = api.llama_init_from_model(model, settings)
        assert context, library().words.last_error
        vocabulary = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model))
        batch = api.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for n, token in enumerate(ids):
            batch.token[n], batch.pos[n], batch.n_seq_id[n], batch.seq_id[n][0], batch.logits[n] = token, n, 1, 0, 1
        assert api.llama_decode(context, batch) == 0
        address = ctypes.cast(api.llama_get_logits(context), ctypes.POINTER(ctypes.c_float))
        found = np.ctypeslib.as_array(address, (len(ids), vocabulary)).copy()
        api.llama_batch_free(batch)
        api.llama_free(context)
    finally:
        api.llama_model_free(model)
    return found


def gguf_order(model: ModelOrder, technique: str, **changes: Any) -> TrialOrder:
    """A trial of `model` by llama.cpp."""
    order: dict[str, Any] = {
        "trial": "trial",
        "experiment": "experiment",
        "store": "store",
        "configuration": "configuration",
        "title": model.title,
        "block": 0,
        "position": 0,
        "total": 1,
        "seed": 0,
        "experiment_title": "",
        "model": model,
        "techniques": (TechniqueOrder(id=technique),),
        "engine": EngineOrder(id="llama.cpp", threads=2),
    }
    return TrialOrder(**{**order, **changes})


def need_llama() -> None:
    """Skip where the GGUF engine is not installed."""
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (make gguf)")
    pytest.importorskip("gguf", reason="the package gguf is not installed (make gguf)")


def copy_of(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target))
