"""The queue of a real runner: order, pause, leases, tombstones, and what survives a killed runner."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import psutil
import pytest

from engines.protocol import messages
from engines.protocol.client import RunnerError
from engines.protocol.failures import CAUSES, cause
from engines.protocol.messages import QueueState
from engines.protocol.places import Places
from engines.protocol.queue_file import last_known, runner_process
from engines.protocol.records import Log, Stamps, TrialEnded
from engines.protocol.ring import RingWriter
from engines.runner.leases import startable
from engines.runner.spools.archive import Archive
from engines.runner.spools.end_records import DIED, ended_record
from engines.runner.spools.spool import RECORDS
from engines.worker.failures import FailureKind
from tests.engines.runner_harness import ROOT, RunnerProcess, is_alive, make_order, until


def pause(runner: RunnerProcess, paused: bool) -> None:
    runner.client.call(messages.SetPaused(paused=paused))


def waiting(runner: RunnerProcess) -> list[str]:
    return [entry.trial for entry in runner.queue().in_state("waiting")]


# --- leases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waits", "runs", "start"),
    [
        (["cpu", "cpu"], [], [0]),
        (["cpu"], ["cpu"], []),
        (["cpu"], ["cuda:a"], []),
        (["cuda:a", "cuda:b", "cuda:a"], [], [0, 1]),
        (["cuda:a", "cpu", "cuda:b"], [], [0]),
        (["cpu", "cuda:a"], ["cuda:b"], []),
        (["cuda:a", "cuda:b"], ["cpu"], []),
        (["cuda:b", "cuda:a"], ["cuda:b"], [1]),
        (["cuda:a+cuda:b"], [], [0]),
        (["cuda:a+cuda:b"], ["cuda:a"], []),
        (["cuda:a+cuda:b"], ["cuda:b"], []),
        (["cuda:a+cuda:b", "cuda:b", "cuda:c"], ["cuda:a"], [2]),
        (["cuda:a+cuda:b", "cuda:b+cuda:a"], [], [0]),
        (["cuda:a+cuda:b", "cuda:b+cuda:c", "cuda:c"], [], [0]),
        (["cuda:a"], ["cuda:a+cuda:b"], []),
        (["cpu", "cuda:a"], ["cuda:a+cuda:b"], []),
        (["cuda:a+cuda:b"], ["cpu"], []),
        ([], [], []),
    ],
)
def test_that_leases_keep_the_processor_alone_and_gpus_apart(
    waits: list[str], runs: list[str], start: list[int]
) -> None:
    assert startable([held.split("+") for held in waits], [held.split("+") for held in runs]) == start


# --- what is not tried again ----------------------------------------------------------------------


def test_that_a_failure_that_stays_ends_the_other_blocks_with_its_reason(runner: RunnerProcess) -> None:
    pause(runner, True)
    runner.submit(
        make_order("t1", ["fail", "model", "Unknown architecture.\nChoose another."], block=1),
        make_order("t2", ["sleep", 60], block=2),
        make_order("t3", configuration="c2", block=2),
        make_order("t4", ["sleep", 60], block=3),
    )
    pause(runner, False)
    assert runner.until_state("t3", "ended").outcome == "completed", "another configuration"
    for trial in ("t2", "t4"):
        (ended,) = runner.records(trial)
        assert isinstance(ended, TrialEnded)
        assert (ended.outcome, ended.failure) == ("failed", "model")
        assert ended.message == ("Not tried: block 2 failed for a reason that stays the same. Unknown architecture.")
        assert ended.advice == "Choose another."
        assert runner.entry(trial).outcome == "failed"
    assert runner.submit(make_order("t5", block=4)) == "1 trials queued."
    assert runner.until_state("t5", "ended").outcome == "completed", "whoever submits again means it"


@pytest.mark.parametrize(
    "steps",
    [
        [["fail", "out_of_memory", "Full."]],
        [["fail", "fetch", "No answer."]],
        [["fail", "diverged", "The loss is nan."]],
        [["fail", "of_a_newer_worker", "Odd."]],
        [["exit", 9]],
        [["phase", "measure"], ["fail", "technique", "No perplexity."]],
    ],
    ids=["memory", "fetch", "diverged", "unknown", "crash", "after measuring"],
)
def test_that_a_failure_that_may_pass_is_tried_again(runner: RunnerProcess, steps: list[list[object]]) -> None:
    pause(runner, True)
    runner.submit(make_order("t1", *steps), make_order("t2", block=1))
    pause(runner, False)
    assert runner.until_state("t2", "ended").outcome == "completed"
    assert runner.entry("t1").outcome == "failed"


def test_that_every_kind_a_worker_can_say_is_in_the_table() -> None:
    assert set(get_args(FailureKind)) <= set(CAUSES)
    assert [cause(kind) for kind in ("model", "disk_full", "killed", "", "new")] == [
        "permanent",
        "machine",
        "chance",
        "chance",
        "chance",
    ]


def test_that_gpu_trials_run_side_by_side_and_a_processor_trial_waits(runner: RunnerProcess) -> None:
    runner.submit(
        make_order("g1", ["sleep", 60], device="cuda:a"),
        make_order("g2", ["sleep", 60], device="cuda:b"),
        make_order("c1", device="cpu"),
    )
    runner.until_state("g1", "running")
    runner.until_state("g2", "running")
    assert waiting(runner) == ["c1"]
    runner.client.call(messages.Stop(trial="g1"))
    runner.until_state("g1", "ended")
    assert waiting(runner) == ["c1"]
    runner.client.call(messages.Stop(trial="g2"))
    runner.until_state("c1", "ended")


def test_that_trials_that_need_several_devices_take_all_or_none_and_never_share_one(runner: RunnerProcess) -> None:
    """Each wants what another holds, in the other order; the runner is killed among them."""
    orders = [
        make_order(
            f"t{number}",
            *([["phase", "measure"], ["sleep", 60]] if number == 1 else [["sleep", 0.3]]),
            device=first,
            more_devices=more,
        )
        for number, (first, *more) in enumerate(
            (
                *(("cuda:a", "cuda:b"), ("cuda:b", "cuda:a"), ("cuda:a",), ("cuda:c",), ("cuda:b", "cuda:c")),
                *(("cuda:c", "cuda:a"), ("cuda:b",), ("cuda:c", "cuda:b", "cuda:a"), ("cuda:a",)),
            )
        )
    ]
    runner.submit(*orders)
    until(lambda: runner.entry("t1").phase == "measure", what=runner.log)
    runner.until_state("t3", "ended")  # it shares no device with t1
    runner.kill()
    runner.start()
    runner.submit(make_order("last", device="cuda:b", more_devices=("cuda:c",)))
    runner.until_state("last", "ended")
    outcomes = {order.trial: runner.until_state(order.trial, "ended").outcome for order in orders}
    assert [trial for trial, outcome in outcomes.items() if outcome != "completed"] == ["t1"]
    assert outcomes["t1"] == "lost"
    held = {order.trial: set(order.devices) for order in orders}
    ran = sorted(
        (entry.started_wall_ns, entry.ended_wall_ns, entry.trial)
        for entry in runner.queue().in_state("ended")
        if entry.trial in held
    )
    for place, (_, ended, trial) in enumerate(ran):
        for started, _, other in ran[place + 1 :]:
            assert started >= ended or not held[trial] & held[other], (trial, other)


# --- order and pause ------------------------------------------------------------------------------


def test_that_a_paused_queue_starts_nothing_and_keeps_its_new_order(runner: RunnerProcess) -> None:
    pause(runner, True)
    runner.submit(*(make_order(f"t{n}") for n in range(4)))
    runner.client.call(messages.Reorder(trials=("t3", "nobody", "t1")))
    assert waiting(runner) == ["t3", "t1", "t0", "t2"]
    state = runner.queue()
    assert state.paused
    assert state.pause_reason == ""
    pause(runner, False)
    runner.until_state("t2", "ended")
    assert [entry.trial for entry in runner.queue().entries] == ["t2", "t0", "t1", "t3"], "newest first"


def test_that_a_trial_is_not_queued_twice(runner: RunnerProcess) -> None:
    pause(runner, True)
    runner.submit(make_order("t1"))
    assert (
        runner.submit(make_order("t1"), make_order("t2"), make_order("t2")) == "1 trials queued. 2 were known already."
    )
    pause(runner, False)
    runner.until_state("t2", "ended")
    assert "nothing was queued" in runner.submit(make_order("t1"))
    assert len(runner.queue().entries) == 2


def test_that_an_id_that_is_no_folder_name_is_refused(runner: RunnerProcess) -> None:
    for bad in ("../t1", "", ".hidden", "a/b", "a\n"):
        with pytest.raises(RunnerError) as caught:
            runner.submit(make_order(bad))
        assert caught.value.code == "bad_request"


def test_that_nobody_else_may_read_what_the_runner_keeps(runner: RunnerProcess, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    runner.submit(make_order("t1", ["phase", "measure"], ["wait_for", str(gate)]), make_order("t2"))
    until(lambda: runner.entry("t1").phase == "measure")
    runner.client.call(messages.Stop(trial="t2"))
    runner.client.call(messages.Bury(trials=("t2",)))
    open_to_others = {
        str(path): oct(path.stat().st_mode)
        for path in (runner.places.state, *runner.places.state.rglob("*"))
        if path.stat().st_mode & 0o077 and path != runner.places.runner_log  # that one is this test's own
    }
    gate.touch()
    assert not open_to_others


def test_that_a_stopped_waiting_trial_ends_without_having_run(runner: RunnerProcess) -> None:
    pause(runner, True)
    runner.submit(make_order("t1"))
    runner.client.call(messages.Stop(trial="t1"))
    entry = runner.entry("t1")
    assert (entry.state, entry.outcome) == ("ended", "stopped")
    (record,) = runner.records("t1")
    assert isinstance(record, TrialEnded)
    assert record.message == "Removed from the queue before it started."


def test_that_a_watcher_sees_the_queue_change_at_most_four_times_a_second(
    runner: RunnerProcess, tmp_path: Path
) -> None:
    steps = [["progress", f"step {n}", n / 100] for n in range(100)]
    spread = [step for each in steps for step in (each, ["sleep", 0.005])]
    states = []
    runner.submit(make_order("t1", ["wait_for", str(tmp_path / "go")], *spread))
    for state in runner.connect().stream(messages.Watch()):
        assert isinstance(state, QueueState)
        states.append(state)
        (tmp_path / "go").touch()
        if state.in_state("ended"):
            break
    # 100 changes in half a second and more; how much more depends on the machine
    ended = states[-1].in_state("ended")[0]
    seconds = (ended.ended_wall_ns - ended.started_wall_ns) / 1e9
    assert 2 <= len(states) <= 4 * seconds + 4


# --- tombstones and acknowledgements --------------------------------------------------------------


def test_that_a_buried_trial_does_not_come_back(runner: RunnerProcess) -> None:
    runner.submit(make_order("t1"), make_order("t2", ["sleep", 60]), make_order("t3"))
    runner.until_state("t2", "running")
    runner.client.call(messages.Bury(trials=("t1", "t2", "t3", "never-seen")))
    assert runner.queue().entries == ()
    runner.submit(make_order("t1"), make_order("t2"), make_order("never-seen"))
    assert runner.queue().entries == ()
    runner.kill()
    runner.start()
    runner.submit(make_order("t1"))
    assert runner.queue().entries == ()
    spools = runner.client.call(messages.ListSpools())
    assert isinstance(spools, messages.SpoolList)
    assert spools.spools == ()
    assert not (runner.places.spools / "t1").exists()


def test_that_spools_are_listed_by_store_with_what_is_acknowledged(runner: RunnerProcess) -> None:
    runner.submit(make_order("t1"))
    last = runner.lines("t1")[-1].seq
    runner.client.call(messages.Acknowledge(trial="t1", seq=1))
    for restart in (False, True):
        if restart:
            runner.kill()
            runner.start()
        spools = runner.client.call(messages.ListSpools(store="s1"))
        assert isinstance(spools, messages.SpoolList)
        (spool,) = spools.spools
        assert (spool.trial, spool.last_seq, spool.complete, spool.acknowledged) == ("t1", last, True, 1)
        assert spool.size_bytes == (runner.places.spools / "t1" / RECORDS).stat().st_size
    others = runner.client.call(messages.ListSpools(store="other"))
    assert isinstance(others, messages.SpoolList)
    assert others.spools == ()


def test_that_a_spool_its_store_has_is_deleted_after_its_time(runner: RunnerProcess) -> None:
    runner.submit(make_order("kept"), make_order("gone"))
    runner.lines("kept")
    last = runner.lines("gone")[-1].seq
    runner.client.call(messages.Acknowledge(trial="gone", seq=last))
    runner.end()
    runner.start("--keep-days", "0")
    spools = runner.client.call(messages.ListSpools())
    assert isinstance(spools, messages.SpoolList)
    assert [spool.trial for spool in spools.spools] == ["kept"]


# --- the runner dies ------------------------------------------------------------------------------


def test_that_a_killed_runner_takes_its_worker_along_and_the_next_one_goes_on(
    runner: RunnerProcess, tmp_path: Path
) -> None:
    facts, daemon = tmp_path / "facts", tmp_path / "daemon"
    running = make_order(
        "t1", ["stamps", 5], ["tell_self", str(facts)], ["daemon", str(daemon)], ["phase", "measure"], ["sleep", 60]
    )
    runner.submit(running, make_order("t2"), make_order("t3"))
    until(lambda: runner.entry("t1").phase == "measure", what=runner.log)
    worker = json.loads(facts.read_text())["pid"]
    left_behind = int(daemon.read_text())
    runner.kill()
    until(lambda: not is_alive(worker), what="the worker dies with its runner")
    runner.start()
    until(lambda: not is_alive(left_behind), what="what the worker left is killed by the next runner")
    records = runner.records("t1")
    ended = records[-1]
    assert isinstance(ended, TrialEnded)
    assert (ended.outcome, ended.failure) == ("lost", "runner_died")
    assert sum(len(record.times_ns) for record in records if isinstance(record, Stamps)) == 5
    assert runner.entry("t1").outcome == "lost"
    for trial in ("t2", "t3"):
        runner.until_state(trial, "ended")
        assert runner.entry(trial).outcome == "completed"


@pytest.mark.parametrize(("died_twice", "outcome"), [(False, "completed"), (True, "lost")])
def test_that_a_runner_killed_between_spool_and_queue_leaves_a_queue_that_goes_on(
    runner: RunnerProcess, died_twice: bool, outcome: str
) -> None:
    """The spool is there, and the queue's file still says that the trial waits."""
    pause(runner, True)
    runner.submit(make_order("t1"), make_order("t2"))
    runner.kill()
    spool = Archive(runner.places.spools).create(make_order("t1")).writer
    if died_twice:
        spool.append([ended_record(DIED)])
    spool.close()
    runner.start()
    pause(runner, False)
    assert runner.until_state("t1", "ended").outcome == outcome
    assert runner.until_state("t2", "ended").outcome == "completed"
    assert not runner.queue().paused


