"""Techniques whose trials hold several devices: in the plan, in the order, in a job of a cluster, in the worker."""

from __future__ import annotations

import os
from dataclasses import replace

import msgspec
import pytest

from engines.protocol.job_settings import JobSettings
from engines.slurm.node import ANY_GPU, Share
from engines.slurm.probe import cluster_devices
from engines.techniques import registry
from engines.worker.process import prepare_process
from tests.engines.runner_harness import make_order
from tests.workbench.plan.test_plan import CPU, GPU, ONE, experiment, probe
from workbench.plan.plan import make_plan, orders, with_seed

FURTHER = tuple(msgspec.structs.replace(GPU, id=f"cuda:GPU-{number}") for number in (2, 3))


@pytest.fixture(autouse=True)
def on_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """int8 needs two devices."""
    axes, techniques, broken = registry._load()
    changed = tuple(replace(t, device_count=2) if t.id == "precision.int8" else t for t in techniques)
    monkeypatch.setattr(registry, "_load", lambda: (axes, changed, broken))


def test_that_a_technique_that_needs_two_devices_gets_two() -> None:
    plan = make_plan(experiment(), ONE, probe(CPU, GPU, *FURTHER))
    plain, int8 = plan.configurations
    assert (plain.device, plain.more_devices) == ("cuda:GPU-1", ())
    assert (int8.device, int8.more_devices) == ("cuda:GPU-1", ("cuda:GPU-2",))
    assert int8.runnable
    asked = {order.configuration: order.devices for order in orders(with_seed(plan), store="s", experiment="e")}
    assert asked == {plain.hash: ("cuda:GPU-1",), int8.hash: ("cuda:GPU-1", "cuda:GPU-2")}


def test_that_a_machine_with_one_is_not_enough() -> None:
    plain, int8 = make_plan(experiment(), ONE, probe(CPU, GPU)).configurations
    assert plain.runnable
    assert "Needs 2 GPUs for each trial; the machine has 1." in [p.message for p in int8.problems]


@pytest.mark.parametrize(("gpus", "enough"), [(1, False), (2, True), (3, True)])
def test_that_a_job_counts_by_the_gpus_it_asks_for(gpus: int, enough: bool) -> None:
    cluster = probe(*cluster_devices(JobSettings(gpus=gpus), probe(CPU, GPU)))
    _, int8 = make_plan(experiment(), ONE, cluster).configurations
    assert int8.runnable is enough
    assert int8.device == ANY_GPU
    assert int8.more_devices == ((ANY_GPU,) if enough else ())


def test_that_a_job_gives_a_trial_devices_of_its_own() -> None:
    share = Share(("cuda:a", "cuda:b", "cuda:c"))
    asked = make_order("t", device=ANY_GPU, more_devices=(ANY_GPU,))
    assert share.placed(asked).devices == ("cuda:a", "cuda:b")
    assert share.placed(msgspec.structs.replace(asked, block=1)).devices == ("cuda:b", "cuda:c")
    assert share.placed(msgspec.structs.replace(asked, block=2)).devices == ("cuda:c", "cuda:a")
    assert share.placed(asked).devices == ("cuda:a", "cuda:b"), "the same for a whole block"


def test_that_the_worker_sees_those_it_holds_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    for devices, visible in (
        (("cuda:GPU-1", "cuda:GPU-2"), "GPU-1,GPU-2"),
        (("cuda:GPU-1",), "GPU-1"),
        (("cpu",), ""),
    ):
        prepare_process(1, devices, allow_network=False)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
