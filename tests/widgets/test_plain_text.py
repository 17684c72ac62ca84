"""Names, logs and messages come from files and other machines: whatever is in them, the window shows it as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module

import msgspec
import pytest
from PySide6.QtCore import QEvent, QPoint, QRect, Qt
from PySide6.QtGui import QHelpEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QLabel,
    QListView,
    QMessageBox,
    QTextEdit,
    QToolTip,
    QWidget,
)
from pytestqt.qtbot import QtBot

from engines.protocol.messages import Device, Package, ProbeResult, QueueState
from engines.protocol.records import Sensor
from tests.house import ROOT
from tests.widgets.queue_kit import entry
from tests.workbench.store_kit import ended, lines, log, order, started
from tests.workbench.synthetic import FakeTrial, records
from widgets.setup.plan.rows import Seeing
from widgets.setup.plan.run_bar import RunBar
from widgets.shell.page import Page
from widgets.shell.services import Services
from widgets.theme.theme import Theme
from workbench.running.workbench import Workbench
from workbench.store.operations import AddExperiment, GetStoreId, Ingest

HOSTILE = '<img src="file:///etc/passwd"><b>bold</b><a href="file:///etc">link</a>'
PAGES = ("setup", "monitor", "compare", "machines")


def offenders(*roots: QWidget) -> list[str]:
    """Labels that would show markup as such. `QTextEdit` pastes and shows it too: there is none."""
    found = []
    for root in roots:
        for label in (*([root] if isinstance(root, QLabel) else []), *root.findChildren(QLabel)):
            label.ensurePolished()
            marked = label.property("markup") == "true" and "<img" not in label.text()
            if label.textFormat() != Qt.TextFormat.PlainText and not marked:
                found.append(f"{type(label.parent()).__name__}: {label.textFormat().name} {label.text()[:60]!r}")
        found += [f"{type(text).__name__} of {type(text.parent()).__name__}" for text in root.findChildren(QTextEdit)]
    return found


def hovered(page: QWidget) -> Iterator[QLabel]:
    """The tooltip of everything on a page that has one, as the mouse brings it up."""
    for widget in page.findChildren(QWidget):
        view = widget.parentWidget()
        points = [widget.rect().center()] if widget.toolTip() else []
        if isinstance(view, QAbstractItemView) and widget is view.viewport() and view.model() is not None:
            points += [rect.center() for rect in _cells(view)]
        for point in points if widget.isVisible() else []:
            QApplication.sendEvent(widget, QHelpEvent(QEvent.Type.ToolTip, point, widget.mapToGlobal(point)))
            yield from (w for w in QApplication.topLevelWidgets() if w.metaObject().className() == "QTipLabel")  # type: ignore[misc]
    QToolTip.hideText()


def _cells(view: QAbstractItemView) -> Iterator[QRect]:
    model = view.model()
    columns = 1 if isinstance(view, QListView) else model.columnCount()
    for row in range(min(20, model.rowCount())):
        for column in range(columns):
            rect = view.visualRect(model.index(row, column))
            if rect.isValid() and view.viewport().rect().contains(rect.center()):
                yield rect


@pytest.fixture
def session(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workbench]:
    """Everything in it that has a name is hostile: experiment, trials, models, machine, devices, queue."""
    probe = ProbeResult(
        machine=HOSTILE,
        devices=(Device(id="cpu", title=HOSTILE, memory_total_bytes=1 << 34, memory_free_bytes=1 << 33),),
        sensors=(Sensor(source=HOSTILE, quantity="power_watts", title=HOSTILE, method=HOSTILE, hint=HOSTILE),),
        packages=(Package(name=HOSTILE, version=HOSTILE, gives=HOSTILE),),
        facts={HOSTILE: HOSTILE, "cpu.model": HOSTILE, "os": HOSTILE},
    )
    waiting = msgspec.structs.replace(entry("t-9", "waiting"), title=HOSTILE, experiment_title=HOSTILE, message=HOSTILE)
    monkeypatch.setattr(Workbench, "probe", lambda *_args, **_named: probe)
    monkeypatch.setattr(Workbench, "queue", lambda *_args: QueueState(entries=(waiting,), paused=True))
    opened = Workbench(places_=services.places)
    store = opened.store.execute(GetStoreId())
    orders = []
    for position, trial in enumerate(("t-1", "t-2")):
        made = order(trial, store=store, configuration=f"c-{position}", position=position)
        model = msgspec.structs.replace(made.model, title=HOSTILE, ref=HOSTILE)
        title = f"{HOSTILE} {position}"
        orders.append(msgspec.structs.replace(made, title=title, experiment_title=HOSTILE, model=model))
    opened.store.execute(
        AddExperiment(experiment="e-1", name=HOSTILE, definition="schema = 1", seed=7, orders=tuple(orders))
    )
    opened.store.execute(Ingest(trial="t-1", lines=lines(records(FakeTrial()))))
    end = msgspec.structs.replace(ended(3, outcome="failed"), message=HOSTILE, advice=HOSTILE)
    opened.store.execute(Ingest(trial="t-2", lines=lines((started(), log(2, HOSTILE), end))))
    opened.stored.recompute()
    services.bridge.attach(opened)
    yield opened
    services.bridge.detach()
    opened.close()


@pytest.mark.parametrize("name", PAGES)
def test_that_no_page_takes_a_name_for_markup(qtbot: QtBot, services: Services, session: Workbench, name: str) -> None:
    page: Page = import_module(f"widgets.{name}").make_page(services)
    qtbot.addWidget(page)
    page.resize(1368, 800)
    with qtbot.waitExposed(page):
        page.show()
    services.actions.set_page(name)
    page.activated()
    qtbot.wait(1000)
    assert page.findChildren(QLabel), "the page shows something"
    assert offenders(page) == []
    for tip in hovered(page):
        assert offenders(tip) == []
    page.deactivated()
    page.shutdown()


def test_that_tooltips_and_messages_are_plain(qtbot: QtBot, theme: Theme) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    box = QMessageBox(window)
    box.setText(HOSTILE)
    box.setInformativeText(HOSTILE)
    box.show()
    QToolTip.showText(QPoint(5, 5), HOSTILE, window)
    (tip,) = (w for w in QApplication.topLevelWidgets() if w.metaObject().className() == "QTipLabel")
    assert isinstance(tip, QLabel)
    assert tip.text() == HOSTILE
    assert offenders(tip, box) == []
    QToolTip.hideText()


def test_that_text_beside_our_own_markup_is_escaped(qtbot: QtBot, theme: Theme) -> None:
    bar = RunBar(theme)
    qtbot.addWidget(bar)
    bar.show_seeing(Seeing(HOSTILE, HOSTILE, 9))
    bar.show()
    assert offenders(bar) == []
    assert bar.seeing.textFormat() == Qt.TextFormat.RichText


def test_that_nothing_else_in_the_window_reads_markup() -> None:
    """What the style sheet does not reach: documents, and labels that are made to show markup."""
    reads = re.compile(r"setHtml|setMarkdown|insertHtml|QTextBrowser|QTextDocument|QStaticText|RichText|MarkdownText")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "widgets").rglob("*.py")
        if any(reads.search(line) for line in path.read_text(encoding="utf-8").splitlines())
    }
    assert found == {"widgets/theme/stylesheet.py"}


def test_that_the_walk_finds_an_offender(qtbot: QtBot) -> None:
    label = QLabel(HOSTILE)
    label.setStyleSheet("QLabel { qproperty-textFormat: AutoText; }")
    qtbot.addWidget(label)
    assert len(offenders(label)) == 1