def test_that_stamps_the_killed_runner_had_not_read_are_saved(runner: RunnerProcess) -> None:
    runner.submit(make_order("t1", ["phase", "measure"], ["sleep", 60]))
    until(lambda: runner.entry("t1").phase == "measure")
    psutil.Process(runner.pid).suspend()  # it reads nothing more
    try:
        ring = RingWriter(runner.places.spools / "t1" / "ring")
        for _ in range(9):
            ring.stamp()
        ring.close()
    finally:
        runner.kill()
    runner.start()
    assert sum(len(r.times_ns) for r in runner.records("t1") if isinstance(r, Stamps)) == 9


def test_that_a_torn_last_line_is_cut_off_and_numbers_go_on(runner: RunnerProcess) -> None:
    runner.submit(make_order("t1", ["logs", 5, 10], ["phase", "measure"], ["sleep", 60]))
    until(lambda: runner.entry("t1").phase == "measure")
    runner.kill()
    with (runner.places.spools / "t1" / RECORDS).open("ab") as file:
        file.write(b'{"kind":"log","seq":99,"t_ns":1,"lev')
    runner.start()
    records = runner.records("t1")
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert isinstance(records[-1], TrialEnded)
    assert sum(isinstance(record, Log) for record in records) >= 5


def test_that_a_runner_that_is_told_to_end_stops_its_trial_and_keeps_the_queue(runner: RunnerProcess) -> None:
    runner.submit(make_order("t1", ["phase", "measure"], ["sleep", 60]), make_order("t2", ["sleep", 60]))
    until(lambda: runner.entry("t1").phase == "measure")
    follower = runner.connect().stream(messages.Attach(trial="t1"))
    next(follower)
    runner.client.call(messages.Shutdown())
    seen = list(follower)
    assert isinstance(seen[-1], messages.RecordLine)
    assert '"trial_ended"' in seen[-1].line, "those who follow it see its end"
    assert runner.process.wait(timeout=120) == 0
    runner.hang_up()
    runner.start()
    runner.until_state("t2", "running")
    assert runner.entry("t1").outcome == "stopped"
    assert runner.entry("t1").message == "Stopped because the runner was shut down."


