"""Jobs of a real Slurm that give way to others, and jobs that use more memory than they asked for."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from engines.protocol.places import Places
from engines.slurm.front import PACE_VARIABLE
from engines.slurm.outcome import state_by_words
from tests.engines.runner_harness import until
from tests.engines.slurm.conftest import Front
from tests.engines.slurm.test_front import LONG, gpu_order
from tests.slurm import Slurm, running_slurm, why_not

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
_MORE = """
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
JobAcctGatherParams=OverMemoryKill
PartitionName=urgent Nodes={host} MaxTime=60 State=UP PriorityTier=10 PreemptMode=off
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with running_slurm(more=_MORE, accounting="jobacct_gather/linux", shares="CR_Core_Memory") as running:
        yield running


@pytest.fixture
def front(short_home: Places, slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(PACE_VARIABLE, "0.1,0.3")
    made = Front(short_home, slurm)
    made.settings = msgspec.structs.replace(made.settings, gpus=2, allocations=1, memory_bytes=700 << 20)
    yield made
    made.close()


def test_a_job_that_is_preempted_loses_its_trial_and_the_rest_runs_in_another(front: Front) -> None:
    front.submit(gpu_order("long", ["stamps", 3], LONG), gpu_order("next", position=1, configuration="c2"))
    front.until_phase("long", "measure")
    (allocation,) = front.queue().allocations
    front.slurm.say(
        *(
            "sbatch",
            "--partition=urgent",
            "--gres=gpu:2",
            "--time=1",
            "--mem=50M",
            "--output=/dev/null",
            "--wrap",
            "sleep 2",
        )
    )
    ended = front.end_of("long")
    assert (ended.outcome, ended.failure) == ("lost", "job_preempted")
    assert f"Slurm job {allocation.id} on {allocation.node} gave way to another one" in ended.message
    assert "what waited in the job is queued again" in ended.advice
    assert front.end_of("next").outcome == "completed"
    assert not front.queue().paused


@pytest.mark.parametrize(
    ("state", "said", "means"),
    [
        ("FAILED", "slurmstepd-n1: error: StepId=1.batch exceeded memory limit (2 > 1), being killed", "OUT_OF_MEMORY"),
        ("CANCELLED", "x\nslurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.batch.", "OUT_OF_MEMORY"),
        ("FAILED", "the worker wrote: exceeded memory limit", "FAILED"),
        ("CANCELLED", "slurmstepd: error: *** JOB 1 ON n1 CANCELLED ***", "CANCELLED"),
        ("PREEMPTED", "slurmstepd: error: exceeded memory limit", "PREEMPTED"),
        ("COMPLETED", "", "COMPLETED"),
    ],
)
def test_that_slurms_own_words_say_why_a_job_ended(state: str, said: str, means: str) -> None:
    assert state_by_words(state, said) == means


def test_a_job_that_uses_too_much_memory_fails_its_trial_and_the_rest_runs_in_another(front: Front) -> None:
    front.settings = msgspec.structs.replace(front.settings, memory_bytes=300 << 20)
    front.submit(
        gpu_order("large", ["stamps", 3], ["allocate", 600 << 20], LONG),
        gpu_order("next", position=1, configuration="c2"),
    )
    ended = front.end_of("large")
    assert (ended.outcome, ended.failure) == ("failed", "out_of_memory")
    assert "used more memory than it had asked for" in ended.message
    assert front.end_of("next").outcome == "completed"
    until(lambda: not front.queue().paused, what="the queue runs")
