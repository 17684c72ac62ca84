"""Estimates of memory and time, against worked examples and against real tensors."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.models.lookup.catalogue import catalogue, find_entry
from engines.protocol.orders import EngineOrder, Inference, TechniqueOrder
from engines.protocol.tasks import LOCAL_TASKS
from engines.techniques import MachineFacts, ModelFacts, find
from engines.techniques.layers import LayerGroup, Layers
from tests.house import ROOT
from workbench.plan.estimates import estimate_once_seconds, estimate_seconds, questions_asked
from workbench.plan.memory import CUDA_CONTEXT_BYTES, PROCESS_BYTES, estimate_memory, weight_bytes
from workbench.plan.memory.inference import activation_bytes, cache_bits, cache_bytes
from workbench.plan.memory.weights import compute_bits

PLAIN = MachineFacts(device_kind="cpu", threads_default=1, memory_total_bytes=2**34, memory_free_bytes=2**33)
WITH_BF16 = MachineFacts(device_kind="cpu", threads_default=1, processor_flags=frozenset({"avx512_bf16"}))
GPU = MachineFacts(device_kind="cuda", memory_total_bytes=2**36, memory_free_bytes=2**36)


def facts(id: str = "smollm2-135m-instruct") -> ModelFacts:
    entry = find_entry(id)
    return entry.facts("random")


def precision(name: str, **parameters: str) -> tuple[TechniqueOrder, ...]:
    return (TechniqueOrder(id=f"precision.{name}", parameters=dict(parameters)),)


def test_that_weights_are_counted_by_the_bits_of_their_technique() -> None:
    smollm = facts()
    assert weight_bytes(smollm, precision("float32"), PLAIN) == 134_515_008 * 4
    assert weight_bytes(smollm, precision("bfloat16"), PLAIN) == 134_515_008 * 2
    int8 = find("precision.int8")
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
    load = Inference(prompt_tokens=128, new_tokens=64)
    assert cache_bytes(facts(), load, EngineOrder(), 32) == 192 * 2 * 30 * 3 * 64 * 4 == 8_847_360


def test_that_a_layer_with_a_window_keeps_no_more_than_it_and_a_recurrent_one_nothing() -> None:
    groups = (LayerGroup(2, 64, 64, window=100), LayerGroup(1, 64, 64), LayerGroup(7, 0, 0))
    mixed = msgspec.structs.replace(facts(), attention=Layers(groups))
    load = Inference(prompt_tokens=128, new_tokens=64, batch_size=3)
    assert cache_bytes(mixed, load, EngineOrder(), 16) == 3 * (2 * 100 + 192) * 64 * 2
    # llama.cpp keeps a micro-batch beside the window
    gguf = EngineOrder(id="llama.cpp", settings={"micro_batch_tokens": 32})
    assert cache_bytes(mixed, load, gguf, 16) == 3 * (2 * 132 + 192) * 64 * 2
    none = msgspec.structs.replace(facts(), attention=Layers(unknown="why"))
    assert cache_bytes(none, load, EngineOrder(), 16) == cache_bytes(facts(), load, EngineOrder(), 16)


def test_that_the_cache_holds_the_depth_too_and_takes_the_bits_of_its_technique() -> None:
    deep = Inference(prompt_tokens=128, new_tokens=64, depth_tokens=32_000, batch_size=2)
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
    long = Inference(prompt_tokens=8000, batch_size=8, perplexity_tokens=512)
    engine = EngineOrder(id="llama.cpp", settings={"micro_batch_tokens": 512})
    longer = msgspec.structs.replace(long, prompt_tokens=16_000)
    assert activation_bytes(facts(), long, engine, 16) == activation_bytes(facts(), longer, engine, 16)
    whole = msgspec.structs.replace(engine, settings={"batch_tokens": 10**6, "micro_batch_tokens": 10**6})
    assert activation_bytes(facts(), long, whole, 16) > 100 * activation_bytes(facts(), long, engine, 16)


def test_that_a_depth_takes_time_once() -> None:
    load, engine = Inference(), EngineOrder(id="llama.cpp")
    deep = msgspec.structs.replace(load, depth_tokens=8000)
    seconds = [estimate_seconds(facts(), precision("q8_0"), one, engine, PLAIN) for one in (load, deep)]
    # 8,000 tokens x 2 FLOP x 134,515,008 at 40 GFLOP/s, and 30 layers' calls
    assert seconds[1] - seconds[0] == pytest.approx(8000 * 2 * 134_515_008 / 4e10 + 30 * 2e-4)


def test_that_eager_attention_pays_for_its_score_matrix() -> None:
    load = Inference(prompt_tokens=4096)
    sdpa = activation_bytes(facts(), load, EngineOrder(), 32)
    eager = activation_bytes(facts(), load, EngineOrder(settings={"attention": "eager"}), 32)
    assert eager - sdpa >= 9 * 4096**2 * 4


def test_that_overhead_is_the_process_on_a_cpu_and_the_context_on_a_gpu() -> None:
    load, engine = Inference(), EngineOrder()
    assert estimate_memory(facts(), precision("float32"), load, engine, PLAIN).overhead == PROCESS_BYTES
    estimate = estimate_memory(facts(), precision("float32"), load, engine, GPU)
    assert estimate.overhead == CUDA_CONTEXT_BYTES
    assert (estimate.device_total, estimate.device_free) == (2**36, 2**36)
    assert estimate.fits


def test_that_an_unknown_model_has_no_time() -> None:
    unknown = ModelFacts(kind="hub", architecture="", parameters=0, stored_bytes=0, stored_dtype="")
    assert estimate_seconds(unknown, precision("float32"), Inference(), EngineOrder(), PLAIN) == 0.0


loads = st.builds(
    Inference,
    prompt_tokens=st.integers(1, 10_000),
    new_tokens=st.integers(1, 1000),
    batch_size=st.integers(1, 64),
    requests=st.integers(1, 20),
    window_s=st.floats(0, 60),
    perplexity_tokens=st.integers(0, 4096),
)


@given(loads, st.sampled_from([e.id for e in catalogue()]), st.sampled_from(["float32", "bfloat16", "int8"]))
def test_that_more_work_never_needs_less(load: Inference, id: str, name: str) -> None:
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

    from engines.models.lookup.facts import inspect_folder

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
    load = Inference(prompt_tokens=10, new_tokens=7, batch_size=5)
    assert cache_bytes(inspect_folder(tmp_path)[0], load, EngineOrder(), 32) == kept


def test_that_weights_widened_at_every_use_save_memory_and_no_time() -> None:
    load, engine = Inference(), EngineOrder()
    int8 = find("precision.int8")
    assert int8.note(facts(), PLAIN) is not None, "the machine is made up: the caution must be there"
    token_bound = msgspec.structs.replace(load, requests=1, window_s=0, warmup_requests=0, new_tokens=1000)
    slow = estimate_seconds(facts(), precision("int8"), token_bound, engine, PLAIN)
    plain = estimate_seconds(facts(), precision("float32"), token_bound, engine, PLAIN)
    assert slow == pytest.approx(plain, rel=0.02)


def test_that_texts_and_tasks_cost_a_first_trial_more() -> None:
    def once(**changed: object) -> float:
        load = msgspec.structs.replace(Inference(), **changed)
        return estimate_once_seconds(facts(), precision("float32"), load, EngineOrder(), PLAIN)

    assert once() == 0
    assert 0 < once(text_tokens=64) < once(text_tokens=64, tasks=("gsm8k-sample",))


def test_that_the_time_of_tasks_follows_the_tokens_of_their_questions_and_answers() -> None:
    """One thread, 40 GFLOP/s, 135M parameters: 2 x 134.5e6 / 40e9 = 6.73 ms of work a token; 30 layers' calls 6 ms."""

    def tasks(*names: str, samples: int = 10, engine: str = "transformers") -> float:
        load = msgspec.structs.replace(Inference(), tasks=names, task_samples=samples)
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


