"""The runner with the real worker, real telemetry and a tiny real model."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from engines.protocol import messages
from engines.protocol.orders import Inference, Limits, ModelOrder, TechniqueOrder, TelemetryOrder, Training, TrialOrder
from engines.protocol.records import (
    PhaseEnded,
    Record,
    Request,
    Sensors,
    Stamps,
    Telemetry,
    TelemetryTurn,
    TrialEnded,
    TrialStarted,
)
from engines.runner.workers.start import with_method
from tests.builders import trial_order
from tests.engines.runner_harness import RunnerProcess
from tests.engines.worker_harness import facts_of
from tests.tiny_model import make_tiny_model

pytestmark = pytest.mark.real


def real_order(trial: str, folder: Path, limits: Limits | None = None) -> TrialOrder:
    return trial_order(
        trial,
        store="s1",
        model=ModelOrder(ref="tiny", title="tiny", kind="folder", path=str(folder)),
        techniques=(TechniqueOrder(id="precision.float32"),),
        workload=Inference(prompt_tokens=16, new_tokens=8, requests=2, window_s=2.0, warmup_requests=3),
        telemetry=TelemetryOrder(rate_hz=10.0),
        limits=limits or Limits(),
    )


def test_that_a_real_trial_is_recorded_whole(real_runner: RunnerProcess, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    real_runner.submit(real_order("t1", folder))
    records = real_runner.records("t1")
    ended = records[-1]
    assert isinstance(ended, TrialEnded)
    assert ended.outcome == "completed", ended
    requests = [record for record in records if isinstance(record, Request)]
    stamps = {
        record.first + place: t
        for record in records
        if isinstance(record, Stamps)
        for place, t in enumerate(record.times_ns)
    }
    for request in requests:
        times = [stamps[request.first_stamp + n] for n in range(request.stamps)]
        assert request.start_ns < times[0] <= times[-1] <= request.end_ns
    assert any(isinstance(record, PhaseEnded) and record.name == "measure" for record in records)
    assert any(isinstance(record, Sensors) for record in records)
    read = [record for record in records if isinstance(record, Telemetry) and record.source == "proc.tree"]
    assert sum(len(record.times_ns) for record in read) > 15
    facts = facts_of(records)
    assert facts
    assert "Traceback" not in real_runner.log


def test_that_turns_with_telemetry_hold_readings_at_its_rate_and_turns_without_hold_none(
    real_runner: RunnerProcess, tmp_path: Path
) -> None:
    order = real_order("t1", make_tiny_model(tmp_path / "model"))
    order = msgspec.structs.replace(
        order,
        telemetry=TelemetryOrder(rate_hz=10.0, turns_s=0.6),
        workload=msgspec.structs.replace(order.inference, window_s=5.0),
    )
    real_runner.submit(order)
    records = real_runner.records("t1")
    ended = records[-1]
    assert isinstance(ended, TrialEnded)
    assert ended.outcome == "completed", ended
    turns = [record for record in records if isinstance(record, TelemetryTurn)]
    measured = next(record for record in records if isinstance(record, PhaseEnded) and record.name == "measure")
    assert [turn.index for turn in turns] == list(range(len(turns)))
    assert len(turns) >= 4
    assert {turn.on for turn in turns[:2]} == {turn.on for turn in turns[2:4]} == {True, False}
    assert all(before.t_ns <= after.start_ns for before, after in itertools.pairwise(turns))
    assert measured.start_ns <= turns[0].start_ns, "no turn begins before the trial measures"
    read = [t for r in records if isinstance(r, Telemetry) and "rss_bytes" in r.columns for t in r.times_ns]
    inside = {turn.index: sum(turn.start_ns < t < turn.t_ns for t in read) for turn in turns}
    off = [turn for turn in turns if not turn.on]
    assert all(inside[turn.index] <= 1 for turn in off), "one may have been under way"
    assert sum(inside[turn.index] for turn in off) < len(off), "and seldom is"
    # a turn in which the machine stood still holds fewer
    whole = [turn for turn in turns[:-1] if turn.on and turn.t_ns - turn.start_ns < 0.9e9]
    due = sum((turn.t_ns - turn.start_ns) / 1e9 * 10 for turn in whole)
    assert due / 2 < sum(inside[turn.index] for turn in whole) <= due + len(whole)
    assert any(t > measured.t_ns for t in read), "telemetry is on again after the last turn"
    assert all(turn.runner_cpu_seconds is not None and turn.runner_cpu_seconds >= 0 for turn in turns)
    ticks = [record.t_ns for record in records if isinstance(record, Stamps)]
    in_on, in_off = (
        sum(turn.start_ns < t < turn.t_ns for t in ticks for turn in turns if turn.on is on) for on in (True, False)
    )
    assert in_on > in_off, "the runner's tick is slower without telemetry"


def test_that_real_workers_are_forked_from_a_template_and_import_nothing_again(
    real_runner: RunnerProcess, tmp_path: Path
) -> None:
    folder = make_tiny_model(tmp_path / "model")
    forked = [with_method(real_order(trial, folder), "template") for trial in ("t1", "t2")]
    real_runner.submit(*forked, real_order("t3", folder))
    first, second, plain = (real_runner.records(trial) for trial in ("t1", "t2", "t3"))
    for records, method in ((first, "template"), (second, "template"), (plain, "plain")):
        started, ended = records[0], records[-1]
        assert isinstance(started, TrialStarted)
        assert isinstance(ended, TrialEnded)
        assert (ended.outcome, started.start_method) == ("completed", method), ended
    facts = [facts_of(records) for records in (first, second)]
    assert facts[0]["template.pid"] == facts[1]["template.pid"]
    assert facts[0]["worker.start_method"] == "template"
    assert "start.fallback" not in facts[0] | facts[1]
    # processor time: a machine that stands still adds none
    assert _start_cpu(second) < _start_cpu(plain) / 4
    # about the same memory either way, though most pages are shared: without their being counted it would be 0.4 of it.
    # Not closer, because other processes with the same libraries come and go, and each lowers proportional memory
    assert 0.6 < _memory(second) / _memory(plain) < 1.5
    stamps = [sum(len(r.times_ns) for r in records if isinstance(r, Stamps)) for records in (second, plain)]
    assert min(stamps) > 16, "both measured"


def test_that_training_is_forked_from_a_template(real_runner: RunnerProcess, tmp_path: Path) -> None:
    order = with_method(real_order("t1", make_tiny_model(tmp_path / "model")), "template")
    load = Training(steps=2, warmup_steps=1, sequence_tokens=32, batch_size=2, evaluation_tokens=64)
    lora = TechniqueOrder(id="finetune.lora", parameters={"rank": 2})
    real_runner.submit(msgspec.structs.replace(order, workload=load, techniques=(*order.techniques, lora)))
    records = real_runner.records("t1")
    assert isinstance(records[-1], TrialEnded)
    assert records[-1].outcome == "completed", records[-1]
    assert (facts_of(records)["worker.start_method"], facts_of(records).get("start.fallback")) == ("template", None)


def _start_cpu(records: list[Record]) -> float:
    """Processor seconds from the worker's first step until it could load a model."""
    spent = next(r.cpu_seconds for r in records if isinstance(r, PhaseEnded) and r.name == "start")
    assert spent is not None
    return spent


def _memory(records: list[Record]) -> float:
    """Largest reading of proportional memory."""
    return max(v for r in records if isinstance(r, Telemetry) for v in r.columns.get("pss_bytes", ()) if v)


def test_that_a_real_worker_out_of_memory_is_told_from_a_crash(real_runner: RunnerProcess, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    limits = Limits(address_space_bytes=700 << 20)  # enough for an interpreter, too little for torch
    real_runner.submit(real_order("t1", folder, limits))
    ended = real_runner.records("t1")[-1]
    assert isinstance(ended, TrialEnded)
    assert (ended.outcome, ended.failure) == ("failed", "out_of_memory"), ended
    assert isinstance(real_runner.client.call(messages.Probe(), timeout=240), messages.ProbeResult)
