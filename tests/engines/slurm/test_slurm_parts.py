"""What is decided about jobs without a Slurm: what they ask for, which devices they have, how they are judged."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from engines.protocol.job_settings import JobSettings
from engines.protocol.messages import Allocation, Device, ProbeResult, waiting_for
from engines.protocol.orders import EnvironmentOrder
from engines.protocol.places import Places
from engines.protocol.private import replace_private
from engines.protocol.queue_file import QueueFile
from engines.runner.runner import Runner
from engines.runner.settings import default_settings
from engines.slurm.folder import JobFolder, read_order
from engines.slurm.node import ANY_GPU, Share, allocated, take_in
from engines.slurm.outcome import judgement
from engines.slurm.probe import cluster_devices
from tests.engines.runner_harness import make_order


def gpu(uuid: str, gib: int = 80) -> Device:
    return Device(id=f"cuda:{uuid}", title="A100", memory_total_bytes=gib << 30, memory_free_bytes=1 << 30)


CPU = Device(id="cpu", title="a node", memory_total_bytes=64 << 30, memory_free_bytes=60 << 30)


def found(*devices: Device) -> ProbeResult:
    return ProbeResult(machine="node", devices=devices, sensors=(), packages=(), facts={})


def test_a_job_asks_for_what_its_settings_say_and_no_more() -> None:
    assert JobSettings(time_limit_minutes=30).options == (
        *("--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--time=30"),
    )
    full = JobSettings(partition="gpu", account="a1", constraint="a100|h100", gpus=2, cpus=8, memory_bytes=3 << 30)
    assert full.options[2:] == (
        *("--cpus-per-task=8", "--time=60", "--partition=gpu", "--account=a1", "--constraint=a100|h100"),
        *("--gres=gpu:2", "--mem=3072M"),
    )


@pytest.mark.parametrize(("minutes", "seconds"), [(1, 10), (2, 20), (5, 50), (6, 60), (7, 60), (600, 60)])
def test_a_job_is_warned_a_minute_before_its_limit_and_later_where_the_limit_is_short(
    minutes: int, seconds: int
) -> None:
    assert JobSettings(time_limit_minutes=minutes).warning_s == seconds


@pytest.mark.parametrize(
    "wrong",
    [
        *({"partition": "gpu; rm"}, {"account": "a b"}, {"constraint": "$(id)"}, {"partition": "a\nb"}),
        *({"cpus": 0}, {"gpus": -1}, {"time_limit_minutes": 0}, {"allocations": 0}, {"memory_bytes": -1}),
    ],
)
def test_settings_that_no_job_can_have_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(wrong), type=JobSettings)


@pytest.mark.parametrize(
    ("visible", "ids"),
    [
        (None, ()),
        ("", ()),
        ("0", ("cuda:GPU-a",)),
        ("1,0", ("cuda:GPU-b", "cuda:GPU-a")),
        ("2", ("cuda:2",)),
        ("GPU-b", ("cuda:GPU-b",)),
        ("MIG-x", ("cuda:MIG-x",)),
    ],
)
def test_the_gpus_of_a_job_are_those_that_slurm_made_visible(visible: str | None, ids: tuple[str, ...]) -> None:
    variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert allocated(found(CPU, gpu("GPU-a"), gpu("GPU-b")), variables) == ids


def test_each_block_stays_on_one_gpu_and_takes_nothing_of_the_clients_place_along() -> None:
    share = Share(("cuda:GPU-a", "cuda:GPU-b"))
    around = EnvironmentOrder(variables={"CUDA_VISIBLE_DEVICES": "7", "OMP_PROC_BIND": "true"}, processors="0-3")
    placed = [
        share.placed(make_order(f"t{number}", device=ANY_GPU, block=block, environment=around))
        for number, block in enumerate((0, 1, 0, 2, 1))
    ]
    assert [order.device[-1] for order in placed] == ["a", "b", "a", "a", "b"]
    assert all(order.environment == EnvironmentOrder(variables={"OMP_PROC_BIND": "true"}) for order in placed)
    assert share.placed(make_order("t", device="cpu")).device == "cpu"


@pytest.mark.parametrize(
    ("state", "outcome", "failure"),
    [
        ("CANCELLED", "stopped", ""),
        ("TIMEOUT", "stopped", ""),
        ("PREEMPTED", "lost", "job_preempted"),
        ("NODE_FAIL", "lost", "node_failed"),
        ("OUT_OF_MEMORY", "failed", "out_of_memory"),
        ("FAILED", "lost", "runner_died"),
        ("COMPLETED", "lost", "runner_died"),
        ("", "lost", "runner_died"),
    ],
)
def test_a_trial_whose_job_ended_has_the_outcome_of_how_it_ended(state: str, outcome: str, failure: str) -> None:
    judged = judgement("12", "node03", state)
    assert (judged.outcome, judged.failure) == (outcome, failure)
    assert judged.message.startswith("Its Slurm job 12 on node03 ")


def test_a_job_that_ended_itself_in_time_has_reached_its_limit() -> None:
    assert judgement("12", "", "COMPLETED", at_time_limit=True) == judgement("12", "", "TIMEOUT")


def test_a_queue_says_which_jobs_it_waits_for_until_one_has_a_node() -> None:
    first = Allocation(id="7", state="waiting", reason="Resources")
    second = Allocation(id="8", state="waiting")
    assert waiting_for((first,)) == "Waiting for the cluster to start job 7 (Resources)."
    assert waiting_for((first, second)) == "Waiting for the cluster to start jobs 7, 8 (Resources)."
    assert (
        waiting_for((Allocation(id="", state="waiting", reason="no answer"),)) == "Waiting for the cluster (no answer)."
    )
    assert waiting_for((first, Allocation(id="9", state="running"))) == ""


def test_plans_see_the_least_gpu_that_a_job_was_given_under_a_name_for_all() -> None:
    one_gpu = JobSettings(gpus=1)
    (_, seen) = cluster_devices(one_gpu, found(CPU, gpu("GPU-a", 80), gpu("GPU-b", 40)))
    assert (seen.id, seen.title, seen.memory_total_bytes) == (ANY_GPU, "A100", 40 << 30)
    assert seen.memory_free_bytes == 40 << 30
    assert [device.id for device in cluster_devices(one_gpu, found(CPU))] == ["cpu", ANY_GPU]
    assert cluster_devices(JobSettings(), found(CPU, gpu("GPU-a"))) == (CPU,)


def test_a_node_whose_queue_is_paused_gives_the_reason_and_ends(short_home: Places) -> None:
    folder = JobFolder(short_home.state / "job")
    folder.make()
    folder.hand(make_order("t", device=ANY_GPU), 1)
    there = folder.places(short_home)
    replace_private(there.queue_file, msgspec.json.encode(QueueFile(paused=True, pause_reason="The disk is full.")))

    async def reason() -> str:
        runner = Runner(there, default_settings())
        runner.start()
        try:
            return await take_in(runner, folder, Share(()), 0.01)
        finally:
            await runner.shut_down()

    assert asyncio.run(reason()) == "The disk is full."


def test_orders_are_taken_in_the_order_they_were_handed_over_in(short_home: Places) -> None:
    folder = JobFolder(short_home.state / "job")
    folder.make()
    trials = ["t2", "t1", "t10"]
    for number, trial in enumerate(trials, 1):
        folder.hand(make_order(trial), number)
    assert list(folder.handed()) == trials
    orders = [read_order(path) for path in folder.handed().values()]
    assert [order.trial for order in orders if order is not None] == trials
    assert read_order(folder.path / "in" / "gone") is None
