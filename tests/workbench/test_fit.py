"""Estimates of memory and time, against worked examples and against real tensors."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.protocol.orders import EngineOrder, TechniqueOrder, WorkloadOrder
from engines.protocol.tasks import LOCAL_TASKS
from engines.techniques import MachineFacts, ModelFacts, find
from engines.techniques.layers import LayerGroup, Layers
from workbench.catalogue import catalogue, find_entry
from workbench.fit import (
    CUDA_CONTEXT_BYTES,
    PROCESS_BYTES,
    activation_bytes,
    cache_bits,
    cache_bytes,
    compute_bits,
    estimate_memory,
    estimate_once_seconds,
    estimate_seconds,
    questions_asked,
    weight_bytes,
)

PLAIN = MachineFacts(device_kind="cpu", threads_default=1, memory_total_bytes=2**34, memory_free_bytes=2**33)
WITH_BF16 = MachineFacts(device_kind="cpu", threads_default=1, processor_flags=frozenset({"avx512_bf16"}))
GPU = MachineFacts(device_kind="cuda", memory_total_bytes=2**36, memory_free_bytes=2**36)


def facts(id: str = "smollm2-135m-instruct") -> ModelFacts:
    entry = find_entry(id)
    assert entry is not None
    return entry.facts("random")


def precision(name: str, **parameters: str) -> tuple[TechniqueOrder, ...]:
    return (TechniqueOrder(id=f"precision.{name}", parameters=dict(parameters)),)


def test_that_weights_are_counted_by_the_bits_of_their_technique() -> None:
    smollm = facts()
    assert weight_bytes(smollm, precision("float32"), PLAIN) == 134_515_008 * 4
    assert weight_bytes(smollm, precision("bfloat16"), PLAIN) == 134_515_008 * 2
    int8 = find("precision.int8")
    assert int8 is not None
    bits = int8.stored_bits({}) if int8.stored_bits else int8.bits
    linear, rest = 106_168_320, 134_515_008 - 106_168_320
    assert weight_bytes(smollm, precision("int8"), PLAIN) == math.ceil((linear * bits + rest * 32) / 8)
    assert weight_bytes(smollm, precision("int8"), WITH_BF16) == math.ceil((linear * bits + rest * 16) / 8)
    assert weight_bytes(smollm, (), PLAIN) == smollm.stored_bytes


def test_that_int8_saves_nothing_where_there_are_no_linear_layers() -> None:
    gpt2 = facts("gpt2")
    assert weight_bytes(gpt2, precision("int8"), PLAIN) == weight_bytes(gpt2, precision("float32"), PLAIN)


def test_that_the_compute_type_follows_the_parameter_and_the_machine() -> None:
    assert compute_bits(facts(), precision("int8"), PLAIN) == 32
    assert compute_bits(facts(), precision("int8"), GPU) == 16
    assert compute_bits(facts(), precision("int8", compute="float32"), GPU) == 32
    assert compute_bits(facts(), precision("float16"), PLAIN) == 16


def test_that_the_cache_of_smollm2_is_the_worked_example() -> None:
    # 192 tokens x 2 (keys and values) x 30 layers x 3 heads x 64 x 4 bytes
    load = WorkloadOrder(prompt_tokens=128, new_tokens=64)
    assert cache_bytes(facts(), load, EngineOrder(), 32) == 192 * 2 * 30 * 3 * 64 * 4 == 8_847_360


def test_that_a_layer_with_a_window_keeps_no_more_than_it_and_a_recurrent_one_nothing() -> None:
    groups = (LayerGroup(2, 64, 64, window=100), LayerGroup(1, 64, 64), LayerGroup(7, 0, 0))
    mixed = msgspec.structs.replace(facts(), attention=Layers(groups))
    load = WorkloadOrder(prompt_tokens=128, new_tokens=64, batch_size=3)
    assert cache_bytes(mixed, load, EngineOrder(), 16) == 3 * (2 * 100 + 192) * 64 * 2
    # llama.cpp keeps a micro-batch beside the window
    gguf = EngineOrder(id="llama.cpp", micro_batch_tokens=32)
    assert cache_bytes(mixed, load, gguf, 16) == 3 * (2 * 132 + 192) * 64 * 2
    none = msgspec.structs.replace(facts(), attention=Layers(unknown="why"))
    assert cache_bytes(none, load, EngineOrder(), 16) == cache_bytes(facts(), load, EngineOrder(), 16)


def test_that_the_cache_holds_the_depth_too_and_takes_the_bits_of_its_technique() -> None:
    deep = WorkloadOrder(prompt_tokens=128, new_tokens=64, depth_tokens=32_000, batch_size=2)
    # 2 sequences of 32,192 tokens x 2 (keys and values) x 30 layers x 3 heads x 64 values
    values = 2 * 32_192 * 2 * 30 * 3 * 64
    assert cache_bytes(facts(), deep, EngineOrder(), 16) == values * 2 == 1_483_407_360
    for cache, bits in (("full", 16), ("q8_0", 8.5), ("q4_0", 4.5)):
        chosen = (*precision("q8_0"), TechniqueOrder(id=f"kv_cache.{cache}"))
        assert cache_bits(chosen, 16) == bits
        estimate = estimate_memory(facts(), chosen, deep, EngineOrder(id="llama.cpp"), PLAIN)
        assert estimate.cache_or_activations >= values * bits / 8
        assert estimate.cache_or_activations < values * bits / 8 + 2**28
    assert cache_bits(precision("float32"), 32) == 32


def test_that_llama_cpp_computes_a_long_prompt_in_micro_batches() -> None:
    long = WorkloadOrder(prompt_tokens=8000, batch_size=8, perplexity_tokens=512)
    engine = EngineOrder(id="llama.cpp", micro_batch_tokens=512)
    longer = msgspec.structs.replace(long, prompt_tokens=16_000)
    assert activation_bytes(facts(), long, engine, 16) == activation_bytes(facts(), longer, engine, 16)
    whole = msgspec.structs.replace(engine, micro_batch_tokens=10**6)
    assert activation_bytes(facts(), long, whole, 16) > 100 * activation_bytes(facts(), long, engine, 16)


def test_that_a_depth_takes_time_once() -> None:
    load, engine = WorkloadOrder(), EngineOrder(id="llama.cpp")
    deep = msgspec.structs.replace(load, depth_tokens=8000)
    seconds = [estimate_seconds(facts(), precision("q8_0"), one, engine, PLAIN) for one in (load, deep)]
    # 8,000 tokens x 2 FLOP x 134,515,008 at 40 GFLOP/s, and 30 layers' calls
    assert seconds[1] - seconds[0] == pytest.approx(8000 * 2 * 134_515_008 / 4e10 + 30 * 2e-4)


def test_that_eager_attention_pays_for_its_score_matrix() -> None:
    load = WorkloadOrder(prompt_tokens=4096)
    sdpa = activation_bytes(facts(), load, EngineOrder(), 32)
    eager = activation_bytes(facts(), load, EngineOrder(attention="eager"), 32)
    assert eager - sdpa >= 9 * 4096**2 * 4


def test_that_overhead_is_the_process_on_a_cpu_and_the_context_on_a_gpu() -> None:
    load, engine = WorkloadOrder(), EngineOrder()
    assert estimate_memory(facts(), precision("float32"), load, engine, PLAIN).overhead == PROCESS_BYTES
    estimate = estimate_memory(facts(), precision("float32"), load, engine, GPU)
    assert estimate.overhead == CUDA_CONTEXT_BYTES
    assert (estimate.device_total, estimate.device_free) == (2**36, 2**36)
    assert estimate.fits


def test_that_an_unknown_model_has_no_time() -> None:
    unknown = ModelFacts(kind="hub", architecture="", parameters=0, stored_bytes=0, stored_dtype="")
    assert estimate_seconds(unknown, precision("float32"), WorkloadOrder(), EngineOrder(), PLAIN) == 0.0


loads = st.builds(
    WorkloadOrder,
    prompt_tokens=st.integers(1, 10_000),
    new_tokens=st.integers(1, 1000),
    batch_size=st.integers(1, 64),
    requests=st.integers(1, 20),
    window_s=st.floats(0, 60),
    perplexity_tokens=st.integers(0, 4096),
)


@given(loads, st.sampled_from([e.id for e in catalogue()]), st.sampled_from(["float32", "bfloat16", "int8"]))
def test_that_more_work_never_needs_less(load: WorkloadOrder, id: str, name: str) -> None:
    larger = msgspec.structs.replace(load, batch_size=load.batch_size + 1, prompt_tokens=load.prompt_tokens + 1)
    for machine in (PLAIN, GPU):
        small = estimate_memory(facts(id), precision(name), load, EngineOrder(), machine)
        large = estimate_memory(facts(id), precision(name), larger, EngineOrder(), machine)
        assert small.needed <= large.needed
        assert small.needed > small.weights > 0
        repeated = msgspec.structs.replace(load, requests=load.requests + 20)
        first = estimate_seconds(facts(id), precision(name), load, EngineOrder(), machine)
        again = estimate_seconds(facts(id), precision(name), repeated, EngineOrder(), machine)
        assert 0 < first <= again


@pytest.mark.real
def test_that_the_cache_formula_is_what_transformers_keeps(tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from workbench.model_files import inspect_folder

    config = AutoConfig.for_model(
        "llama",
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(tmp_path)
    with torch.inference_mode():
        cache = model(torch.zeros((5, 17), dtype=torch.long), use_cache=True).past_key_values
    kept = sum(t.numel() * t.element_size() for layer in cache.layers for t in (layer.keys, layer.values))
    load = WorkloadOrder(prompt_tokens=10, new_tokens=7, batch_size=5)
    assert cache_bytes(inspect_folder(tmp_path)[0], load, EngineOrder(), 32) == kept


def test_that_weights_widened_at_every_use_save_memory_and_no_time() -> None:
    load, engine = WorkloadOrder(), EngineOrder()
    int8 = find("precision.int8")
    assert int8 is not None
    assert int8.note(facts(), PLAIN) is not None, "the machine is made up: the caution must be there"
    token_bound = msgspec.structs.replace(load, requests=1, window_s=0, warmup_requests=0, new_tokens=1000)
    slow = estimate_seconds(facts(), precision("int8"), token_bound, engine, PLAIN)
    plain = estimate_seconds(facts(), precision("float32"), token_bound, engine, PLAIN)
    assert slow == pytest.approx(plain, rel=0.02)


def test_that_texts_and_tasks_cost_a_first_trial_more() -> None:
    def once(**changed: object) -> float:
        load = msgspec.structs.replace(WorkloadOrder(), **changed)
        return estimate_once_seconds(facts(), precision("float32"), load, EngineOrder(), PLAIN)

    assert once() == 0
    assert 0 < once(text_tokens=64) < once(text_tokens=64, tasks=("gsm8k-sample",))


def test_that_the_time_of_tasks_follows_the_tokens_of_their_questions_and_answers() -> None:
    """One thread, 40 GFLOP/s, 135M parameters: 2 x 134.5e6 / 40e9 = 6.73 ms of work a token; 30 layers' calls 6 ms."""

    def tasks(*names: str, samples: int = 10, engine: str = "transformers") -> float:
        load = msgspec.structs.replace(WorkloadOrder(), tasks=names, task_samples=samples)
        none = estimate_once_seconds(facts(), precision("float32"), load, EngineOrder(id=engine), GPU)
        assert none > 0
        return estimate_once_seconds(facts(), precision("float32"), load, EngineOrder(id=engine), PLAIN)

    a_token, call = 2 * 134_515_008 / 4.0e10, 30 * 2.0e-4
    swag = LOCAL_TASKS[1].load
    expected = 10 * (2 * call + a_token * (swag.prompt_tokens + swag.answers * swag.answer_tokens))
    base = tasks("hellaswag-sample", samples=10) - expected
    assert 0 < base < 20  # the harness itself
    assert tasks("hellaswag-sample", samples=20) - base == pytest.approx(2 * expected)
    assert tasks("hellaswag-sample", engine="llama.cpp") > tasks("hellaswag-sample")
    assert tasks("gsm8k-sample") > tasks("hellaswag-sample")
    assert tasks("gsm8k-sample", "hellaswag-sample") > tasks("gsm8k-sample")
    assert tasks("hellaswag-sample", samples=0) == tasks("hellaswag-sample", samples=100)
    assert tasks("lm-eval:leaderboard_musr") > tasks("lm-eval:arc_easy") > base


def test_that_a_number_of_questions_is_asked_of_each_part_of_a_task() -> None:
    assert questions_asked("gsm8k-sample", 0) == 95
    assert questions_asked("gsm8k-sample", 200) == 95
    assert questions_asked("lm-eval:leaderboard_bbh", 20) == 24 * 20
    assert questions_asked("lm-eval:leaderboard_gpqa", 0) == 1192
    assert questions_asked("lm-eval:leaderboard_ifeval", 100_000) == 541
    assert questions_asked("lm-eval:arc_easy", 7) == 7
