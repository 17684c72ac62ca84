"""Matrices, biases and blocks by a config or by a file's header are those of the model that transformers builds."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from engines.models.lookup.catalogue import CatalogueEntry, catalogue
from engines.techniques.weights import Weights, weights_of
from engines.techniques.weights_config import weights_of_config
from tests.engines.finetune.kit import SMALL, built, config_of


def plain(weights: Weights) -> tuple[object, ...]:
    return sorted(weights.matrices, key=lambda m: (m.name, m.inputs)), weights.biases, weights.blocks


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_that_a_config_tells_the_shapes_that_transformers_builds(kind: str) -> None:
    shapes = built(config_of(kind))
    told = weights_of_config(config_of(kind))
    assert told.known
    assert plain(told) == plain(weights_of(shapes.items(), transposed=kind == "gpt2"))
    assert told.biases == sum(shape[0] for name, shape in shapes.items() if name.endswith(".bias"))
    assert told.tied == (not any("lm_head" in name or "embed_out" in name for name in shapes))
    inside = {name: shape for name, shape in shapes.items() if any(part.isdigit() for part in name.split("."))}
    assert sum(told.blocks) == sum(math.prod(shape) for shape in inside.values())
    assert len(told.blocks) == 3


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe"])
def test_that_experts_stored_one_by_one_are_those_that_transformers_stacks(kind: str, tmp_path: Path) -> None:
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM

    config = config_of(kind)
    settings = {key: value for key, value in config.items() if key != "model_type"}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings)).save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert any(".experts.0." in name for name in stored)
    assert plain(weights_of(stored.items())) == plain(weights_of_config(config))
    assert all("gate" not in matrix.name.rpartition(".")[2].split("_")[0] or matrix.experts
               for matrix in weights_of(stored.items()).matrices)  # fmt: skip


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.id)
def test_that_the_shapes_of_every_built_in_model_are_known(entry: CatalogueEntry) -> None:
    weights = entry.facts("random").weights
    assert weights.known
    if not weights.transposed:
        assert sum(m.count * m.inputs * m.outputs for m in weights.layers) == entry.linear_parameters


def test_that_nothing_is_said_of_what_is_not_known() -> None:
    assert not weights_of([]).known
    assert not weights_of([("wte.weight", (96, 64))]).known
    two = [("text.layers.0.q.weight", (4, 4)), ("vision.layers.0.q.weight", (4, 4))]
    assert not weights_of(two).known
    assert not weights_of_config({"model_type": "xlstm", "hidden_size": 8, "num_hidden_layers": 2}).known
    assert not weights_of_config({"model_type": "llama"}).known
