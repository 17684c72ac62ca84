"""The field of Setup that lets an experiment end early."""

from __future__ import annotations

import msgspec
import pytest
from pytestqt.qtbot import QtBot

from widgets.setup.workload import run_group
from widgets.setup.workload.inference import InferencePanel
from widgets.setup.workload.run_group import order_text
from widgets.setup.workload.stop_field import StopField, parse_percent
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment, RunSettings, WorkloadChoice
from workbench.statistics.stopping import LEAST


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), (" ", None), ("off", None), ("2", 0.02), ("± 2,5 %", 0.025), ("0.1", 0.001), ("100", 1.0)],
)
def test_that_percentages_are_read_as_people_type_them(text: str, value: float | None) -> None:
    assert parse_percent(text) == (value, "")


@pytest.mark.parametrize("text", ["0", "0.05", "101", "-2", "two", "nan", "inf", "2 3", "1,250"])
def test_that_what_cannot_be_is_said(text: str) -> None:
    value, error = parse_percent(text)
    assert value is None
    assert error


def test_that_typing_tells_ratios_and_mistakes(qtbot: QtBot, theme: Theme) -> None:
    field = StopField(theme)
    qtbot.addWidget(field)
    values: list[object] = []
    broken: list[str] = []
    field.changed.connect(values.append)
    field.broke.connect(broken.append)
    qtbot.keyClicks(field.line, "2")
    qtbot.keyClicks(field.line, "x")
    assert values == [(0.02,)]
    assert len(broken) == 1
    assert not field.message.isHidden()
    field.set_value(0.02)
    assert field.line.text() == "2x", "a text that is being mended stays"
    field.set_value(0.05)
    assert field.line.text() == "5"
    assert field.message.isHidden()
    field.set_value(None)
    assert field.line.text() == ""


def test_that_the_panel_shows_it_and_says_what_will_happen(qtbot: QtBot, theme: Theme) -> None:
    panel = InferencePanel(theme)
    qtbot.addWidget(panel)
    told: list[tuple[str, object]] = []
    panel.changed.connect(lambda key, values: told.append((key, values)))
    panel.show_experiment(Experiment(run=RunSettings(trials=20, stop_at_ratio=0.03)))
    assert panel.run.stop.line.text() == "3"
    assert "after 7 to 20 trials of each" in panel.run.order_hint.text()
    assert "±3 %" in panel.run.order_hint.text()
    panel.run.stop.line.clear()
    qtbot.keyClicks(panel.run.stop.line, "4")
    assert told == [("stop_at_ratio", (0.04,))]


def test_that_too_few_trials_are_said() -> None:
    assert "nothing ends early" in order_text(Experiment(run=RunSettings(trials=5, stop_at_ratio=0.02)))
    assert "ends early" not in order_text(Experiment())
    inference, training = (
        Experiment(run=RunSettings(trials=9, stop_at_ratio=0.02, stop_metric=metric), workload=WorkloadChoice.of(kind))
        for kind, metric in (("inference", None), ("training", "test_loss"))
    )
    assert "once all ratios of decode throughput are known to ±2 %" in order_text(inference)
    assert "once all ratios of test loss are known" in order_text(training)
    said = order_text(msgspec.structs.replace(training, run=msgspec.structs.replace(training.run, stop_metric=None)))
    assert said.startswith("Nothing ends early: no stop_metric")
    assert run_group.LEAST == LEAST
