"""Real worker processes of the llama.cpp engine on a tiny GGUF file: what the runner sees of them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import msgspec
import pytest

from engines.hf.files import gguf_model
from engines.protocol.orders import EngineOrder, Inference, ModelOrder, Scalar, TechniqueOrder, TrialOrder
from engines.protocol.records import Evaluation, MemoryPeak, ModelLoaded, PhaseStarted, Request
from engines.runner.outcome import Evidence, judge
from engines.techniques.layers import layers_of_details
from tests.engines.worker_harness import QUICK, Outcome, run_worker, start_worker, trial_order
from tests.tiny_gguf import HIDDEN, KV_HEADS, LAYERS, write_tiny_gguf

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (make gguf)")
pytestmark = pytest.mark.real

WORKLOAD = msgspec.structs.replace(QUICK, batch_size=2, perplexity_tokens=600, depth_tokens=12)
CACHES = {"full": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Bytes of a value in each kind of cache, scales included."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def order_for(file: Path, workload: Inference = QUICK, kv_cache: str = "full", **engine: Scalar) -> TrialOrder:
    model = ModelOrder(ref=str(file), title=file.stem, kind="gguf", path=str(file))
    techniques = (TechniqueOrder(id="precision.gguf-stored"), TechniqueOrder(id=f"kv_cache.{kv_cache}"))
    order = trial_order(model, "gguf-stored", workload)
    made = EngineOrder(id="llama.cpp", threads=1, settings=engine)
    return msgspec.structs.replace(order, techniques=techniques, engine=made)


@pytest.fixture(scope="module")
def outcomes(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """One whole trial with each kind of KV cache."""
    return {
        name: run_worker(order_for(tiny, WORKLOAD, name, batch_tokens=16), tmp_path_factory.mktemp(name))
        for name in CACHES
    }


# --- whole trials ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", CACHES)
def test_that_every_kv_cache_runs_all_phases(outcomes: dict[str, Outcome], cache: str) -> None:
    outcome = outcomes[cache]
    assert (outcome.exit_code, outcome.failure) == (0, "")
    names = [r.name for r in outcome.all(PhaseStarted) if r.name not in ("prefill", "decode")]
    assert names == ["start", "load", "warmup", "measure", "evaluate", "unload"]
    assert [r.index for r in outcome.measured] == [0, 1]
    assert outcome.facts["llama.context.type_k"] == ("f16" if cache == "full" else cache)


@pytest.mark.parametrize("cache", CACHES)
def test_that_stamps_and_end_to_end_agree(outcomes: dict[str, Outcome], cache: str) -> None:
    outcome = outcomes[cache]
    requests = outcome.all(Request)
    assert sum(r.stamps for r in requests) == len(outcome.stamps)
    for request in requests:
        times = outcome.token_times(request)
        assert len(times) == request.stamps == WORKLOAD.new_tokens
        assert request.generated_tokens == WORKLOAD.new_tokens * WORKLOAD.batch_size
        assert request.start_ns < times[0]
        assert all(a < b for a, b in itertools.pairwise(times))
        assert times[-1] <= request.end_ns
        assert request.synchronised


@pytest.mark.parametrize("cache", CACHES)
def test_that_the_cache_is_measured_to_the_byte(outcomes: dict[str, Outcome], cache: str) -> None:
    values = 2 * LAYERS * KV_HEADS * HIDDEN // 2
    assert float(outcomes[cache].facts["cache.bytes_per_token"]) == values * CACHES[cache]


def test_that_a_window_of_attention_has_a_cache_of_its_own_and_a_depth_that_is_made_anew(tmp_path: Path) -> None:
    file = write_tiny_gguf(tmp_path / "windowed.gguf", window=8)
    outcome = run_worker(order_for(file, msgspec.structs.replace(QUICK, depth_tokens=12)), tmp_path / "trial")
    assert (outcome.exit_code, outcome.failure) == (0, "")
    told = outcome.facts
    assert float(told["cache.bytes_per_token"]) == 2 * LAYERS * KV_HEADS * HIDDEN // 2 * CACHES["full"]
    assert told["workload.depth_computed"] == "before every request"
    groups = layers_of_details(outcome.only(ModelLoaded).details).groups
    assert [(g.layers, g.window) for g in groups] == [(LAYERS, 8)]


def test_that_the_model_is_counted_by_its_file(outcomes: dict[str, Outcome], tiny: Path) -> None:
    loaded, header = outcomes["full"].only(ModelLoaded), gguf_model(tiny)
    assert loaded.parameters == header.parameters
    assert loaded.bytes_by_dtype == {"F32": header.tensor_bytes}
    assert loaded.original_bytes == loaded.tensor_bytes == header.tensor_bytes
    assert (loaded.nominal_bits, loaded.stored_bits) == (32, 32)
    assert loaded.attention == "llama.cpp, flash attention on"
    assert [g.width for g in layers_of_details(loaded.details).groups] == [HIDDEN]


def test_that_facts_say_how_llama_cpp_ran(outcomes: dict[str, Outcome]) -> None:
    told = outcomes["full"].facts
    assert (told["llama.context.n_batch"], told["llama.context.n_threads"]) == ("16", "1")
    assert told["llama.context.n_seq_max"] == "2"
    assert (told["workload.depth_tokens"], told["workload.depth_computed"]) == ("12", "once")
    assert told["generate.synchronous"] == "per token"
    assert "CPU" in told["llama.system_info"]
    assert told["package.llama-cpp-python"]
    assert any(name.startswith("model.file.") for name in told)


def test_that_a_wider_cache_reads_text_as_well_or_better(outcomes: dict[str, Outcome]) -> None:
    sums = {name: outcome.only(Evaluation).nll_sum for name, outcome in outcomes.items()}
    assert abs(sums["q8_0"] / sums["full"] - 1) < 0.01
    assert sums["q4_0"] != sums["q8_0"] != sums["full"]


def test_that_perplexity_is_that_of_transformers(tiny: Path, tmp_path: Path, outcomes: dict[str, Outcome]) -> None:
    pytest.importorskip("transformers")
    workload = msgspec.structs.replace(WORKLOAD, depth_tokens=0)  # what reads text starts with an empty cache
    order = trial_order(ModelOrder(ref="t", title="t", kind="gguf", path=str(tiny)), "float32", workload)
    theirs = run_worker(order, tmp_path).only(Evaluation)
    ours = outcomes["full"].only(Evaluation)
    assert ours.tokens == theirs.tokens == WORKLOAD.perplexity_tokens
    assert (ours.text_bytes, ours.data_hash, ours.context_tokens) == (
        theirs.text_bytes,
        theirs.data_hash,
        theirs.context_tokens,
    )
    # the same weights in float32; llama.cpp's cache holds float16
    assert math.isclose(ours.nll_sum, theirs.nll_sum, rel_tol=1e-4)


def test_that_flash_attention_can_be_turned_off(tiny: Path, tmp_path: Path) -> None:
    outcome = run_worker(order_for(tiny, flash_attention="off", memory_map=False), tmp_path)
    assert outcome.only(ModelLoaded).attention == "llama.cpp, flash attention off"
    assert outcome.facts["llama.load.memory_map"] == "no"


def test_that_quantised_weights_run_on_this_processor(tmp_path: Path) -> None:
    """Also where the build's code for AMX is broken: the engine finds out before it loads."""
    file = write_tiny_gguf(tmp_path / "q8.gguf", stored="Q8_0")
    outcome = run_worker(order_for(file), tmp_path / "trial")
    assert (outcome.exit_code, outcome.failure) == (0, "")
    loaded = outcome.only(ModelLoaded)
    assert loaded.stored_bits == pytest.approx(8.5)
    assert set(loaded.bytes_by_dtype) == {"Q8_0", "F32"}


