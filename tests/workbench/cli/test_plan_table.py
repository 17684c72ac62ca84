"""The plan at the command line."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.workbench.plan.test_changes import cell
from tests.workbench.plan.test_plan import ONE, experiment, probe
from workbench.cli.run import show_plan
from workbench.experiment.experiment import TechniqueChoice, WorkloadChoice
from workbench.plan.plan import make_plan


def test_that_a_plan_of_training_shows_what_is_trained_and_the_parts_of_memory(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tuned = experiment(precisions=("float32",), workload=WorkloadChoice.of("training"))
    tuned = type(tuned)(
        name=tuned.name,
        models=tuned.models,
        techniques=(*tuned.techniques, TechniqueChoice("finetune.lora", {"rank": (8,)})),
        workload=tuned.workload,
    )
    show_plan(make_plan(tuned, ONE, probe()), as_json=False)
    shown = capsys.readouterr().out
    assert "2.44 M, 1.8 %" in shown
    for part in ("weights", "gradients", "optimiser", "activations", "overhead"):
        assert f"{part} " in shown


def test_that_what_would_fit_is_said_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = cell(2**36)
    tight, asked = cell(found.memory.needed // 2)
    machine = probe()
    device = replace(machine.devices[0], memory_free_bytes=tight.memory.device_free)
    show_plan(make_plan(asked, ONE, replace(machine, devices=(device,))), as_json=False)
    shown = capsys.readouterr().out
    assert f"{tight.hash[:8]}: Batch " in shown
    assert "saves " in shown
    assert "same effective batch" in shown
    (problem,) = (p for p in tight.problems if p.key == "memory")
    assert shown.count(problem.changes[0]) == str(problem).count(problem.changes[0]) == 1, "also where run refuses it"


def test_that_a_plan_of_requests_has_no_such_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(make_plan(experiment(), ONE, probe()), as_json=False)
    header = capsys.readouterr().out.splitlines()[0]
    assert "trained" not in header
    assert "needs / free" in header
