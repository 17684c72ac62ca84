"""Trials in jobs of a real Slurm, with fake workers: what is asked for, what runs where, and how jobs that end are
judged."""

from __future__ import annotations

import os
import signal

import msgspec
import psutil
import pytest

from engines.protocol import messages
from engines.protocol.job_settings import JobSettings
from engines.protocol.orders import TrialOrder
from engines.protocol.records import Stamps, TrialEnded, TrialStarted
from engines.slurm.node import ANY_GPU
from tests.engines.runner_harness import make_order, until
from tests.engines.slurm.conftest import Front

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

LONG: list[object] = ["sleep", 600]


def gpu_order(
    trial: str, *steps: list[object], block: int = 0, position: int = 0, configuration: str = "c1"
) -> TrialOrder:
    order = make_order(trial, ["phase", "measure"], *steps, device=ANY_GPU, block=block, configuration=configuration)
    return msgspec.structs.replace(order, position=position)


def test_configurations_run_block_by_block_in_two_jobs_with_a_gpu_each(front: Front) -> None:
    places = [(block, c) for block in range(2) for c in range(3)]
    orders = [
        gpu_order(f"t{block}{c}", ["stamps", 5], block=block, position=place, configuration=f"c{c}")
        for place, (block, c) in enumerate(places)
    ]
    front.submit(*orders)
    assert {front.end_of(order.trial).outcome for order in orders} == {"completed"}
    for order in orders:
        seqs = [record.seq for record in front.records(order.trial)]
        assert seqs == list(range(1, len(seqs) + 1))
    facts = [front.facts(order.trial) for order in orders]
    jobs = [{each["slurm.job"] for each in block} for block in (facts[:3], facts[3:])]
    assert [len(each) for each in jobs] == [1, 1], "a block stays in one job"
    assert jobs[0] != jobs[1]
    assert {each["slurm.devices"] for each in facts} == {"0", "1"}


def test_a_cancelled_job_stops_its_trial_and_the_rest_runs_in_another(front: Front) -> None:
    front.settings = msgspec.structs.replace(front.settings, allocations=1)
    front.submit(gpu_order("long", ["stamps", 3], LONG), gpu_order("next", position=1, configuration="c2"))
    front.until_phase("long", "measure")
    (allocation,) = front.queue().allocations
    assert (allocation.state, allocation.trials) == ("running", 2)
    assert front.entry("next").state == "waiting"
    front.slurm.say("scancel", allocation.id)
    ended = front.end_of("long")
    assert (ended.outcome, ended.failure) == ("stopped", "")
    assert f"Slurm job {allocation.id} on {allocation.node} was cancelled" in ended.message
    assert sum(len(r.times_ns) for r in front.records("long") if isinstance(r, Stamps)) == 3
    assert front.end_of("next").outcome == "completed"
    assert front.facts("next")["slurm.job"] != allocation.id


def test_a_killed_worker_fails_its_trial_alone(front: Front) -> None:
    front.submit(gpu_order("long", LONG), gpu_order("next", position=1, configuration="c2"))
    os.kill(front.worker_of("long"), signal.SIGKILL)
    assert (front.end_of("long").outcome, front.end_of("long").failure) == ("failed", "killed")
    assert front.end_of("next").outcome == "completed"
    assert front.facts("next")["slurm.job"] == front.facts("long")["slurm.job"]


def test_a_killed_runner_of_a_job_loses_its_trial_but_not_what_it_wrote(front: Front) -> None:
    front.submit(gpu_order("long", ["stamps", 4], LONG), gpu_order("next", position=1, configuration="c2"))
    worker = psutil.Process(front.worker_of("long"))
    next(record for record in front.coming("long") if isinstance(record, Stamps))
    os.kill(worker.ppid(), signal.SIGKILL)
    ended = front.end_of("long")
    assert (ended.outcome, ended.failure) == ("lost", "runner_died")
    assert sum(len(r.times_ns) for r in front.records("long") if isinstance(r, Stamps)) == 4
    assert front.end_of("next").outcome == "completed"
    until(lambda: not worker.is_running(), what="the worker has ended with its runner")


def test_a_node_that_fails_loses_its_trial_and_the_rest_runs_when_it_is_back(front: Front) -> None:
    front.submit(gpu_order("long", ["stamps", 4], LONG), gpu_order("next", position=1, configuration="c2"))
    front.until_phase("long", "measure")
    node = f"nodename={front.slurm.host}"
    front.slurm.say("scontrol", "update", node, "state=down", "reason=test")
    try:
        ended = front.end_of("long")
    finally:
        front.slurm.say("scontrol", "update", node, "state=resume")
    assert (ended.outcome, ended.failure) == ("lost", "node_failed"), ended
    started = next(record for record in front.records("long") if isinstance(record, TrialStarted))
    assert started.clock.mono_ns <= ended.t_ns <= ended.clock.mono_ns, "times are the node's"
    assert front.end_of("next").outcome == "completed"