def test_that_prefills_alone_are_repeated_for_energy(tiny: Path, tmp_path: Path) -> None:
    workload = msgspec.structs.replace(QUICK, prefill_energy_s=0.2)
    outcome = run_worker(order_for(tiny, workload), tmp_path)
    assert outcome.exit_code == 0
    assert "prefill_energy" in [p.name for p in outcome.all(PhaseStarted)]
    assert len(outcome.stamps) == sum(r.stamps for r in outcome.all(Request))


def test_that_numbers_that_are_not_finite_end_the_trial_in_words(tmp_path: Path) -> None:
    """As in the transformers engine: what was timed is kept, and no perplexity is said."""
    file = write_tiny_gguf(tmp_path / "broken.gguf", spread=math.nan)
    workload = msgspec.structs.replace(QUICK, perplexity_tokens=100)
    outcome = run_worker(order_for(file, workload), tmp_path / "trial")
    assert (outcome.exit_code, outcome.failure) == (3, "technique")
    assert "not finite" in failure_text(outcome)
    assert len(outcome.measured) == 2
    assert not outcome.all(Evaluation)


# --- ends -----------------------------------------------------------------------------------------


def test_that_stop_ends_at_the_next_token_and_keeps_what_is_finished(tiny: Path, tmp_path: Path) -> None:
    workload = msgspec.structs.replace(QUICK, new_tokens=400, requests=100_000, window_s=0.0)
    worker = start_worker(order_for(tiny, workload), tmp_path)
    worker.wait_for(lambda record: isinstance(record, Request) and not record.warmup)
    worker.terminate()
    outcome = worker.finish()
    assert outcome.exit_code == 0
    assert len(outcome.measured) < 100_000
    assert all(r.stamps == 400 for r in outcome.all(Request))
    assert outcome.cue("short_window")


