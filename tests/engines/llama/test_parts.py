"""Parts of the llama.cpp engine that need no llama.cpp: preflight, words, chat templates, batches, arithmetic."""

from __future__ import annotations

import ctypes
import math
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines.llama import amx
from engines.llama import preflight as preflight_module
from engines.llama.batches import Tokens
from engines.llama.context import flash_attention
from engines.llama.facts import unused_instructions
from engines.llama.failures import context_failure, decode_failure, load_failure
from engines.llama.ladder.files import make_files
from engines.llama.library import Words
from engines.llama.reading.chat import ask
from engines.llama.reading.score import log_probabilities
from engines.protocol.orders import EngineOrder, ModelOrder, TechniqueOrder, TrialOrder
from engines.worker.failures import WorkerFailure
from engines.worker.trial import check_order
from tests.engines.worker_harness import QUICK, trial_order
from tests.tiny_gguf import write_tiny_gguf

INFO, WARNING, ERROR, CONTINUED, DEBUG = 2, 3, 4, 5, 1


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "find_spec", lambda _name: object())


def order_for(file: Path, *techniques: str, **changes: object) -> TrialOrder:
    model = ModelOrder(ref=str(file), title="tiny", kind="gguf", path=str(file))
    order = trial_order(model, "gguf-stored", msgspec.structs.replace(QUICK, **changes))
    chosen = tuple(TechniqueOrder(id=name) for name in ("precision.gguf-stored", *techniques))
    return msgspec.structs.replace(order, techniques=chosen, engine=EngineOrder(id="llama.cpp", threads=1))


def refused(order: TrialOrder) -> WorkerFailure:
    with pytest.raises(WorkerFailure) as raised:
        check_order(order)
    assert raised.value.advice
    return raised.value


# --- preflight ------------------------------------------------------------------------------------


def test_that_a_good_order_passes(tmp_path: Path) -> None:
    check_order(order_for(write_tiny_gguf(tmp_path / "t.gguf"), "kv_cache.q8_0"))


@pytest.mark.parametrize(("module", "package"), [("llama_cpp", "llama-cpp-python"), ("gguf", "gguf")])
def test_that_a_missing_package_is_named_as_pip_knows_it(
    module: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight_module, "find_spec", lambda name: None if name == module else object())
    order = order_for(write_tiny_gguf(tmp_path / "t.gguf"))
    failure = refused(order)
    assert (failure.kind, failure.message) == ("package", f"The package {package} is missing.")
    assert "doctor --install gguf" in failure.advice
    with pytest.raises(WorkerFailure, match=f"The package {package} is missing"):
        make_files(order.model, ("Q8_0",), 1, lambda _text, _share: None)


@pytest.mark.parametrize("technique", ["precision.int8", "kv_cache.none", "lora.x"])
def test_that_other_engines_techniques_are_refused(tmp_path: Path, technique: str) -> None:
    assert refused(order_for(write_tiny_gguf(tmp_path / "t.gguf"), technique)).kind == "technique"


def test_that_a_quantised_kv_cache_without_flash_attention_is_refused(tmp_path: Path) -> None:
    order = order_for(write_tiny_gguf(tmp_path / "t.gguf"), "kv_cache.q4_0")
    off = msgspec.structs.replace(order.engine, settings={"flash_attention": "off"})
    failure = refused(msgspec.structs.replace(order, engine=off))
    assert (failure.kind, "flash attention" in failure.message) == ("technique", True)


def test_that_a_quantised_kv_cache_of_odd_heads_is_refused(tmp_path: Path) -> None:
    file = write_tiny_gguf(tmp_path / "t.gguf", heads=4)
    check_order(order_for(file))
    failure = refused(order_for(file, "kv_cache.q8_0"))
    assert "heads have 16 values" in failure.message


def test_that_a_file_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    failure = refused(order_for(write_tiny_gguf(tmp_path / "t.gguf", tokenizer=False)))
    assert (failure.kind, "no tokenizer" in failure.message) == ("model", True)


def test_that_more_tokens_than_the_models_context_are_refused(tmp_path: Path) -> None:
    file = write_tiny_gguf(tmp_path / "t.gguf", context_tokens=64)
    check_order(order_for(file, prompt_tokens=40, new_tokens=20))
    failure = refused(order_for(file, prompt_tokens=40, new_tokens=20, depth_tokens=10))
    assert "64 tokens; 70 are asked for" in failure.message


def test_that_a_batch_larger_than_what_is_submitted_at_once_is_refused(tmp_path: Path) -> None:
    order = order_for(write_tiny_gguf(tmp_path / "t.gguf"), batch_size=8)
    small = msgspec.structs.replace(order.engine, settings={"batch_tokens": 4})
    assert refused(msgspec.structs.replace(order, engine=small)).kind == "order"
    assert "256 sequences" in refused(order_for(tmp_path / "t.gguf", batch_size=300)).message


def test_that_a_folder_has_no_precision_it_was_written_in(tmp_path: Path) -> None:
    order = order_for(tmp_path)
    folder = msgspec.structs.replace(order.model, kind="folder")
    assert refused(msgspec.structs.replace(order, model=folder)).kind == "technique"


# --- llama.cpp's words ----------------------------------------------------------------------------


def heard(*lines: tuple[int, str]) -> Words:
    words = Words()
    for level, text in lines:
        words.hear(level, text.encode(), None)
    return words


def test_that_debug_lines_are_dropped_and_continued_lines_joined(capsys: pytest.CaptureFixture[str]) -> None:
    words = heard((DEBUG, "noise\n"), (INFO, "loading "), (CONTINUED, "model\n"), (INFO, "...."), (CONTINUED, "\n"))
    assert list(words.lines) == ["loading model"]
    assert capsys.readouterr().err == ""


