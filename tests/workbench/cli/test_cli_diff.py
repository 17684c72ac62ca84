"""`llm-workbench diff` as people and scripts use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house import House
from workbench.experiment.file import dump


@pytest.fixture
def measured(house: House, tmp_path: Path) -> House:
    """A house with two trials of two precisions."""
    file = tmp_path / "experiment.toml"
    file.write_text(dump(house.experiment(trials=1, precisions=("float32", "bfloat16"))))
    done = house.command("run", str(file))
    assert done.returncode in (0, 1), done.stderr
    return house


def test_that_two_trials_are_told_apart_by_what_they_ran(measured: House) -> None:
    facts = {fact["fact"]: fact for fact in measured.json("diff", "1", "2")["facts"]}
    precision = facts["order.precision"]
    assert precision["differs"]
    assert sorted(value for side in precision["values"] for value in side) == ["bfloat16", "float32"]
    assert not facts["cpu.model"]["differs"]
    for name in ("worker.processors", "project.sources", "model.revision", "telemetry.sources", "power.source"):
        assert all(facts[name]["values"]), f"{name} was not told by every trial"
    shown = measured.command("diff", "1", "2").stdout
    assert "Precision" in shown
    assert "Processor  " not in shown, "what is the same is folded"
    assert "--all" in shown
    assert "Processor " in measured.command("diff", "1", "2", "--all").stdout


def test_that_an_experiment_is_compared_with_itself(measured: House) -> None:
    told = measured.json("diff", "--experiment", "1")
    assert told["sides"] == ["Experiment 1"]
    assert any(fact["differs"] for fact in told["facts"])
    assert isinstance(told["notes"], list)


@pytest.mark.parametrize("arguments", [(), ("1",), ("1", "2", "3"), ("1", "2", "--experiment", "1")])
def test_that_a_wrong_number_of_sides_is_said(house: House, arguments: tuple[str, ...]) -> None:
    done = house.command("diff", *arguments)
    assert done.returncode == 2
    assert "Name two trials" in done.stderr


def test_that_a_trial_that_is_not_there_is_said(house: House) -> None:
    done = house.command("diff", "1", "2")
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
