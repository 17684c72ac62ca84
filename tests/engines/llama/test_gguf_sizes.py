"""Bits per weight of the quantisation ladder, reckoned from a model's shape, against what llama.cpp says."""

from __future__ import annotations

import msgspec
import pytest

from engines.models.lookup.catalogue import find_entry
from engines.techniques import MachineFacts, ModelFacts, find
from engines.techniques.gguf import LADDER, TECHNIQUES, type_name
from engines.techniques.gguf_sizes import bits_per_weight
from workbench.plan.memory import weight_bytes

SAID = {
    # `llama_model_quantize` with dry_run, llama-cpp-python 0.3.36: F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0, Q3_K_M, Q2_K
    "smollm2-135m-instruct": (16.0, 8.51, 8.12, 6.56, 6.17, 5.35, 5.46, 5.14),
    "smollm2-360m-instruct": (16.0, 8.5, 8.08, 6.37, 5.94, 5.03, 5.15, 4.8),
    "smollm2-1.7b-instruct": (16.0, 8.5, 6.56, 5.72, 4.93, 4.62, 4.01, 3.15),
    "qwen2.5-0.5b-instruct": (16.0, 8.5, 8.09, 6.71, 6.35, 5.61, 5.66, 5.39),
    "qwen2.5-1.5b-instruct": (16.0, 8.5, 6.56, 5.8, 5.08, 4.81, 4.24, 3.47),
    "qwen2.5-7b-instruct": (16.0, 8.5, 6.56, 5.71, 4.91, 4.65, 3.99, 3.16),
    "qwen3-0.6b": (16.0, 8.5, 6.57, 5.88, 5.24, 5.04, 4.58, 3.9),
    "tinyllama-1.1b-chat": (16.0, 8.5, 6.56, 5.68, 4.85, 4.63, 3.98, 3.14),
    "llama-3.2-1b-instruct": (16.0, 8.5, 6.56, 5.85, 5.18, 4.94, 4.42, 3.71),
    "llama-3.2-3b-instruct": (16.0, 8.5, 6.56, 5.76, 5.01, 4.75, 4.18, 3.38),
    "llama-3.1-8b-instruct": (16.0, 8.5, 6.56, 5.7, 4.89, 4.64, 4.0, 3.16),
    "mistral-7b-v0.1": (16.0, 8.5, 6.56, 5.67, 4.83, 4.54, 3.89, 3.0),
}


def facts_of(name: str) -> ModelFacts:
    entry = find_entry(name)
    return entry.facts("random")


@pytest.mark.parametrize("name", SAID)
def test_that_the_estimate_is_what_the_quantiser_says(name: str) -> None:
    found = [bits_per_weight(type_name, facts_of(name)) for type_name in LADDER]
    assert found == pytest.approx(SAID[name], rel=0.005)


def test_that_the_memory_plan_uses_it() -> None:
    """The starter's Q4_K_M: 105,453,920 bytes in all, 103,668,480 of tensors."""
    from engines.protocol.orders import TechniqueOrder

    needed = weight_bytes(
        facts_of("smollm2-135m-instruct"), (TechniqueOrder(id="precision.q4_k_m"),), MachineFacts(device_kind="cpu")
    )
    assert needed == pytest.approx(103_668_480, rel=0.005)


@pytest.mark.parametrize("change", [{"linear_parameters": 106_168_321}, {"hidden": 0}, {"linear_parameters": 0}])
def test_that_another_kind_of_model_falls_back_to_round_figures(change: dict[str, int]) -> None:
    facts = msgspec.structs.replace(facts_of("smollm2-135m-instruct"), **change)
    assert bits_per_weight("Q4_K_M", facts) is None
    technique = find("precision.q4_k_m")
    assert technique.stored_bits is not None
    assert technique.stored_bits({}) == 4.9


def test_that_every_rung_names_a_file_type() -> None:
    assert [type_name(t.id) for t in TECHNIQUES] == [None, *LADDER]
    assert all(t.stored_bits is not None and t.stored_bits({}) >= t.bits for t in TECHNIQUES[1:])
