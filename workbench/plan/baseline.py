"""What a configuration is measured against when it is named: only what differs from these values enters its hash. So
a new field, setting, technique or axis changes no hash that exists. Pure; any thread.

The tables are frozen. A value here never changes, also where a default changes later. What is added to the
application gets a line here, with its default of that day; what no line names (a plug-in's) has its declared default.
"""

from __future__ import annotations

import msgspec

from engines.catalogue import find as find_engine
from engines.protocol.orders import EngineOrder, Inference, Workload
from engines.techniques import axes, find

KIND = str(Inference.__struct_config__.tag)

WORK: dict[str, dict[str, object]] = {
    "inference": {
        "task": "generate",
        "prompt_tokens": 128,
        "new_tokens": 64,
        "batch_size": 1,
        "depth_tokens": 0,
        "prompt_file": "",
        "prompt_file_hash": "",
        "requests": 3,
        "window_s": 5,
        "warmup_requests": 10,
        "perplexity_tokens": 0,
        "text_tokens": 0,
        "tasks": (),
        "task_samples": 0,
        "idle_s": None,
        "prefill_energy_s": None,
    },
    "training": {
        "data": "built-in",
        "data_hash": "",
        "steps": 60,
        "warmup_steps": 3,
        "sequence_tokens": 128,
        "batch_size": 4,
        "learning_rate": 2e-4,
        "schedule_warmup_steps": 5,
        "weight_decay": 0,
        "clip_norm": 1,
        "rate_floor": 0,
        "beta1": 0.9,
        "beta2": 0.999,
        "evaluation_tokens": 2048,
        "prompt_column": "",
        "response_column": "",
        "messages_column": "",
        "text_column": "",
        "loss_on": "response",
        "template": "chat",
        "packing": True,
        "validation_share": 0.05,
        "test_share": 0.05,
        "split_seed": 7,
        "accumulation": 1,
        "stop_at": "steps",
        "token_budget": 0,
        "time_budget_s": 0,
        "target_loss": 0,
        "optimiser": "adamw",
        "autocast": "off",
        "checkpointing": False,
        "compile": False,
        "evaluate_every": 0,
        "keep": "nothing",
        "checkpoint_every": 0,
        "idle_s": None,
    },
    "pretraining": {
        "data": "built-in",
        "data_hash": "",
        "text_column": "",
        "validation_share": 0.05,
        "test_share": 0.05,
        "split_seed": 7,
        "vocabulary_tokens": 4096,
        "match_parameters": True,
        "sequence_tokens": 256,
        "batch_size": 8,
        "accumulation": 1,
        "stop_at": "steps",
        "token_budget": 0,
        "time_budget_s": 0,
        "target_loss": 0,
        "steps": 300,
        "learning_rate": 0.001,
        "warmup_steps": 3,
        "schedule_warmup_steps": 20,
        "rate_floor": 0.1,
        "weight_decay": 0.1,
        "beta1": 0.9,
        "beta2": 0.95,
        "clip_norm": 1,
        "optimiser": "adamw",
        "autocast": "off",
        "checkpointing": False,
        "compile": False,
        "evaluate_every": 50,
        "evaluation_tokens": 16384,
        "keep": "nothing",
        "checkpoint_every": 0,
        "idle_s": None,
    },
}
"""By kind of work, every field."""

ENGINE: dict[str, object] = {"id": "transformers", "threads": 0}

SETTINGS: dict[str, dict[str, object]] = {
    "transformers": {"attention": "sdpa"},
    "llama.cpp": {
        "batch_tokens": 2048,
        "micro_batch_tokens": 512,
        "flash_attention": "auto",
        "gpu_layers": -1,
        "memory_map": True,
    },
}
"""By engine."""

AXES: dict[str, dict[str, str]] = {
    "precision": {"": "precision.float32", "gguf": "precision.gguf-stored", "quantised": "precision.as-stored"},
    "kv_cache": {"": "kv_cache.full"},
    "finetune": {"": ""},
    "adapter": {"": "adapter.unmerged"},
    "attention": {"": ""},
    "positions": {"": ""},
    "feedforward": {"": ""},
    "data": {"": ""},
}
"""By axis and what keeps a precision of its own (`engines.techniques.chosen.keeps_of`); "" for all others."""

_ADAPTER: dict[str, object] = {"dropout": 0, "target_modules": "all-linear", "modules": "", "experts": False}

