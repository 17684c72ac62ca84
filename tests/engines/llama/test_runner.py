"""Trials of the llama.cpp engine that end badly, through a real runner: a failed row that says why, then the next."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil
import pytest

from engines.llama.ladder.files import plan_file
from engines.protocol.orders import Inference, Limits, ModelOrder, TelemetryOrder, TrialOrder
from engines.protocol.records import MemoryPeak, ModelLoaded, PhaseStarted, Record, Request, TrialEnded
from tests.engines.llama.kit import gguf_order, need_llama
from tests.engines.runner_harness import RunnerProcess, is_alive, until
from tests.engines.worker_harness import QUICK
from tests.tiny_gguf import write_tiny_gguf

need_llama()
pytestmark = pytest.mark.real

STORED, Q4_K_M = "precision.gguf-stored", "precision.q4_k_m"


def order_for(
    trial: str, file: Path, workload: Inference = QUICK, address_space_bytes: int | None = None
) -> TrialOrder:
    return gguf_order(
        ModelOrder(ref=str(file), title=file.stem, kind="gguf", path=str(file)),
        STORED,
        trial=trial,
        workload=workload,
        limits=Limits(address_space_bytes=address_space_bytes),
        telemetry=TelemetryOrder(enabled=False),
    )


@dataclass(frozen=True)
class Row:
    """What is known of a trial after its end."""

    records: list[Record]

    @property
    def ended(self) -> TrialEnded:
        assert isinstance(self.records[-1], TrialEnded)
        return self.records[-1]

    @property
    def outcome(self) -> tuple[str, str]:
        return self.ended.outcome, self.ended.failure

    def peak_bytes(self, phase: str) -> int:
        return max((r.peak_bytes for r in self.records if isinstance(r, MemoryPeak) and r.phase == phase), default=0)

    @property
    def measured(self) -> int:
        return sum(1 for r in self.records if isinstance(r, Request) and not r.warmup)


def run(runner: RunnerProcess, *orders: TrialOrder) -> list[Row]:
    """Queue them all at once, wait for all."""
    runner.submit(*orders)
    return [Row(runner.records(order.trial)) for order in orders]


# --- memory ----------------------------------------------------------------------------------------


def test_that_a_cache_too_large_for_memory_is_a_failed_row_and_the_next_trial_runs(
    real_runner: RunnerProcess, tmp_path: Path
) -> None:
    """The caches of 8 sequences of a million tokens need 1 GiB, under a limit of 400 MiB."""
    file = write_tiny_gguf(tmp_path / "tiny.gguf", context_tokens=1 << 24)
    large = msgspec.structs.replace(QUICK, depth_tokens=1 << 20, batch_size=8)
    failed, after = run(real_runner, order_for("t1", file, large, 400 << 20), order_for("t2", file))
    assert failed.outcome == ("failed", "out_of_memory"), failed.ended
    assert "KV cache" in failed.ended.message
    assert "smaller batch" in failed.ended.advice
    assert failed.peak_bytes("load") > failed.peak_bytes("start") > 0, "the peak reached, while it was tried"
    assert after.outcome == ("completed", ""), after.ended
    assert after.measured == QUICK.requests


def test_that_memory_ran_out_is_known_wherever_it_ran_out(real_runner: RunnerProcess, tmp_path: Path) -> None:
    """In the libraries' start, the model, the context or the tokenizer; as an error, an exception of C++ or an abort of
    ggml: which of them it is at a limit depends on the machine. With 1 GiB the same trial completes."""
    file = write_tiny_gguf(tmp_path / "tiny.gguf")
    limits = (90, 120, 130, 140, 150, 160, 175)
    *tight, wide = run(
        real_runner,
        *(order_for(f"t{mebibytes}", file, QUICK, mebibytes << 20) for mebibytes in limits),
        order_for("t1024", file, QUICK, 1 << 30),
    )
    failed = [row for row in tight if row.ended.outcome != "completed"]  # a build may need less than the last of them
    assert len(failed) >= 3
    for row in failed:
        assert row.outcome == ("failed", "out_of_memory"), row.ended
        assert "Extension modules" not in row.ended.message
    assert wide.outcome == ("completed", ""), wide.ended


# --- aborts ----------------------------------------------------------------------------------------


def test_that_llama_cpp_ending_its_own_process_is_a_failed_row_in_words(
    real_runner: RunnerProcess, tmp_path: Path
) -> None:
    """A file that says its norms divide by less than nothing passes every check until ggml computes."""
    file = write_tiny_gguf(tmp_path / "odd.gguf", norm_epsilon=-1.0)
    good = write_tiny_gguf(tmp_path / "good.gguf")
    failed, after = run(real_runner, order_for("t1", file), order_for("t2", good))
    assert failed.outcome == ("failed", "engine"), failed.ended
    assert "GGML_ASSERT(eps >= 0.0f)" in failed.ended.message
    assert "/" not in failed.ended.message, "no path of the machine it was compiled on"
    assert "file may contradict itself" in failed.ended.advice
    assert any(isinstance(r, ModelLoaded) for r in failed.records)
    assert after.outcome == ("completed", ""), after.ended


# --- killed while a file is made -------------------------------------------------------------------

LARGE = {
    "model_type": "qwen2", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 2, "vocab_size": 2000,
    "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 512, "tie_word_embeddings": True,
}  # fmt: skip
"""About 33 million random weights: each step of the making takes a second or more."""


def frozen_in_the_making(runner: RunnerProcess, trial: str, type_name: str) -> psutil.Process | None:
    """The process that makes a file of this type, stopped while the file is half made. The worker is its parent. None
    where it was made before this process could look: it stood still for longer than that takes."""
    folder = runner.places.models / "gguf"
    found: list[psutil.Process] = []

    def half_made() -> bool:
        for draft in folder.glob(f"*/.making-*-{type_name}.gguf"):
            try:
                maker = psutil.Process(int(draft.name.split("-")[1]))
                maker.suspend()
                if draft.exists() and draft.stat().st_size:
                    found.append(maker)
                    return True
                maker.resume()
            except (psutil.NoSuchProcess, FileNotFoundError):
                continue
        if runner.entry(trial).state != "ended":
            return False
        ended = Row(runner.records(trial)).ended
        assert ended.outcome == "completed", ended
        return True

    until(half_made, 120, f"a half-made {type_name} file")
    return found[0] if found else None


@pytest.mark.parametrize("half_made", ["F16", "Q4_K_M"], ids=["converting", "quantising"])
def test_that_a_worker_killed_in_the_making_leaves_no_file_that_is_taken_for_a_whole_one(
    half_made: str, real_runner: RunnerProcess
) -> None:
    model = ModelOrder(ref="random:x", title="x", kind="random", config=LARGE, origin="random weights")
    *tries, second = (
        gguf_order(model, Q4_K_M, trial=trial, workload=QUICK, telemetry=TelemetryOrder(enabled=False))
        for trial in ("t1", "t2", "t3", "t4")
    )
    for first in tries:
        real_runner.submit(first)
        maker = frozen_in_the_making(real_runner, first.trial, half_made)
        if maker is not None:
            break
        shutil.rmtree(real_runner.places.models / "gguf")
    else:
        pytest.fail("three files were made whole before this test could look")
    worker = maker.ppid()
    os.kill(worker, signal.SIGKILL)
    failed = Row(real_runner.records(first.trial))
    assert failed.outcome == ("failed", "killed"), failed.ended
    assert failed.ended.message == "Killed, possibly out of memory."
    until(lambda: not is_alive(maker.pid), 60, "the maker ends with its worker")
    planned = plan_file(second)
    assert not planned.exists, "what was half made is not offered"
    assert not planned.path.exists()
    (after,) = run(real_runner, second)
    assert after.outcome == ("completed", ""), after.ended
    assert "convert" in [r.name for r in after.records if isinstance(r, PhaseStarted)], "it was made again"
    assert plan_file(second).exists
    assert not list((real_runner.places.models / "gguf").rglob(".making-*"))