# --- worked examples ----------------------------------------------------------------------------------

SMALL = ModelFacts(
    kind="folder",
    architecture="llama",
    parameters=1_000_000_000,
    linear_parameters=800_000_000,
    stored_bytes=4_000_000_000,
    stored_dtype="float32",
    layers=10,
    hidden=100,
    heads=4,
    vocabulary=1000,
)
TWO = MachineFacts(device_kind="cpu", threads_default=2)
"""80 GFLOP/s and 16 GB/s: SMALL's weights are read in 0.25 s in float32, a token is 25 ms of work and 2 ms of calls."""
SHORT = Inference(prompt_tokens=20, new_tokens=5, batch_size=16, requests=3, window_s=5.0, perplexity_tokens=0)
REQUEST_S = (0.002 + 320 * 0.025) + 4 * (0.002 + 16 * 0.025)


def seconds_of(
    precision_name: str = "float32", machine: MachineFacts = TWO, threads: int = 0, **changed: object
) -> float:
    load = msgspec.structs.replace(SHORT, **changed)
    return estimate_seconds(SMALL, precision(precision_name), load, EngineOrder(threads=threads), machine)


def test_a_worked_example_of_a_trials_time() -> None:
    base = 7 + 4e9 / 5e8  # start and loading
    assert seconds_of() == pytest.approx(base + (3 + 4) * REQUEST_S)
    assert seconds_of(perplexity_tokens=90) == pytest.approx(base + 7 * REQUEST_S + 90 * 0.025 * 4 / 3)
    assert seconds_of(warmup_requests=1) == pytest.approx(base + 4 * REQUEST_S)
    assert seconds_of(window_s=3 * REQUEST_S) == pytest.approx(base + 7 * REQUEST_S)
    assert seconds_of(window_s=3 * REQUEST_S + 0.01) == pytest.approx(base + 8 * REQUEST_S)
    # one short sequence: reading the weights takes longer than the arithmetic
    assert seconds_of(batch_size=1, prompt_tokens=2, window_s=0.0) == pytest.approx(base + 7 * 5 * 0.252)
    assert seconds_of(batch_size=1, new_tokens=1, window_s=0.0) == pytest.approx(base + 7 * 0.502)
    deep = seconds_of(depth_tokens=30) - seconds_of()
    assert deep == pytest.approx(0.002 + 16 * 30 * 0.025)