def test_that_an_unknown_architecture_is_a_failure_in_words(tmp_path: Path) -> None:
    file = write_tiny_gguf(tmp_path / "odd.gguf", architecture="zork")
    outcome = run_worker(order_for(file), tmp_path / "trial")
    assert (outcome.exit_code, outcome.failure) == (3, "model")
    assert "does not know the architecture" in failure_text(outcome)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:100_000]), "cut short"),
        (lambda file: file.write_bytes(b"PK\x03\x04" + file.read_bytes()[4:]), "not a GGUF file"),
        (lambda file: file.write_bytes(file.read_bytes()[:4] + b"\x09" + file.read_bytes()[5:]), "GGUF version 9"),
        (lambda file: write_tiny_gguf(file, tokenizer=False), "no tokenizer"),
        (lambda file: write_tiny_gguf(file, context_tokens=16), "context of 16 tokens"),
        (lambda file: file.unlink(), "cannot be read"),
    ],
)
def test_that_broken_files_end_before_anything_is_loaded(tmp_path: Path, make: object, words: str) -> None:
    file = write_tiny_gguf(tmp_path / "tiny.gguf")
    make(file)  # type: ignore[operator]
    outcome = run_worker(order_for(file), tmp_path / "trial")
    assert (outcome.exit_code, outcome.failure) == (3, "model")
    assert words in failure_text(outcome)
    assert not outcome.all(ModelLoaded)


def test_that_a_cache_that_does_not_fit_is_out_of_memory_with_the_peak_reached(tmp_path: Path) -> None:
    file = write_tiny_gguf(tmp_path / "long.gguf", context_tokens=1 << 24)
    workload = msgspec.structs.replace(QUICK, depth_tokens=1 << 23, batch_size=64)
    outcome = run_worker(order_for(file, workload), tmp_path / "trial", address_space_bytes=6 << 30)
    assert (outcome.exit_code, outcome.failure) == (3, "out_of_memory")
    assert "KV cache" in failure_text(outcome)
    assert any(peak.phase == "load" and peak.peak_bytes > 0 for peak in outcome.all(MemoryPeak))


def test_that_a_gpu_asked_of_a_build_without_one_is_refused(tiny: Path, tmp_path: Path) -> None:
    import llama_cpp

    if llama_cpp.llama_supports_gpu_offload():
        pytest.skip("this build of llama-cpp-python can use a GPU")
    outcome = run_worker(msgspec.structs.replace(order_for(tiny), device="cuda:GPU-none"), tmp_path)
    assert (outcome.exit_code, outcome.failure) == (3, "package")
    assert "cannot use a GPU" in failure_text(outcome)


@pytest.mark.parametrize("mebibytes", [120, 160])
def test_that_the_runner_knows_memory_ran_out_while_libraries_were_loaded(
    tiny: Path, tmp_path: Path, mebibytes: int
) -> None:
    """Whether the worker can still say so, or is ended by abort() within the library."""
    limit = mebibytes << 20
    outcome = run_worker(order_for(tiny), tmp_path, address_space_bytes=limit)
    assert outcome.exit_code != 0
    cue = outcome.cue(f"failure:{outcome.failure}")
    seen = Evidence(outcome.exit_code, failure=cue, address_space_bytes=limit, stderr_tail=outcome.stderr)
    assert judge(seen).failure == "out_of_memory"


def failure_text(outcome: Outcome) -> str:
    cue = outcome.cue(f"failure:{outcome.failure}")
    message, _, advice = cue.text.partition("\n")
    assert advice
    return message