def test_that_a_runner_started_for_a_look_begins_only_when_asked(runner: RunnerProcess) -> None:
    _leave_waiting(runner, "t1", "t2")
    runner.start("--hold")
    runner.client.call(messages.ListSpools())
    runner.client.call(messages.Reorder(trials=("t2",)))
    state = runner.queue()
    assert [entry.trial for entry in state.in_state("waiting")] == ["t2", "t1"]
    assert "has not begun" in state.nothing_starts
    watching = runner.client.stream(messages.Watch())
    next(watching)
    assert [runner.until_state(trial, "ended").outcome for trial in ("t1", "t2")] == ["completed"] * 2
    assert runner.queue().nothing_starts == ""


@pytest.mark.parametrize(
    "request_",
    [messages.Submit(orders=(make_order("t2"),)), messages.SetPaused(paused=False)],
    ids=("submit", "resume"),
)
def test_that_who_submits_or_resumes_asks_it_to_begin(runner: RunnerProcess, request_: messages.Request) -> None:
    _leave_waiting(runner, "t1")
    runner.start("--hold")
    runner.client.call(request_)
    assert runner.until_state("t1", "ended").outcome == "completed"


def test_that_a_runner_on_hold_ends_when_nobody_needs_it(runner: RunnerProcess) -> None:
    _leave_waiting(runner, "t1")
    runner.start("--hold", "--idle-seconds", "0.2")
    runner.hang_up()
    assert runner.process.wait(timeout=60) == 0
    assert [entry.trial for entry in last_known(runner.places).in_state("waiting")] == ["t1"], "what waits still does"