def test_that_warnings_and_errors_reach_the_trials_log(capsys: pytest.CaptureFixture[str]) -> None:
    words = heard((WARNING, "odd\n"), (ERROR, "broken\n"))
    assert capsys.readouterr().err == "odd\nbroken\n"
    assert words.last_error == "broken"
    words.forget()
    assert words.last_error == ""


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("error loading model architecture: unknown model architecture: 'zork'", "model", "does not know"),
        ("llama_model_load: error loading model: tensor 'x' data is not within the file bounds", "model", "damaged"),
        ("ggml_aligned_malloc: insufficient memory (attempted to allocate 137438.95 MB)", "out_of_memory", "Memory"),
        ("llama_model_load: error loading model: mmap failed: Cannot allocate memory", "out_of_memory", "Memory"),
        ("something nobody has seen", "model", "could not load"),
    ],
)
def test_that_failures_to_load_are_told_apart(line: str, kind: str, words: str) -> None:
    """What llama.cpp said first is the reason; its last words only say that it failed."""
    last = (ERROR, "llama_model_load_from_file_impl: failed to load model\n")
    failure = load_failure(heard((ERROR, line + "\n"), last), "tiny", "0.3.36")
    assert failure.kind == kind
    assert words in failure.message
    assert line in failure.advice or "does not know the architecture 'zork' of tiny" in failure.message
    assert "else is affected" in failure.advice or "is kept" in failure.advice


def test_that_failures_of_a_context_are_told_apart() -> None:
    flash = heard((ERROR, "quantized V cache was requested, but this requires Flash Attention\n"))
    assert context_failure(flash, 512).kind == "technique"
    wanted = "ggml_aligned_malloc: insufficient memory (attempted to allocate 360.00 MB)"
    said = heard((ERROR, f"{wanted}\n"), (ERROR, "failed to allocate buffer for kv cache\n"))
    memory = context_failure(said, 4096)
    assert (memory.kind, "4,096 tokens" in memory.message) == ("out_of_memory", True)
    assert wanted in memory.advice, "how much it was"
    assert context_failure(heard((ERROR, "another reason\n")), 512).kind == "engine"


@pytest.mark.parametrize(("code", "kind"), [(1, "engine"), (-2, "out_of_memory"), (-3, "engine")])
def test_that_failures_to_compute_are_told_apart(code: int, kind: str) -> None:
    assert decode_failure(heard(), code).kind == kind


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        (["llama_context: flash_attn            = auto", "resolve_fused_ops: Flash Attention enabled"], "on"),
        (["x: flash_attn            = auto", "y: Flash Attention not supported, set to disabled"], "off"),
        (["llama_context: flash_attn            = enabled"], "on"),
        (["llama_context: flash_attn            = disabled"], "off"),
        (["llama_context: flash_attn            = auto"], "not told"),
        ([], "not told"),
    ],
)
def test_that_the_choice_of_flash_attention_is_read_from_the_log(lines: list[str], chosen: str) -> None:
    assert flash_attention(lines) == chosen


def test_that_instructions_a_build_leaves_unused_are_named() -> None:
    info = "CPU : AVX = 1 | AVX2 = 1 | AVX512 = 0 | OPENMP = 1"
    assert unused_instructions(info, ("avx", "avx2", "avx512f", "amx_int8")) == ("AVX512", "AMX_INT8")
    assert unused_instructions(info, ("avx", "sse4_2")) == ()


@pytest.mark.parametrize(("program", "works"), [("true", True), ("false", False), ("no-such-program", False)])
def test_that_amx_works_where_its_trial_ends_well(monkeypatch: pytest.MonkeyPatch, program: str, works: bool) -> None:
    monkeypatch.setattr(amx.sys, "executable", shutil.which(program) or f"/{program}")
    assert amx.works() is works


# --- chat templates -------------------------------------------------------------------------------


def test_that_a_template_is_applied_with_the_prompt_as_its_message() -> None:
    template = "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m.content }}{% endfor %}{{ eos_token }}"
    assert ask(template, "Why?", "<s>", "</s>") == "<s>[user] Why?</s>"


@pytest.mark.parametrize(
    "template",
    [
        "{% if %}",
        "{{ raise_exception('no') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages[9].x }}",
    ],
)
def test_that_a_template_that_does_not_work_fails_in_words(template: str) -> None:
    with pytest.raises(WorkerFailure, match="chat template"):
        ask(template, "Why?", "", "")


# --- batches and arithmetic -----------------------------------------------------------------------


class _Batch(ctypes.Structure):
    """The fields of `llama_batch`."""

    _fields_ = (
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    )


def test_that_a_batch_points_into_the_rows_it_was_made_of() -> None:
    rows = Tokens(_Batch, 6)
    batch = rows.batch(2, 3)
    rows.token[:] = range(10, 16)
    rows.position[:] = range(6)
    rows.sequence[:] = [0, 0, 0, 1, 1, 1]
    rows.wanted[4] = 1
    assert batch.n_tokens == 3
    assert [batch.token[i] for i in range(3)] == [12, 13, 14]
    assert [batch.pos[i] for i in range(3)] == [2, 3, 4]
    assert [batch.seq_id[i][0] for i in range(3)] == [0, 1, 1]
    assert [batch.n_seq_id[i] for i in range(3)] == [1, 1, 1]
    assert [batch.logits[i] for i in range(3)] == [0, 0, 1]


def test_that_log_probabilities_are_those_of_a_softmax() -> None:
    logits = np.array([[0.0, math.log(3.0)], [1000.0, 0.0]], np.float32)
    found = log_probabilities(logits, np.array([1, 1]))
    assert found == pytest.approx([math.log(0.75), -1000.0], rel=1e-6)
    assert found.dtype == np.float64
