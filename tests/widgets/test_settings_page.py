"""The Settings page: what estimates rest on, typed and kept, and stored trials made again with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from engines.protocol.messages import Device, ProbeResult
from tests.workbench.store_kit import add_experiment, lines
from tests.workbench.synthetic import FakeTrial, records
from widgets.settings.estimates import EstimatesGroup, changed, device_name, shown
from widgets.settings.page import SettingsPage
from widgets.shell.services import Services
from workbench import settings
from workbench.metrics.assumptions import Assumptions
from workbench.running.workbench import Workbench
from workbench.settings import SettingsError
from workbench.store.operations import GetExperiment, Ingest


@pytest.fixture
def session(services: Services) -> Iterator[Workbench]:
    opened = Workbench(places_=services.places)
    add_experiment(opened.store, "t-1", "t-2", "t-3")
    for number, trial in enumerate(("t-1", "t-2")):
        opened.store.execute(Ingest(trial=trial, lines=lines(records(FakeTrial(seed=number)))))
    services.bridge.attach(opened)
    yield opened
    services.bridge.detach()
    opened.close()


@pytest.fixture
def page(qtbot: QtBot, services: Services, session: Workbench) -> SettingsPage:
    made = SettingsPage(services, session.database)
    qtbot.addWidget(made)
    made.resize(1000, 900)
    with qtbot.waitExposed(made):
        made.show()
    made.activated()
    qtbot.waitUntil(lambda: "2 trials" in made.estimates.recompute.text())
    return made


def put(page: SettingsPage, name: str, text: str, key: Qt.Key = Qt.Key.Key_Return) -> None:
    field = page.estimates.fields[name]
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, text) if text else QTest.keyClick(field, Qt.Key.Key_Delete)
    QTest.keyClick(field, key)


def kept(services: Services) -> Assumptions:
    return settings.load(settings.settings_path(services.places))


def test_that_a_typed_value_is_kept_and_offers_to_make_stored_trials_again(
    qtbot: QtBot, services: Services, session: Workbench, page: SettingsPage
) -> None:
    put(page, "watts_per_core", "8,5")
    qtbot.waitUntil(lambda: kept(services).watts_per_core == 8.5)
    assert page.estimates.fields["watts_per_core"].text() == "8.5"
    button = page.estimates.recompute
    assert button.text() == "Recompute 2 trials"
    assert "The 2 stored ones keep their estimates" in page.estimates.stored.text()
    seen: list[str] = []
    page.recomputing.changed.connect(lambda: seen.append(button.text()))
    with qtbot.waitSignal(page.recomputing.finished):
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert "Stop" in seen
    found = [m for m in session.store.execute(GetExperiment()).metrics if m.metric == "energy_estimate_joules"]
    assert len(found) == 2
    assert all("8.5 W per core set by the user" in m.method for m in found)
    assert "2 trials were recomputed" in services.toasts.history[-1].message


@pytest.mark.parametrize("name", ["watts_per_core", "peak_flops"])
def test_that_a_number_that_may_be_two_is_asked_about_and_not_kept(
    services: Services, page: SettingsPage, name: str
) -> None:
    field = page.estimates.fields[name]
    field.setFocus()
    QTest.keyClicks(field, "1,979")
    assert "write 1979 or 1.979" in field.toolTip()
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert field.text() == ""
    assert "write 1979 or 1.979" in services.toasts.history[-1].message
    assert kept(services) == Assumptions()


def test_that_a_value_typed_right_before_recomputing_counts(
    qtbot: QtBot, services: Services, session: Workbench, page: SettingsPage
) -> None:
    field = page.estimates.fields["watts_per_core"]
    field.setFocus()
    QTest.keyClicks(field, "11")
    with qtbot.waitSignal(page.recomputing.finished):
        page.estimates.recompute.click()
    found = [m for m in session.store.execute(GetExperiment()).metrics if m.metric == "energy_estimate_joules"]
    assert all("11 W per core" in m.method for m in found)


def test_that_what_cannot_be_is_marked_while_typed_and_not_kept(services: Services, page: SettingsPage) -> None:
    field = page.estimates.fields["price_per_kwh"]
    field.setFocus()
    QTest.keyClicks(field, "dear")
    assert field.property("invalid") == "true"
    assert "a number" in field.toolTip()
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert field.text() == ""
    assert field.property("invalid") == "false"
    assert "not changed" in services.toasts.history[-1].message
    assert kept(services) == Assumptions()


def test_that_an_empty_field_forgets_the_value(qtbot: QtBot, services: Services, page: SettingsPage) -> None:
    put(page, "carbon_grams_per_kwh", "380")
    qtbot.waitUntil(lambda: kept(services).carbon_grams_per_kwh == 380.0)
    put(page, "carbon_grams_per_kwh", "")
    qtbot.waitUntil(lambda: kept(services).carbon_grams_per_kwh is None)
    put(page, "currency", "CHF")
    qtbot.waitUntil(lambda: kept(services).currency == "CHF")
    put(page, "currency", "")
    qtbot.waitUntil(lambda: kept(services).currency == "EUR")
    assert page.estimates.fields["currency"].text() == "EUR"


def test_that_peaks_are_typed_in_tera_and_belong_to_devices(
    qtbot: QtBot, services: Services, page: SettingsPage
) -> None:
    gpu = Device(id="cuda:GPU-1", title="NVIDIA H200", memory_total_bytes=1, memory_free_bytes=1)
    cpu = Device(id="cpu", title="Example CPU, 8 cores", memory_total_bytes=1, memory_free_bytes=1)
    services.bridge.probe_finished.emit(
        ProbeResult(machine="host", devices=(cpu, gpu), sensors=(), packages=(), facts={})
    )
    put(page, "peak_flops.NVIDIA H200", "989")
    qtbot.waitUntil(lambda: kept(services).peak_of("NVIDIA H200", "bfloat16") == (9.89e14, "NVIDIA H200"))
    put(page, "peak_flops", "1.5")
    qtbot.waitUntil(lambda: kept(services).peak_flops == 1.5e12)
    assert "peak_flops.Example CPU" in page.estimates.fields
    assert device_name(cpu) == "Example CPU"
    assert shown(kept(services), "peak_flops.nvidia h200") == "989"


def test_that_what_a_command_set_is_shown_when_the_page_is_opened(
    qtbot: QtBot, services: Services, page: SettingsPage
) -> None:
    path = settings.settings_path(services.places)
    settings.save(path, Assumptions(price_per_kwh=0.4, device_peaks=(("NVIDIA H200/int8", 2e15),)))
    page.activated()
    qtbot.waitUntil(lambda: page.estimates.fields["price_per_kwh"].text() == "0.4")
    assert page.estimates.fields["peak_flops.NVIDIA H200/int8"].text() == "2000"


def test_that_a_file_that_cannot_be_used_is_named_and_nothing_can_be_changed(
    qtbot: QtBot, services: Services, page: SettingsPage
) -> None:
    path = settings.settings_path(services.places)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[assumptions")
    page.activated()
    qtbot.waitUntil(page.estimates.problem.isVisible)
    assert "not TOML" in page.estimates.problem.text()
    assert not any(field.isEnabled() for field in page.estimates.fields.values())
    path.unlink()
    page.activated()
    qtbot.waitUntil(lambda: not page.estimates.problem.isVisible())
    assert all(field.isEnabled() for field in page.estimates.fields.values())


def test_that_leaving_the_page_keeps_what_was_typed(qtbot: QtBot, services: Services, page: SettingsPage) -> None:
    field = page.estimates.fields["price_per_kwh"]
    field.setFocus()
    QTest.keyClicks(field, "0.2")
    page.deactivated()
    qtbot.waitUntil(lambda: kept(services).price_per_kwh == 0.2)


def test_that_recomputing_can_be_stopped(
    qtbot: QtBot, services: Services, session: Workbench, page: SettingsPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    stopped = threading.Event()
    recompute = session.stored.recompute

    def after_the_stop(*arguments: Any) -> int:
        assert stopped.wait(60)
        return recompute(*arguments)

    monkeypatch.setattr(session.stored, "recompute", after_the_stop)
    services.bridge.work_reported.connect(told.append)
    with qtbot.waitSignal(page.recomputing.finished):
        page.recomputing.start()
        page.recomputing.start()
        page.recomputing.stop()
        stopped.set()
    messages = [t.message for t in services.toasts.history]
    assert "already" in messages[0]
    assert messages[-1].startswith("Stopped: figures of")
    assert told[-1] == ""
    assert page.estimates.recompute.text() == "Recompute 2 trials"


def test_that_fields_grow_with_the_text(services: Services, page: SettingsPage) -> None:
    group: EstimatesGroup = page.estimates
    before = group.fields["watts_per_core"].width()
    services.theme.choose(scale=2.0)
    assert group.fields["watts_per_core"].maximumWidth() == 2 * before


@pytest.mark.parametrize(("name", "text"), [("peak_flops", "much"), ("peak_flops", "-3"), ("watts_per_core", "1e9")])
def test_that_wrong_texts_raise(name: str, text: str) -> None:
    with pytest.raises(SettingsError):
        changed(Assumptions(), name, text)