def test_that_threads_speed_up_arithmetic_without_bound_and_reading_to_what_memory_gives() -> None:
    one_token = {"batch_size": 1, "prompt_tokens": 1, "window_s": 0.0}
    base = 7 + 4e9 / 5e8
    assert seconds_of(threads=7, **one_token) == pytest.approx(base + 7 * 5 * (0.002 + 4e9 / 56e9))
    assert seconds_of(threads=8, **one_token) == pytest.approx(base + 7 * 5 * (0.002 + 4e9 / 60e9))
    on_gpu = 7 * (0.002 + 320 * 2e9 / 5e13 + 4 * (0.002 + 4e9 / 1e12))
    assert seconds_of(machine=GPU, window_s=0.0) == pytest.approx(base + on_gpu)


def test_that_an_emulated_format_takes_four_times_as_long_for_arithmetic_and_for_reading() -> None:
    base = 7 + 2e9 / 5e8
    work = (0.002 + 320 * 0.1) + 4 * (0.002 + 16 * 0.1)
    assert seconds_of("bfloat16") == pytest.approx(base + 7 * work)
    reading = seconds_of("bfloat16", batch_size=1, prompt_tokens=1, window_s=0.0)
    assert reading == pytest.approx(base + 7 * 5 * (0.002 + 2e9 / 4e9))
    able = msgspec.structs.replace(TWO, processor_flags=frozenset({"avx512_bf16"}))
    assert seconds_of("bfloat16", able) == pytest.approx(base + 7 * REQUEST_S)


