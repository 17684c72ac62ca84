"""Real worker processes on a real small model: what the runner sees of them."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from engines.protocol.codec import encode_order
from engines.protocol.orders import Inference, ModelOrder, TechniqueOrder
from engines.protocol.records import (
    Evaluation,
    MemoryPeak,
    ModelLoaded,
    PhaseEnded,
    PhaseStarted,
    Progress,
    Request,
)
from engines.protocol.ring import capacity_for, create_ring
from tests.engines.worker_harness import QUICK, Outcome, folder_model, run_worker, start_worker, trial_order
from tests.tiny_model import make_tiny_model

WORKLOAD = msgspec.structs.replace(QUICK, batch_size=2, perplexity_tokens=600)
PRECISIONS = ("float32", "bfloat16", "float16", "int8")


@pytest.fixture(scope="module")
def outcomes(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """One whole trial of each precision."""
    return {
        name: run_worker(trial_order(folder_model(tiny), name, WORKLOAD), tmp_path_factory.mktemp(name))
        for name in PRECISIONS
    }


# --- whole trials ---------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize("precision", PRECISIONS)
def test_that_every_precision_runs_all_phases(outcomes: dict[str, Outcome], precision: str) -> None:
    outcome = outcomes[precision]
    assert (outcome.exit_code, outcome.failure) == (0, "")
    names = [r.name for r in outcome.all(PhaseStarted) if r.name not in ("prefill", "decode")]
    assert names == ["start", "load", "warmup", "measure", "evaluate", "unload"]
    assert len(outcome.all(PhaseStarted)) == len(outcome.all(PhaseEnded))
    assert {p.phase for p in outcome.all(MemoryPeak)} == set(names)
    assert [r.index for r in outcome.measured] == [0, 1]
    fractions = [p.fraction for p in outcome.all(Progress) if p.fraction is not None]
    assert fractions == sorted(fractions)


@pytest.mark.real
@pytest.mark.parametrize("precision", PRECISIONS)
def test_that_stamps_and_end_to_end_agree(outcomes: dict[str, Outcome], precision: str) -> None:
    outcome = outcomes[precision]
    requests = outcome.all(Request)
    assert sum(r.stamps for r in requests) == len(outcome.stamps)
    ways_out_ns = []
    for request in requests:
        times = outcome.token_times(request)
        assert len(times) == request.stamps == WORKLOAD.new_tokens
        assert request.generated_tokens == WORKLOAD.new_tokens * WORKLOAD.batch_size
        assert request.start_ns < times[0]
        assert all(a < b for a, b in itertools.pairwise(times))
        ways_out_ns.append(request.end_ns - times[-1])
    # what remains of the call after its last token: generate's own way out, unless the machine stands still just then
    assert 0 <= min(ways_out_ns) < 0.1e9


@pytest.mark.real
def test_that_bytes_and_bits_are_those_of_the_tensors(outcomes: dict[str, Outcome], tiny: Path) -> None:
    loaded = {name: outcome.only(ModelLoaded) for name, outcome in outcomes.items()}
    weights = loaded["float32"].parameters
    assert {m.parameters for m in loaded.values()} == {weights}
    assert {m.original_bytes for m in loaded.values()} == {4 * weights}  # tied weights are stored once
    assert loaded["float32"].bytes_by_dtype == {"float32": 4 * weights}
    assert loaded["bfloat16"].bytes_by_dtype == {"bfloat16": 2 * weights}
    assert loaded["float16"].tensor_bytes == 2 * weights
    int8 = loaded["int8"]
    # 2 layers of q 64x64, k and v 32x64, o 64x64, gate and up 128x64, down 64x128: a byte per weight, and per row a
    # float32 scale and an int8 zero point
    linear = 2 * (64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 128 * 64)
    rows = 2 * (64 + 2 * 32 + 64 + 2 * 128 + 64)
    assert int8.details["quantised_parameters"] == str(linear)
    assert int8.bytes_by_dtype["int8"] == linear + rows
    assert int8.stored_bits == pytest.approx(8 * (linear + 5 * rows) / linear)
    assert int8.nominal_bits == 8
    assert (loaded["float16"].stored_bits, loaded["float16"].nominal_bits) == (16, 16)
    assert int8.attention == "sdpa"


@pytest.mark.real
def test_that_every_precision_is_scored_on_the_same_text(outcomes: dict[str, Outcome]) -> None:
    scores = {name: outcome.only(Evaluation) for name, outcome in outcomes.items()}
    reference = scores["float32"]
    assert reference.tokens == WORKLOAD.perplexity_tokens
    assert reference.text_bytes > reference.tokens
    # an untrained model knows nothing: every token costs about ln(vocabulary)
    assert reference.nll_sum / reference.tokens == pytest.approx(math.log(512), rel=0.05)
    for score in scores.values():
        assert (score.data_hash, score.text_bytes, score.tokens) == (
            reference.data_hash,
            reference.text_bytes,
            reference.tokens,
        )
        assert score.nll_sum == pytest.approx(reference.nll_sum, rel=2e-3)
    assert scores["int8"].nll_sum != reference.nll_sum


@pytest.mark.real
def test_that_the_environment_names_what_ran(outcomes: dict[str, Outcome]) -> None:
    facts = outcomes["int8"].facts
    assert facts["package.torch"]
    assert facts["worker.threads"] == "1"
    assert facts["model.file.model.safetensors"].startswith("sha256:")
    assert "pydoc_data" in facts["prompts.source"]


# --- faults ---------------------------------------------------------------------------------------


def test_that_a_truncated_file_fails_at_once_with_its_name(tiny: Path, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    outcome = run_worker(trial_order(folder_model(folder)), tmp_path / "w")
    assert (outcome.exit_code, outcome.failure) == (3, "model")
    cue = outcome.cue("failure:model")
    message, _, advice = cue.text.partition("\n")
    assert "cut/model.safetensors is damaged: it is cut short" in message
    assert "Fetch the model again" in advice


def test_that_a_folder_that_is_no_model_fails_at_once(tmp_path: Path) -> None:
    outcome = run_worker(trial_order(folder_model(tmp_path)), tmp_path / "w")
    assert (outcome.exit_code, outcome.failure) == (3, "model")


def test_that_a_hub_model_is_not_fetched_without_leave(tmp_path: Path) -> None:
    model = ModelOrder(ref="org/name", title="org/name", kind="hub", path="org/name")
    outcome = run_worker(trial_order(model), tmp_path / "w")
    assert outcome.failure == "model"
    assert "may not use the network" in outcome.records[-1].text  # type: ignore[union-attr]


def test_that_a_broken_order_is_a_failure_in_words(tmp_path: Path) -> None:
    order = msgspec.structs.replace(
        trial_order(folder_model(tmp_path)),
        engine=msgspec.structs.replace(trial_order(folder_model(tmp_path)).engine, id="no-such-engine"),
    )
    outcome = run_worker(order, tmp_path / "w")
    assert (outcome.exit_code, outcome.failure) == (3, "order")


@pytest.mark.real
def test_that_an_unknown_architecture_is_a_failure_in_words(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "strange")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"strangelove"'))
    outcome = run_worker(trial_order(folder_model(folder)), tmp_path / "w")
    assert (outcome.exit_code, outcome.failure) == (3, "model")
    assert "architecture of strange" in outcome.cue("failure:model").text  # type: ignore[union-attr]


@pytest.mark.real
def test_that_files_that_lack_tensors_are_not_filled_with_random_numbers(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "deeper")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    outcome = run_worker(trial_order(folder_model(folder)), tmp_path / "w")
    assert outcome.failure == "model"
    assert "lack 9 of the model's tensors" in outcome.cue("failure:model").text  # type: ignore[union-attr]


def test_that_an_unknown_technique_is_a_failure_in_words(tiny: Path, tmp_path: Path) -> None:
    order = msgspec.structs.replace(trial_order(folder_model(tiny)), techniques=(TechniqueOrder(id="precision.int1"),))
    outcome = run_worker(order, tmp_path / "w")
    assert (outcome.exit_code, outcome.failure) == (3, "technique")


@pytest.mark.real
@pytest.mark.parametrize("limit_gib", [0.7, 6])
def test_that_a_worker_out_of_address_space_says_so(limit_gib: float, tmp_path: Path) -> None:
    """0.7 GiB is not enough to import torch; 6 GiB is, but not for 8 GiB of weights."""
    config: dict[str, object] = {
        "model_type": "llama",
        "vocab_size": 1_000_000,
        "hidden_size": 2048,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 32,
    }
    model = ModelOrder(ref="random:big", title="big", kind="random", config=config)
    outcome = run_worker(trial_order(model), tmp_path / "w", address_space_bytes=int(limit_gib * 2**30))
    assert (outcome.exit_code, outcome.failure) == (3, "out_of_memory"), outcome.stderr[-2000:]


@pytest.mark.real
def test_that_garbage_on_standard_output_is_not_in_the_records(tiny: Path, tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.mkdir()
    (noise / "sitecustomize.py").write_text(
        "import os, threading, time\n"
        "def chatter():\n"
        "    while True:\n"
        "        os.write(1, b'{\"kind\": \"log\"}\\n\\xff\\x00garbage\\n'.replace(b'\\xff', b'?'))\n"
        "        os.write(2, b'loading: 12%\\r')\n"
        "        time.sleep(0.01)\n"
        "threading.Thread(target=chatter, daemon=True).start()\n"
    )
    outcome = run_worker(
        trial_order(folder_model(tiny)), tmp_path / "w", environment={"PYTHONPATH": f"{noise}:{Path.cwd()}"}
    )
    assert outcome.exit_code == 0
    assert outcome.stdout.count("garbage") > 10
    assert len(outcome.measured) == 2  # and every line of the pipe was a record, or the harness would have raised


@pytest.mark.real
def test_that_a_polite_stop_keeps_what_was_measured(tiny: Path, tmp_path: Path) -> None:
    workload = msgspec.structs.replace(WORKLOAD, new_tokens=200, window_s=600.0)
    worker = start_worker(trial_order(folder_model(tiny), workload=workload), tmp_path / "w")
    worker.wait_for(lambda r: isinstance(r, Request) and not r.warmup and r.index == 1)
    worker.terminate()
    outcome = worker.finish()
    assert outcome.exit_code == 0
    assert len(outcome.measured) >= 2
    assert all(r.stamps == 200 for r in outcome.measured)
    assert outcome.cue("short_window") is not None
    assert outcome.all(Evaluation) == []
    assert outcome.all(PhaseEnded)[-1].name == "unload"


@pytest.mark.real
def test_that_a_stop_while_loading_ends_the_worker_at_once(tiny: Path, tmp_path: Path) -> None:
    # requests so long that a signal that comes late finds it warming up
    workload = msgspec.structs.replace(QUICK, new_tokens=900)
    worker = start_worker(trial_order(folder_model(tiny), workload=workload), tmp_path / "w")
    worker.wait_for(lambda r: isinstance(r, Progress))
    time.sleep(0.5)
    worker.terminate()
    outcome = worker.finish()
    assert (outcome.exit_code, outcome.failure) == (0, "")
    assert outcome.measured == []


# --- the runner's end -----------------------------------------------------------------------------


def test_that_a_worker_whose_runner_is_gone_does_not_start(tiny: Path, tmp_path: Path) -> None:
    order = trial_order(folder_model(tiny))
    (tmp_path / "order.json").write_bytes(encode_order(order))
    create_ring(tmp_path / "ring", capacity_for(order))
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "engines.worker", "--order", str(tmp_path / "order.json")]
    command += ["--records", str(write_end), "--ring", str(tmp_path / "ring")]
    done = subprocess.run(command, pass_fds=[write_end], capture_output=True, timeout=60, check=False)
    os.close(write_end)
    assert done.returncode == 4


def test_that_a_worker_dies_with_its_runner(tiny: Path, tmp_path: Path) -> None:
    workload = Inference(prompt_tokens=16, new_tokens=64, window_s=600.0)
    (tmp_path / "order.json").write_bytes(encode_order(trial_order(folder_model(tiny), workload=workload)))
    create_ring(tmp_path / "ring", 1 << 16)
    runner = (
        "import os, subprocess, sys, time\n"
        "r, w = os.pipe()\n"
        "command = [sys.executable, '-m', 'engines.worker', '--order', sys.argv[1], '--ring', sys.argv[2]]\n"
        "p = subprocess.Popen([*command, '--records', str(w)], pass_fds=[w])\n"
        "os.read(r, 1)\n"  # the worker is past its first steps once it says something
        "print(p.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", runner, str(tmp_path / "order.json"), str(tmp_path / "ring")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait(60)
        deadline = time.monotonic() + 60
        while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the worker outlived its runner"
            time.sleep(0.05)
    except psutil.NoSuchProcess:
        pass  # gone already
    finally:
        parent.kill()
        parent.wait(60)
        parent.stdout.close()
