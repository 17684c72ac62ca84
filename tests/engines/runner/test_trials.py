"""Trials of a real runner with fake workers: the way they run and the ways they end."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from engines.models.artifacts import Made
from engines.protocol import messages
from engines.protocol.client import RunnerError
from engines.protocol.codec import decode_record
from engines.protocol.orders import EngineOrder, Limits, TelemetryOrder
from engines.protocol.records import (
    Cue,
    Log,
    PhaseStarted,
    Record,
    Stamps,
    TelemetryTurn,
    TrialEnded,
    TrialStarted,
    UnknownRecord,
)
from tests.engines.runner_harness import RunnerProcess, is_alive, make_order, until
from workbench.metrics.checks.verdict import judge
from workbench.metrics.trial import arrange


def end_of(records: list[Record]) -> TrialEnded:
    last = records[-1]
    assert isinstance(last, TrialEnded)
    return last


def logged(records: list[Record], source: str) -> list[str]:
    return [record.text for record in records if isinstance(record, Log) and record.source == source]


def test_that_a_trial_runs_to_its_end_with_every_record_numbered(shared: RunnerProcess) -> None:
    order = make_order("t01a", ["phase", "load"], ["progress", "half", 0.5], ["stamps", 7])
    assert shared.submit(order) == "1 trials queued."
    records = shared.records("t01a")
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    started, ended = records[0], end_of(records)
    assert isinstance(started, TrialStarted)
    assert started.threads >= 1
    assert started.worker_pid > 0
    assert (ended.outcome, ended.failure, ended.exit_code) == ("completed", "", 0)
    assert ended.clock.mono_ns > started.clock.mono_ns
    stamps = [t for record in records if isinstance(record, Stamps) for t in record.times_ns]
    assert len(stamps) == 7
    assert stamps == sorted(stamps)
    assert any(isinstance(record, PhaseStarted) and record.name == "load" for record in records)
    entry = shared.entry("t01a")
    assert (entry.state, entry.outcome) == ("ended", "completed")
    assert entry.ended_wall_ns > entry.started_wall_ns > 0


def test_that_a_worker_gets_its_bounds_before_it_begins(shared: RunnerProcess, tmp_path: Path) -> None:
    facts = tmp_path / "facts"
    shared.submit(make_order("t02a", ["tell_self", str(facts)]))
    started = shared.records("t02a")[0]
    assert isinstance(started, TrialStarted)
    told = json.loads(facts.read_text())
    assert told["pid"] == started.worker_pid
    assert told["oom_score_adj"] == 1000
    assert told["affinity"] == list(started.processors)
    assert told["threads"] == started.threads
    assert told["stdin"] == "/dev/null"
    if len(os.sched_getaffinity(0)) > 1:
        assert len(started.processors) < len(os.sched_getaffinity(0))


def test_that_a_wish_for_threads_is_kept(shared: RunnerProcess) -> None:
    shared.submit(make_order("t03a", engine=EngineOrder(threads=3)))
    started = shared.records("t03a")[0]
    assert isinstance(started, TrialStarted)
    assert started.threads == 3
    assert set(started.processors) == os.sched_getaffinity(0)


def test_that_a_killed_worker_becomes_a_failed_trial(shared: RunnerProcess) -> None:
    shared.submit(make_order("t04a", ["stamps", 5], ["signal", signal.SIGKILL]), make_order("t04b"))
    records = shared.records("t04a")
    ended = end_of(records)
    assert (ended.outcome, ended.failure, ended.message) == ("failed", "killed", "Killed, possibly out of memory.")
    assert ended.exit_code == -signal.SIGKILL
    stamps = [t for record in records if isinstance(record, Stamps) for t in record.times_ns]
    assert len(stamps) == 5, "what was measured before survives"
    assert end_of(shared.records("t04b")).outcome == "completed", "the queue goes on"


def test_that_a_crashed_engine_is_told_from_a_killed_one(shared: RunnerProcess) -> None:
    shared.submit(
        make_order("t05a", ["signal", signal.SIGSEGV]), make_order("t05b", ["complain", "bad\n"], ["exit", 7])
    )
    first, second = end_of(shared.records("t05a")), end_of(shared.records("t05b"))
    assert (first.outcome, first.failure) == ("failed", "engine")
    assert "SIGSEGV" in first.message
    assert (second.outcome, second.failure) == ("failed", "engine")
    assert second.message == "The engine ended with exit code 7: bad"


def test_that_a_worker_out_of_its_address_space_is_out_of_memory(shared: RunnerProcess) -> None:
    limits = Limits(address_space_bytes=400 << 20)
    shared.submit(make_order("t06a", ["allocate", 2 << 30], limits=limits), make_order("t06b"))
    ended = end_of(shared.records("t06a"))
    assert (ended.outcome, ended.failure) == ("failed", "out_of_memory")
    assert "0.39 GiB" in ended.message
    assert end_of(shared.records("t06b")).outcome == "completed"


def test_that_a_failure_the_worker_names_is_passed_on(shared: RunnerProcess) -> None:
    shared.submit(make_order("t07a", ["fail", "model", "The file is cut short.\nDownload it again."]))
    ended = end_of(shared.records("t07a"))
    assert (ended.outcome, ended.failure) == ("failed", "model")
    assert (ended.message, ended.advice) == ("The file is cut short.", "Download it again.")


def test_that_garbage_on_the_record_pipe_is_a_warning(shared: RunnerProcess) -> None:
    garbage = "no json\n\xff\xfe\x00\n[1]\n" + '{"kind": "log"}\n' + '{"kind":"trial_ended"}\n' + '{"kind": "x\n'
    shared.submit(make_order("t08a", ["raw", garbage], ["raw", "more\n" * 500], ["stamps", 2], ["raw", "half a li"]))
    records = shared.records("t08a")
    assert end_of(records).outcome == "completed"
    assert sum(isinstance(record, TrialEnded) for record in records) == 1
    warnings = logged(records, "runner")
    assert any("no json" in text for text in warnings)
    assert len(warnings) <= 21, "the flood is capped"
    assert "more lines on the record pipe were no records" in warnings[-1]
    assert any(isinstance(record, Stamps) for record in records)


def test_that_garbage_on_standard_output_is_in_the_log_and_capped(shared: RunnerProcess) -> None:
    shared.submit(
        make_order(
            "t09a",
            ["print", "\xff\x00\x1b[31mred\x1b[0m\n"],
            ["print", "10%\r50%\r99%\n"],
            ["print", "flood\n", 20_000],
        )
    )
    records = shared.records("t09a")
    assert end_of(records).outcome == "completed"
    lines = logged(records, "stdout")
    assert lines[0].endswith("red")
    assert lines[1] == "99%"
    assert len(lines) < 1000
    assert any("lines of stdout were left out" in text for text in logged(records, "runner"))


def test_that_an_unknown_record_kind_is_kept_whole(shared: RunnerProcess) -> None:
    line = '{"kind":"from_the_future","t_ns":5,"seq":0,"deep":{"a":[1,2.50,null],"b":"ü"},"big":123456789012345678901}'
    shared.submit(make_order("t10a", ["raw", line.encode().decode("latin-1") + "\n"]))
    record = next(record for record in shared.records("t10a") if isinstance(record, UnknownRecord))
    assert record.kind == "from_the_future"
    assert record.seq > 0
    assert json.loads(record.raw) == {**json.loads(line), "seq": record.seq}
    assert b"2.50" in record.raw


def test_that_stop_keeps_what_was_measured(shared: RunnerProcess) -> None:
    shared.submit(make_order("t11a", ["stamps", 3], ["phase", "measure"], ["sleep", 60]))
    until(lambda: shared.entry("t11a").phase == "measure", what=shared.log)
    shared.client.call(messages.Stop(trial="t11a"))
    ended = end_of(shared.records("t11a"))
    assert (ended.outcome, ended.message, ended.exit_code) == ("stopped", "Stopped by the user.", 0)


def test_that_a_worker_that_does_not_stop_is_killed_after_its_grace(runner: RunnerProcess) -> None:
    runner.submit(make_order("t12a", ["ignore_sigterm"], ["phase", "measure"], ["sleep", 60]))
    until(lambda: runner.entry("t12a").phase == "measure")
    runner.client.call(messages.Stop(trial="t12a"))
    records = runner.records("t12a")
    ended = end_of(records)
    assert (ended.outcome, ended.exit_code) == ("stopped", -signal.SIGKILL)
    assert any("did not end within 0.5 s" in text for text in logged(records, "runner"))


def test_that_kill_ends_a_trial_at_once(shared: RunnerProcess) -> None:
    shared.submit(make_order("t13a", ["ignore_sigterm"], ["phase", "measure"], ["sleep", 60]))
    until(lambda: shared.entry("t13a").phase == "measure")
    shared.client.call(messages.Stop(trial="t13a", how="kill"))
    ended = end_of(shared.records("t13a"))
    assert (ended.outcome, ended.message, ended.exit_code) == ("stopped", "Killed by the user.", -signal.SIGKILL)


def test_that_a_trial_is_stopped_at_its_time_limit(shared: RunnerProcess) -> None:
    shared.submit(make_order("t14a", ["sleep", 60], limits=Limits(time_s=0.4)))
    ended = end_of(shared.records("t14a"))
    assert (ended.outcome, ended.message) == ("stopped", "Stopped at its time limit.")


def test_that_what_a_worker_leaves_behind_is_killed(shared: RunnerProcess, tmp_path: Path) -> None:
    path = tmp_path / "daemon"
    shared.submit(make_order("t15a", ["daemon", str(path)], ["signal", signal.SIGKILL]))
    records = shared.records("t15a")
    assert not is_alive(int(path.read_text()))
    assert any("left 1 processes behind" in text for text in logged(records, "runner"))


def test_that_missing_telemetry_does_not_fail_a_trial(shared: RunnerProcess) -> None:
    shared.submit(make_order("t16a", ["sleep", 0.3], telemetry=TelemetryOrder(enabled=True)))
    assert end_of(shared.records("t16a")).outcome == "completed"


def test_that_turns_end_with_the_worker_that_dies_in_one_and_never_begin_without_telemetry(
    shared: RunnerProcess, tmp_path: Path
) -> None:
    in_turns, gate = TelemetryOrder(turns_s=0.2), tmp_path / "gate"
    measure: list[list[object]] = [["phase", "measure"], ["wait_for", str(gate)]]
    shared.submit(make_order("t16b", ["sleep", 0.5], *measure, ["signal", signal.SIGKILL], telemetry=in_turns))
    records: list[Record] = []
    turns: list[TelemetryTurn] = []
    for reply in shared.client.stream(messages.Attach(trial="t16b")):
        assert isinstance(reply, messages.RecordLine)
        records.append(decode_record(reply.line))
        turns = [record for record in records if isinstance(record, TelemetryTurn)]
        if len(turns) == 2:
            gate.touch()
    assert end_of(records).outcome == "failed"
    assert len(turns) > 2, "also the one in which it died"
    assert turns[-1].t_ns > turns[-1].start_ns
    off = TelemetryOrder(enabled=False, turns_s=0.2)
    shared.submit(make_order("t16c", ["phase", "measure"], ["sleep", 0.7], telemetry=off))
    assert not [record for record in shared.records("t16c") if isinstance(record, TelemetryTurn)]


def test_that_a_worker_stopped_in_the_middle_of_its_measurement_is_an_invalid_trial(
    shared: RunnerProcess, tmp_path: Path
) -> None:
    """The whole way of a stall: SIGSTOP, the ring, the records, the verdict."""
    told = tmp_path / "self.json"
    requests = [["request", number, 40, 0.01, 10 if number == 1 else -1] for number in range(3)]
    shared.submit(make_order("stopped", ["tell_self", str(told)], *requests))
    until(told.exists, what="the worker runs")
    worker = psutil.Process(json.loads(told.read_text())["pid"])
    until(lambda: worker.status() == psutil.STATUS_STOPPED, what="the worker stops")
    time.sleep(2.0)  # the length of the stall
    worker.resume()
    verdict = judge(arrange(shared.records("stopped")))
    (stall,) = (reason for reason in verdict.reasons if reason.code == "stall" and reason.severity == "invalid")
    assert stall.message.startswith("Decode stalled")
    assert verdict.verdict == "invalid"


def test_that_a_full_ring_is_counted_and_not_fatal(shared: RunnerProcess) -> None:
    shared.submit(make_order("t17a", ["stamps", 70_000]))
    records = shared.records("t17a")
    cue = next(record for record in records if isinstance(record, Cue))
    stored = sum(len(record.times_ns) for record in records if isinstance(record, Stamps))
    assert cue.code == "ring_full"
    assert cue.text == f"{70_000 - stored} token stamps did not fit into the ring of {stored}."
    assert end_of(records).outcome == "completed"


def test_that_a_worker_that_cannot_be_started_fails_its_trial(
    runner: RunnerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.end()
    monkeypatch.setenv("LLM_WORKBENCH_WORKER", "/nonexistent/worker")
    runner.start()
    runner.submit(make_order("t18a"))
    ended = end_of(runner.records("t18a"))
    assert (ended.outcome, ended.failure) == ("failed", "engine")
    assert "/nonexistent/worker" in ended.message


def test_that_attaching_in_the_middle_and_after_the_end_gives_the_same_records(shared: RunnerProcess) -> None:
    shared.submit(make_order("t19a", ["logs", 20, 10, 0.02], ["sleep", 0.2]))
    shared.until_state("t19a", "running")
    time.sleep(0.2)
    live = shared.lines("t19a")
    later = shared.lines("t19a")
    assert live == later
    assert shared.lines("t19a", after=7) == live[7:]
    assert shared.lines("t19a", after=len(live)) == []


def test_that_attaching_to_an_unknown_trial_is_refused(shared: RunnerProcess) -> None:
    with pytest.raises(RunnerError, match="knows no trial 'nobody'") as caught:
        shared.records("nobody")
    assert caught.value.code == "unknown_trial"
    assert caught.value.advice


def test_that_what_a_killed_worker_has_left_half_written_is_removed(shared: RunnerProcess) -> None:
    place = shared.places.artifacts / "t-half"
    for name in ("step-4", ".step-8.part", "step-6"):
        (place / name).mkdir(parents=True)
        (place / name / "state.safetensors").write_bytes(b"weights")
    made = Made(artifact="checkpoint", trial="t-half", title="", experiment_title="", step=4, base=make_order("").model)
    (place / "step-4.json").write_bytes(msgspec.json.encode(made))
    (place / ".step-6.json.part").write_bytes(b"{")
    shared.submit(make_order("t-half", ["signal", int(signal.SIGKILL)]))
    assert end_of(shared.records("t-half")).outcome == "failed"
    until(lambda: len(list(place.iterdir())) == 2)
    assert sorted(path.name for path in place.iterdir()) == ["step-4", "step-4.json"]
    assert (place / "step-4" / "state.safetensors").read_bytes() == b"weights"