def test_a_worked_example_of_what_only_a_first_trial_does() -> None:
    def once(engine: str = "transformers", **changed: object) -> float:
        load = msgspec.structs.replace(SHORT, **changed)
        return estimate_once_seconds(SMALL, precision("float32"), load, EngineOrder(id=engine), TWO)

    assert once(text_tokens=10) == pytest.approx(6 * (0.002 + 60 * 0.025 + 10 * 0.252))
    swag = next(task for task in LOCAL_TASKS if task.load.answers).load
    written = next(task for task in LOCAL_TASKS if not task.load.answers)

    def read(tokens: int) -> float:
        return 0.002 + max(0.25, 0.025 * tokens)

    asked = {"tasks": ("hellaswag-sample",), "task_samples": 3}
    question = read(swag.prompt_tokens)
    assert once(**asked) == pytest.approx(8 + 3 * (question + read(swag.answers * swag.answer_tokens)))
    assert once("llama.cpp", **asked) == pytest.approx(8 + 3 * (question + swag.answers * read(swag.answer_tokens)))
    answered = read(written.load.prompt_tokens) + written.load.answer_tokens * 0.252
    assert once(tasks=(written.id,), task_samples=2) == pytest.approx(8 + 2 * answered)
    assert once() == 0


def test_a_worked_example_of_activations() -> None:
    def held(engine: EngineOrder = EngineOrder(), facts: ModelFacts = SMALL, **changed: object) -> int:  # noqa: B008
        load = msgspec.structs.replace(SHORT, prompt_tokens=100, batch_size=2, **changed)
        return activation_bytes(facts, load, engine, 16)

    prefill, token = 200 * 100 * 12 * 2 + 2 * 1000 * 4, 100 * 12 * 2 + 2 * 1000 * 4
    assert held() == prefill == 488_000
    assert held(perplexity_tokens=50) == 50 * token == 520_000
    assert held(perplexity_tokens=4096) == 512 * token, "a window of 512 at the most"
    short = msgspec.structs.replace(SMALL, context_tokens=300)
    assert held(facts=short, perplexity_tokens=4096) == 300 * token
    eager = EngineOrder(settings={"attention": "eager"})
    assert held(eager) == prefill + 2 * 4 * 100**2 * 4 * 2
    assert held(eager, perplexity_tokens=400) == 400 * token + 4 * 400**2 * 4 * 2
    gguf = EngineOrder(id="llama.cpp", settings={"micro_batch_tokens": 64})
    assert held(gguf) == 64 * 100 * 12 * 2 + 64 * 1000 * 4
    assert held(gguf, perplexity_tokens=4096) == 128 * token


def test_that_a_matrix_widened_at_every_use_is_read_as_wide_as_it_is_computed() -> None:
    """int8 on a processor: of 1.6e9 bytes 3.2e9 + 0.8e9 are read."""
    one_token = {"batch_size": 1, "prompt_tokens": 1, "window_s": 0.0}
    weights = (8e8 * 8 + 2e8 * 32) / 8
    assert weight_bytes(SMALL, precision("int8"), TWO) == pytest.approx(weights, rel=0.02)
    told = weight_bytes(SMALL, precision("int8"), TWO)
    assert seconds_of("int8", **one_token) == pytest.approx(7 + told / 5e8 + 7 * 5 * 0.252)


def test_that_the_overheads_are_those_of_the_documentation() -> None:
    page = (ROOT / "docs" / "experiment-file.md").read_text(encoding="utf-8")
    assert f"{PROCESS_BYTES / 2**20:g} MiB for the process" in page
    assert f"{CUDA_CONTEXT_BYTES / 2**20:g} MiB for the CUDA context" in page