def _leave_waiting(runner: RunnerProcess, *trials: str) -> None:
    """A queue on disk that is not paused, and no runner."""
    runner.client.call(messages.SetPaused(paused=True))
    runner.submit(*map(make_order, trials))
    runner.end()
    text = runner.places.queue_file.read_text()
    assert '"paused":true' in text
    runner.places.queue_file.write_text(text.replace('"paused":true', '"paused":false'))


def test_that_the_queue_is_known_while_no_runner_answers(runner: RunnerProcess) -> None:
    runner.submit(make_order("t1", ["phase", "measure"], ["sleep", 60]), make_order("t2"))
    until(lambda: runner.entry("t1").phase == "measure")
    runner.places.runner_socket.unlink()
    cut_off = last_known(runner.places)
    assert f"process {runner.pid}" in cut_off.nothing_starts, "it runs; it cannot be reached"
    assert [(e.trial, e.state) for e in cut_off.entries] == [("t1", "running"), ("t2", "waiting")]
    runner.kill()
    dead = last_known(runner.places)
    assert "is not running" in dead.nothing_starts
    assert [(e.trial, e.state) for e in dead.entries] == [("t1", "running"), ("t2", "waiting")]
    assert dead.entries[0].text == "ran when the runner ended; what was measured is safe"


