"""Whole experiments out of the window and into it, and a wall meter's readings: dialogs answered, messages read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog, QWidget
from pytestqt.qtbot import QtBot

from tests.workbench.store_kit import add_experiment, lines
from tests.workbench.synthetic import SECOND, WALL_NS, FakeTrial, records
from widgets.background.bundles import Bundles
from widgets.background.wall_meter import WallMeterImport
from widgets.opening.dropped import target_of
from widgets.shell.services import Services
from widgets.shell.targets import AddModel, ImportFolder, ShowExperiment
from workbench.running.workbench import Workbench
from workbench.store.operations import GetExperiment, Ingest, ListExperiments


@pytest.fixture
def session(services: Services) -> Iterator[Workbench]:
    opened = Workbench(places_=services.places)
    services.bridge.attach(opened)
    yield opened
    services.bridge.detach()
    opened.close()


def fill(session: Workbench) -> None:
    add_experiment(session.store, "t-1", "t-2")
    session.store.execute(Ingest(trial="t-1", lines=lines(records(FakeTrial()))))
    session.stored.recompute()


@pytest.fixture
def bundles(qtbot: QtBot, services: Services) -> Bundles:
    window = QWidget()
    qtbot.addWidget(window)
    made = Bundles(services, window)
    made.window = window  # type: ignore[attr-defined]  # kept alive
    return made


def told(qtbot: QtBot, services: Services, count: int = 1) -> str:
    qtbot.waitUntil(lambda: len(services.toasts.history) >= count)
    return services.toasts.history[-1].message


def test_that_an_experiment_leaves_and_comes_back(
    qtbot: QtBot,
    services: Services,
    session: Workbench,
    bundles: Bundles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(session)
    folder = tmp_path / "out" / "precision"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a, **_k: (str(folder), ""))
    bundles.ask_export("e-1", "precision")
    assert told(qtbot, services).startswith("Exported 1 trial with all records to precision. 1 trial had not ended")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_a, **_k: str(folder))
    bundles.ask_import()
    assert told(qtbot, services, 2).startswith("Nothing to import: all 1 trial of “first comparison”")
    session.delete(experiment="e-1")
    bundles.ask_import()
    assert told(qtbot, services, 3) == "Imported 1 trial of “first comparison”."
    toast = services.toasts.history[-1]
    assert toast.action == "Compare"
    assert toast.handler is not None
    toast.handler()
    assert services.navigate.asked == [("compare", ShowExperiment("e-1"))]  # type: ignore[attr-defined]


def test_that_nothing_happens_where_no_folder_is_chosen(
    services: Services, session: Workbench, bundles: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a, **_k: ("", ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_a, **_k: "")
    bundles.ask_export("e-1", "precision")
    bundles.ask_import()
    assert services.toasts.history == ()


def test_that_a_folder_that_cannot_be_read_is_explained_and_changes_nothing(
    qtbot: QtBot, services: Services, session: Workbench, bundles: Bundles, tmp_path: Path
) -> None:
    bundles.import_(tmp_path)
    assert "is no bundle" in told(qtbot, services)
    (tmp_path / "trials.parquet").write_bytes(b"")
    bundles.import_(tmp_path)
    assert "half a bundle" in told(qtbot, services, 2)
    fill(session)
    bundles.export("e-1", tmp_path.parent)
    assert "holds something else" in told(qtbot, services, 3)
    assert len(session.store.execute(ListExperiments())) == 1


def test_that_what_is_dropped_is_told_apart(tmp_path: Path) -> None:
    bundle, half, model, other = (tmp_path / name for name in ("bundle", "half", "model", "other"))
    for folder in (bundle, half, model, other):
        folder.mkdir()
    (bundle / "bundle.json").write_text("{}")
    (bundle / "trials.parquet").write_bytes(b"")
    (half / "trials.parquet").write_bytes(b"")
    (model / "config.json").write_text("{}")
    assert target_of(bundle) == ImportFolder(bundle)
    assert target_of(bundle / "bundle.json") == ImportFolder(bundle)
    assert target_of(bundle / "trials.parquet") == ImportFolder(bundle)
    assert target_of(half) == ImportFolder(half), "the import says what is missing"
    assert target_of(model) == AddModel(model)
    said = target_of(other)
    assert isinstance(said, str)
    assert "bundle.json" in said


def meter(path: Path, shift: timedelta = timedelta()) -> Path:
    start = datetime.fromtimestamp(WALL_NS / SECOND, UTC).replace(tzinfo=None) + shift - timedelta(seconds=3)
    rows = [f"{(start + timedelta(seconds=i)).isoformat()},120" for i in range(60)]
    path.write_text("time,watts\n" + "\n".join(rows) + "\n")
    return path


def test_that_a_meters_file_is_asked_for_and_imported(
    qtbot: QtBot, services: Services, session: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(session)
    window = QWidget()
    qtbot.addWidget(window)
    made = WallMeterImport(services, window)
    path = tmp_path / "plug.csv"
    path.write_text(meter(path).read_text().replace(",120", "Z,120"))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_a, **_k: (str(path), ""))
    with qtbot.waitSignal(made.done) as done:
        made.ask("t-1")
    assert done.args == ["t-1"]
    assert "readings of plug.csv are stored with the trial" in services.toasts.history[-1].message
    found = {m.metric: m.value for m in session.store.execute(GetExperiment()).metrics}
    assert found["wall_energy_joules"]


def test_that_readings_of_another_time_offer_to_be_read_as_utc(
    qtbot: QtBot, services: Services, session: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        fill(session)
        window = QWidget()
        qtbot.addWidget(window)
        made = WallMeterImport(services, window)
        made.take("t-1", meter(tmp_path / "plug.csv"))
        assert "not of this trial's time" in told(qtbot, services)
        toast = services.toasts.history[-1]
        assert toast.action == "Read its times as UTC"
        assert toast.handler is not None
        with qtbot.waitSignal(made.done):
            toast.handler()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_that_a_file_that_is_no_meters_is_explained(
    qtbot: QtBot, services: Services, session: Workbench, tmp_path: Path
) -> None:
    fill(session)
    window = QWidget()
    qtbot.addWidget(window)
    made = WallMeterImport(services, window)
    (tmp_path / "notes.csv").write_text("a,b\nc,d\n")
    made.take("t-1", tmp_path / "notes.csv")
    assert "No column of times was found" in told(qtbot, services)
    assert "Nothing was stored." in services.toasts.history[-1].message
    assert services.toasts.history[-1].action == ""
