"""Techniques as data: what stands against a precision, what is noted, what it promises; by facts alone."""

from __future__ import annotations

import pytest

from engines.techniques import MachineFacts, ModelFacts, find, techniques
from engines.techniques.facts import CONV1D

PACKAGES = dict.fromkeys(
    ("torch", "transformers", "torchao", "accelerate", "bitsandbytes", "optimum-quanto", "llama-cpp-python", "gguf"),
    "1",
)
PLAIN = MachineFacts(device_kind="cpu", packages=PACKAGES)
AVX512_BF16 = MachineFacts(device_kind="cpu", packages=PACKAGES, processor_flags=frozenset({"avx512_bf16"}))
QUANTISED = ("int8", "llm-int8", "quanto-int8", "float8", "float8-dynamic", "nf4", "fp4", "int4", "quanto-int4")


def gpu(major: int = 9, minor: int = 0) -> MachineFacts:
    return MachineFacts(device_kind="cuda", packages=PACKAGES, compute_capability=(major, minor))


def model(**more: object) -> ModelFacts:
    known: dict[str, object] = {
        "kind": "folder",
        "architecture": "llama",
        "parameters": 1000,
        "linear_parameters": 800,
        "stored_bytes": 2000,
        "stored_dtype": "bfloat16",
        "linear_in_divisor": 1024,
        "linear_out_divisor": 256,
    }
    return ModelFacts(**{**known, **more})  # type: ignore[arg-type]


def against(short: str, facts: ModelFacts, machine: MachineFacts) -> str | None:
    technique = find(f"precision.{short}")
    return technique.cannot_apply(facts, machine)


def note(short: str, facts: ModelFacts, machine: MachineFacts) -> str:
    technique = find(f"precision.{short}")
    return technique.note(facts, machine) or ""


@pytest.mark.parametrize("short", QUANTISED)
def test_that_a_suitable_model_on_a_new_gpu_can_have_every_quantised_precision(short: str) -> None:
    assert against(short, model(), gpu()) is None


@pytest.mark.parametrize("short", QUANTISED)
@pytest.mark.parametrize("architecture", sorted(CONV1D))
def test_that_conv1d_layers_are_grey_by_the_architecture_alone(short: str, architecture: str) -> None:
    assert "Conv1D" in str(against(short, model(architecture=architecture, linear_parameters=0), gpu()))


@pytest.mark.parametrize("short", QUANTISED)
def test_that_a_model_without_linear_layers_is_told_from_one_nothing_is_known_of(short: str) -> None:
    assert "no linear layers" in str(against(short, model(linear_parameters=0), gpu()))
    unknown = ModelFacts(kind="hub", architecture="", parameters=0, stored_bytes=0, stored_dtype="")
    assert against(short, unknown, gpu()) is None


@pytest.mark.parametrize("short", QUANTISED)
def test_that_gguf_files_keep_their_precision(short: str) -> None:
    assert "GGUF" in str(against(short, model(kind="gguf"), gpu()))


@pytest.mark.parametrize("short", QUANTISED)
def test_that_what_no_installation_changes_is_said_before_a_missing_package(short: str) -> None:
    bare = MachineFacts(device_kind="cuda", packages={"torch": "1", "transformers": "1"})
    assert str(against(short, model(), bare)).startswith("Needs ")
    assert "GGUF" in str(against(short, model(kind="gguf"), bare))
    assert "Conv1D" in str(against(short, model(architecture="gpt2", linear_parameters=0), bare))


def test_that_nobody_compiles_llama_cpp_for_a_model_that_it_cannot_run() -> None:
    bare = MachineFacts(device_kind="cpu", packages={"torch": "1"})
    assert "its architecture is phi3" in str(against("q4_k_m", model(architecture="phi3"), bare))
    for technique in (t for axis in ("precision", "kv_cache") for t in techniques(axis)):
        if "llama-cpp-python" in technique.packages:
            facts = model(kind="gguf")
            assert technique.lacking(bare)[0] == "llama-cpp-python"
            assert str(technique.cannot_apply(facts, bare)).endswith(": llm-workbench doctor --install gguf")
            assert technique.cannot_apply(facts, PLAIN) is None


@pytest.mark.parametrize("short", ["gguf-stored", "q8_0"])
def test_that_a_gguf_file_without_a_tokenizer_is_grey_before_it_fails(short: str) -> None:
    assert against(short, model(kind="gguf"), PLAIN) is None
    assert "no tokenizer in it" in str(against(short, model(kind="gguf", has_tokenizer=False), PLAIN))


def test_that_a_folder_without_a_tokenizer_cannot_become_a_gguf_file_and_random_weights_need_none() -> None:
    assert "holds no tokenizer" in str(against("q8_0", model(has_tokenizer=False), PLAIN))
    assert against("float32", model(has_tokenizer=False), PLAIN) is None
    assert against("q8_0", model(kind="random", has_tokenizer=False), PLAIN) is None


