"""The first start: facts from real values, and the card's button."""

from __future__ import annotations

from pathlib import Path

import msgspec
from pytestqt.qtbot import QtBot

from engines.protocol.records import Sensor
from tests.builders import probe_result, processor, trial_row
from widgets.background.demo_run import DemoRun, has_ended
from widgets.first_start.facts import DemoOutlook, computer_summary, demo_cost, demo_facts, measurable
from widgets.first_start.page import ComputerCard, DemoCard
from widgets.opening.dropped import target_of
from widgets.parts.phrases import as_clause
from widgets.shell.services import Services
from widgets.shell.targets import AddModel, OpenExperimentFile
from widgets.theme.theme import Theme
from workbench.running.demo import demo_experiment

PROBE = probe_result(
    processor(24 << 30, 20 << 30, details={"cores": "2"}),
    machine="host",
    sensors=(
        Sensor(source="proc.tree", quantity="rss_bytes", title="Memory", method="/proc", rate_hz=10.0),
        Sensor(source="proc.tree", quantity="cpu_utilisation_ratio", title="CPU", method="/proc", rate_hz=10.0),
        Sensor(
            source="rapl",
            quantity="energy_joules",
            title="Energy",
            method="RAPL",
            available=False,
            reason="Energy_uj is readable by root only.",
            hint="sudo chmod a+r ...",
        ),
    ),
)


def outlook(*, here: bool) -> DemoOutlook:
    return DemoOutlook(demo_experiment(), "SmolLM2-135M-Instruct (from Q4_1)", None, here)


def test_that_the_demos_facts_are_those_of_its_experiment_file() -> None:
    facts = {f.name: f.text for f in demo_facts(outlook(here=True))}
    assert facts["Techniques"] == "float32, bfloat16, int8"
    assert facts["Workload"] == "128 tokens in, 64 out, batch 1"
    assert facts["Trials"] == "3 configurations × 3"
    assert "Memory" not in facts


def test_that_a_download_is_named_before_it_happens() -> None:
    assert "no network" in demo_cost(outlook(here=True))
    assert "93 MB" in demo_cost(outlook(here=False))


def test_that_missing_sensors_say_why_and_are_never_zero() -> None:
    facts = {f.name: f for f in measurable(PROBE)}
    assert facts["Memory"].text == "process tree, 10 Hz"
    assert facts["Energy"].text == "not available: energy_uj is readable by root only"
    assert facts["Energy"].hint
    assert not facts["Temperature"].available
    assert not facts["GPU"].available
    assert computer_summary(PROBE) == "2 cores, 24.0 GiB"


def test_that_abbreviations_keep_their_capitals() -> None:
    assert as_clause("NVML is not installed.") == "NVML is not installed"
    assert as_clause("This machine has none.") == "this machine has none"


def test_that_the_computer_card_offers_the_hints(qtbot: QtBot, theme: Theme) -> None:
    card = ComputerCard(theme)
    qtbot.addWidget(card)
    card.show()
    card.set_probe(PROBE)
    assert card._hint_link.isVisible()
    card._hint_link.click()
    assert card._hints.isVisible()
    assert "sudo chmod" in card._hints.text()


def test_that_the_demo_cannot_be_started_before_its_facts_are_known(qtbot: QtBot, services: Services) -> None:
    demo = DemoRun(services.bridge)
    card = DemoCard(services.theme, demo)
    qtbot.addWidget(card)
    card.show()
    assert not card.button.isEnabled()
    assert card.button.toolTip()
    card.set_facts(demo_facts(outlook(here=True)), demo_cost(outlook(here=True)))
    assert card.button.isEnabled()


def test_that_a_failed_fetch_is_said_in_the_card(qtbot: QtBot, services: Services) -> None:
    demo = DemoRun(services.bridge)
    card = DemoCard(services.theme, demo)
    qtbot.addWidget(card)
    card.show()
    demo.progressed.emit(0.5, "Fetching the model")
    assert card.bar.isVisible()
    assert not card.button.isEnabled()
    demo.failed.emit("There is no network.", "Connect and try again.")
    assert card.cost.text() == "There is no network. Connect and try again."
    assert card.button.isEnabled()
    assert not card.bar.isVisible()


def test_that_a_trial_is_over_only_when_its_figures_are_stored() -> None:
    assert not has_ended(trial_row(state="ended", outcome="completed", verdict=None))
    assert has_ended(trial_row(state="ended", outcome="completed", verdict="valid"))
    assert has_ended(trial_row(state="ended", outcome="lost", verdict=None))
    assert not has_ended(trial_row(state="running", outcome=None, verdict=None))


def test_that_dropped_files_go_where_they_belong(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    assert "config.json" in str(target_of(model))
    (model / "config.json").write_text("{}")
    for name in ("a.gguf", "b.toml", "c.png", "d.csv"):
        (tmp_path / name).write_text("")
    assert target_of(model) == AddModel(model)
    assert target_of(tmp_path / "a.gguf") == AddModel(tmp_path / "a.gguf")
    assert target_of(tmp_path / "b.toml") == OpenExperimentFile(tmp_path / "b.toml")
    assert "c.png" in str(target_of(tmp_path / "c.png"))
    assert "data to train on" in str(target_of(tmp_path / "d.csv"))
    assert "not there" in str(target_of(tmp_path / "gone.toml"))


def test_that_the_outlook_counts_the_trials_without_a_plan() -> None:
    experiment = demo_experiment()
    more = msgspec.structs.replace(experiment, models=("a", "b"))
    assert DemoOutlook(more, "", None, True).trials == 18