def test_that_a_home_without_a_runner_has_an_empty_queue(short_home: Places) -> None:
    assert last_known(short_home).entries == ()
    assert runner_process(short_home) is None


@pytest.mark.parametrize(
    "damaged", [b'{"version": 1, "waiting": [', b'{"version": 1, "pause_reason": "\xff"}', b"\0" * 40]
)
def test_that_an_unreadable_queue_is_put_aside(short_home: Places, damaged: bytes) -> None:
    short_home.state.mkdir(parents=True)
    short_home.queue_file.write_bytes(damaged)
    assert last_known(short_home).entries == ()
    runner = RunnerProcess(short_home)
    runner.start()
    assert runner.queue().entries == ()
    assert [path.read_bytes() for path in short_home.state.glob("queue.json.broken-*")] == [damaged]
    assert runner.end() == 0


def test_that_an_idle_runner_ends_and_a_busy_one_does_not(short_home: Places, tmp_path: Path) -> None:
    runner = RunnerProcess(short_home)
    runner.start()
    runner.submit(make_order("t1", ["sleep", 60]), make_order("t2", ["wait_for", str(tmp_path / "go")]))
    runner.until_state("t1", "running")
    assert runner.end() == 0
    runner.start("--idle-seconds", "0.3")  # it finds work: it cannot be idle before this test speaks to it
    runner.until_state("t2", "running")
    runner.hang_up()
    assert runner.process is not None
    with pytest.raises(subprocess.TimeoutExpired):
        runner.process.wait(timeout=0.8)
    (tmp_path / "go").touch()
    assert runner.process.wait(timeout=120) == 0
    assert not short_home.runner_socket.exists()


def test_that_a_second_runner_steps_back(runner: RunnerProcess) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "engines", "serve"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert second.returncode == 5
    assert second.stderr == "A runner is already running.\n"
    runner.submit(make_order("t1"))
    runner.until_state("t1", "ended")