@pytest.mark.parametrize("cache", ["kv_cache.q8_0", "kv_cache.q4_0"])
def test_that_heads_that_are_no_multiple_of_a_block_keep_their_cache_full(cache: str) -> None:
    technique, full = find(cache), find("kv_cache.full")
    assert full is not None
    assert "heads have 80 values" in str(technique.cannot_apply(model(head_dim=80), PLAIN))
    assert technique.cannot_apply(model(head_dim=64), PLAIN) is None
    assert technique.cannot_apply(model(head_dim=0), PLAIN) is None, "unknown is not wrong"
    assert full.cannot_apply(model(head_dim=80), PLAIN) is None


@pytest.mark.parametrize("short", ["int4", "float8", "float8-dynamic"])
def test_that_what_runs_on_gpus_only_says_what_a_processor_can_have_instead(short: str) -> None:
    reason = str(against(short, model(), PLAIN))
    assert "GPU" in reason or "On a processor" in reason
    assert any(other in reason for other in ("nf4", "int8"))


@pytest.mark.parametrize(
    ("short", "least"),
    [("llm-int8", (7, 5)), ("nf4", (6, 0)), ("int4", (8, 0)), ("float8", (8, 9)), ("float8-dynamic", (8, 9))],
)
def test_that_an_old_gpu_is_told_what_it_lacks(short: str, least: tuple[int, int]) -> None:
    older = (least[0], least[1] - 1) if least[1] else (least[0] - 1, 9)
    assert against(short, model(), gpu(*least)) is None
    reason = str(against(short, model(), gpu(*older)))
    assert f"{least[0]}.{least[1]}" in reason
    assert f"{older[0]}.{older[1]}" in reason
    assert against(short, model(), gpu(0, 0)) is None, "unknown is not too old"


def test_that_widths_that_groups_and_tiles_do_not_divide_are_grey() -> None:
    assert "Groups of 32" in str(against("int4", model(linear_in_divisor=48), gpu()))
    assert "multiples of 16" in str(against("float8-dynamic", model(linear_out_divisor=40), gpu()))
    assert "multiple of 64" in str(against("nf4", model(linear_in_divisor=96), AVX512_BF16))
    assert "multiple of 32" in str(against("fp4", model(linear_out_divisor=48), AVX512_BF16))
    assert against("nf4", model(linear_in_divisor=96, linear_out_divisor=48), PLAIN) is None, (
        "nothing is repacked there"
    )
    for short in QUANTISED:
        assert against(short, model(linear_in_divisor=0, linear_out_divisor=0), gpu()) is None, "unknown widths"


def test_that_int4_notes_its_padding() -> None:
    assert note("int4", model(), gpu()) == ""
    assert "padded" in note("int4", model(linear_in_divisor=192), gpu())


def test_that_a_note_says_when_little_of_a_model_is_changed() -> None:
    assert "Changes 10% of the weights" in note("nf4", model(linear_parameters=100), gpu())
    assert "Changes" not in note("nf4", model(), gpu())


def test_that_slowness_is_known_without_reading_notes() -> None:
    def slow(short: str, machine: MachineFacts) -> bool:
        technique = find(f"precision.{short}")
        return technique.slow(machine)

    assert [s for s in QUANTISED if slow(s, gpu())] == []
    assert [s for s in QUANTISED if slow(s, AVX512_BF16)] == [
        "int8",
        "llm-int8",
        "quanto-int4",
    ]
    assert slow("nf4", PLAIN)
    assert slow("quanto-int8", PLAIN)
    assert slow("bfloat16", PLAIN)
    assert not slow("bfloat16", AVX512_BF16)


@pytest.mark.parametrize(
    ("short", "parameters", "bits"),
    [
        ("nf4", {}, 4.5),
        ("nf4", {"double_quantisation": True}, 4.126953125),  # 0.127 bits a weight of scales: QLoRA, section 3
        ("int4", {}, 4.25),
        ("int4", {"group_size": "32"}, 5.0),
        ("quanto-int4", {"compute": "float32"}, 4.5),
    ],
)
def test_that_stored_bits_are_the_worked_examples(short: str, parameters: dict[str, object], bits: float) -> None:
    technique = find(f"precision.{short}")
    assert technique.stored_bits is not None
    assert technique.stored_bits(parameters) == bits  # type: ignore[arg-type]


def test_that_defaults_are_allowed_and_every_precision_has_a_heading() -> None:
    for technique in techniques("precision"):
        assert technique.group, technique.id
        for parameter in technique.parameters:
            assert parameter.check(parameter.default)[1] == "", (technique.id, parameter.name)