PARAMETERS: dict[str, dict[str, object]] = {
    "precision.int8": {"compute": "auto"},
    "precision.llm-int8": {"threshold": 6.0, "compute": "auto"},
    "precision.quanto-int8": {"compute": "auto"},
    "precision.float8": {"compute": "auto"},
    "precision.nf4": {"double_quantisation": False, "compute": "auto"},
    "precision.fp4": {"double_quantisation": False, "compute": "auto"},
    "precision.int4": {"group_size": "auto"},
    "precision.quanto-int4": {"compute": "auto"},
    "finetune.lora": {"rank": 8, "alpha": 16, "learning_rate": 2e-4, **_ADAPTER},
    "finetune.lora-plus": {"rank": 8, "alpha": 16, "ratio": 16, "learning_rate": 5e-5, **_ADAPTER},
    "finetune.rslora": {"rank": 8, "alpha": 16, "learning_rate": 1e-4, **_ADAPTER},
    "finetune.dora": {"rank": 8, "alpha": 16, "learning_rate": 2e-4, **_ADAPTER},
    "finetune.pissa": {"rank": 8, "alpha": 8, "iterations": 0, "learning_rate": 1e-4, **_ADAPTER},
    "finetune.olora": {"rank": 8, "alpha": 16, "learning_rate": 1e-4, **_ADAPTER},
    "finetune.qlora": {"rank": 8, "alpha": 16, "learning_rate": 2e-4, **_ADAPTER},
    "finetune.adalora": {
        "rank": 8,
        "start_rank": 12,
        "alpha": 16,
        "dropout": 0.0,
        "target_modules": "all-linear",
        "modules": "",
        "first_share": 0.1,
        "last_share": 0.3,
        "interval": 1,
        "orthogonal": 0.5,
        "learning_rate": 0.001,
    },
    "finetune.vera": {
        "rank": 256,
        "dropout": 0.0,
        "target_modules": "all-linear",
        "modules": "",
        "learning_rate": 0.004,
    },
    "finetune.ia3": {"learning_rate": 0.003},
    "finetune.loha": {"rank": 8, "alpha": 8, **_ADAPTER, "learning_rate": 0.0005},
    "finetune.lokr": {"rank": 8, "alpha": 8, **_ADAPTER, "learning_rate": 0.001},
    "finetune.glora": {"rank": 4, **_ADAPTER, "learning_rate": 0.0002},
    "finetune.miss": {
        "rank": 32,
        "dropout": 0.0,
        "target_modules": "all-linear",
        "modules": "",
        "learning_rate": 0.0002,
    },
    "finetune.oft": {"block_size": 32, **_ADAPTER, "learning_rate": 0.0005},
    "finetune.prefix": {"virtual_tokens": 20, "learning_rate": 0.01},
    "finetune.prompt": {"virtual_tokens": 20, "start": "vocabulary", "learning_rate": 0.03},
    "finetune.p-tuning": {"virtual_tokens": 20, "encoder_width": 128, "learning_rate": 0.001},
    "finetune.bitfit": {"learning_rate": 0.001},
    "finetune.freeze": {"blocks": 2, "learning_rate": 5e-05},
    "finetune.full": {"learning_rate": 2e-05},
    "data.near": {"similarity": 0.8},
    "data.quality": {"characters": 200, "compression": 1.3, "repeated_lines": 0.3, "repeated_words": 0.1},
    "attention.gqa": {"kv_heads": 2},
    "attention.sliding": {"window": 128},
    "attention.mla": {"latent": 0, "rope_dims": 0},
    "attention.nsa": {"window": 128, "block": 64, "selected": 4},
    "attention.mamba": {"state": 16},
    "attention.mamba2": {"state": 64},
    "positions.rope": {"base": 10000.0},
    "positions.learned": {"context": 2048},
    "positions.t5": {"buckets": 32, "max_distance": 128},
    "feedforward.moe": {"experts": 8, "top_k": 2, "shared": 0, "expert_width": 0, "balance": 0.01},
}
"""By technique."""

NOWHERE = object()
"""Stands for no baseline: whatever is said differs."""


def of_field(workload: Workload, name: str) -> object:
    """A field of a kind of work."""
    kind = str(workload.__struct_config__.tag)
    return WORK.get(kind, {}).get(name, _declared(workload, name))


def of_engine(engine: EngineOrder, name: str) -> object:
    """A field of the engine's order, its own settings apart."""
    return ENGINE.get(name, _declared(engine, name))


def of_setting(engine: str, name: str) -> object:
    """A setting of an engine's own."""
    info = find_engine(engine)
    declared = {s.name: s.default for s in info.settings} if info is not None else {}
    return SETTINGS.get(engine, {}).get(name, declared.get(name, NOWHERE))


def of_axis(axis: str, keeps: str) -> str:
    """The technique that an axis has where nothing is chosen; "" of an axis that is not known here."""
    table = AXES.get(axis) or {"": next((a.default for a in axes() if a.id == axis), "")}
    return table.get(keeps, table[""])


def of_parameter(technique: str, name: str) -> object:
    known = find(technique)
    declared = known.defaults() if known is not None else {}
    return PARAMETERS.get(technique, {}).get(name, declared.get(name, NOWHERE))


def _declared(struct: msgspec.Struct, name: str) -> object:
    """The default of a struct's field."""
    field = next(f for f in msgspec.structs.fields(struct) if f.name == name)
    return NOWHERE if field.default is msgspec.NODEFAULT else field.default