def test_a_trial_runs_on_while_slurmd_is_restarted(front: Front) -> None:
    front.submit(gpu_order("t", ["stamps", 20, 0.2]))
    front.until_phase("t", "measure")
    front.slurm.stop_node()
    front.slurm.start_node()
    assert front.end_of("t").outcome == "completed"
    assert sum(len(r.times_ns) for r in front.records("t") if isinstance(r, Stamps)) == 20


def test_a_job_at_its_time_limit_stops_its_trial_and_the_rest_runs_in_another(front: Front) -> None:
    front.settings = msgspec.structs.replace(front.settings, time_limit_minutes=1, allocations=1)
    front.submit(gpu_order("long", ["stamps", 3], LONG), gpu_order("next", position=1, configuration="c2"))
    ended = front.end_of("long")
    assert ended.outcome == "stopped"
    assert "reached its time limit" in ended.message
    assert front.end_of("next").outcome == "completed"


def test_a_front_that_was_killed_takes_its_trials_up_again(front: Front) -> None:
    front.submit(gpu_order("long", ["stamps", 30, 0.2]), gpu_order("next", position=1, configuration="c2"))
    front.until_phase("long", "measure")
    front.kill()
    front.client.call(messages.SetPaused(paused=False))
    assert front.end_of("long").outcome == "completed"
    records = front.records("long")
    assert sum(len(r.times_ns) for r in records if isinstance(r, Stamps)) == 30
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert sum(isinstance(record, TrialEnded) for record in records) == 1
    assert front.end_of("next").outcome == "completed"


def test_jobs_that_wait_show_in_the_queue_and_are_taken_back_with_their_trials(front: Front) -> None:
    front.settings = JobSettings(partition="short", gpus=2, time_limit_minutes=5)
    blocking = front.slurm.say("sbatch", "--parsable", "--gres=gpu:2", "--output=/dev/null", "--wrap=sleep 300")
    until(lambda: front.slurm.jobs("RUNNING") == [blocking], what="the other job runs")
    front.submit(gpu_order("t"))
    until(lambda: any(a.reason for a in front.queue().allocations), what="Slurm says why the job waits")
    state = front.queue()
    (allocation,) = state.allocations
    assert allocation.state == "waiting"
    assert state.nothing_starts == f"Waiting for the cluster to start job {allocation.id} ({allocation.reason})."
    front.client.call(messages.Stop(trial="t"))
    assert front.end_of("t").outcome == "stopped"
    until(lambda: not front.queue().allocations, what="the job is taken back")
    assert front.slurm.jobs() == [blocking]
    assert not front.queue().paused


def test_a_job_cancelled_while_it_waits_pauses_the_queue_and_no_other_is_asked_for(front: Front) -> None:
    front.settings = JobSettings(partition="short", gpus=2, time_limit_minutes=5)
    blocking = front.slurm.say("sbatch", "--parsable", "--gres=gpu:2", "--output=/dev/null", "--wrap=sleep 300")
    until(lambda: front.slurm.jobs("RUNNING") == [blocking], what="the other job runs")
    front.submit(gpu_order("t"))
    until(lambda: any(a.reason for a in front.queue().allocations), what="the job waits")
    (allocation,) = front.queue().allocations
    front.slurm.say("scancel", allocation.id)
    until(lambda: front.queue().paused, what="the queue is paused")
    assert f"Slurm job {allocation.id} was cancelled before a trial began." in front.queue().pause_reason
    assert front.entry("t").state == "waiting"
    assert front.slurm.jobs() == [blocking]


def test_what_slurm_refuses_pauses_the_queue_with_its_words(front: Front) -> None:
    front.settings = JobSettings(partition="nowhere")
    front.submit(gpu_order("t"))
    until(lambda: front.queue().paused, what="the queue is paused")
    assert "invalid partition specified: nowhere" in front.queue().pause_reason
    assert front.entry("t").state == "waiting"


def test_running_and_waiting_trials_of_a_job_can_be_stopped(front: Front) -> None:
    front.submit(gpu_order("long", ["stamps", 3], LONG), gpu_order("next", position=1, configuration="c2"))
    front.until_phase("long", "measure")
    (ring,) = front.places.state.glob("jobs/*/state/spools/long/ring")
    assert ring.is_symlink(), "stamps do not wait for a network's file system"
    in_memory = ring.readlink()
    assert in_memory.exists()
    front.client.call(messages.Stop(trial="next"))
    assert front.end_of("next").outcome == "stopped"
    front.client.call(messages.Stop(trial="long"))
    ended = front.end_of("long")
    assert (ended.outcome, ended.message) == ("stopped", "Stopped by the user.")
    until(lambda: not in_memory.exists(), what="the ring has left the node's memory")
    for job in front.slurm.jobs():
        front.slurm.say("scancel", job)
    until(lambda: not in_memory.parent.exists(), what="the job leaves nothing in the node's memory")
