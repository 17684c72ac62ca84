"""The window as a whole, on a workbench that answers from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QPushButton, QSplitter, QWidget
from pytestqt.qtbot import QtBot

import workbench.running.workbench
from engines.protocol.messages import ProbeResult
from engines.protocol.places import Places
from tests.widgets.queue_kit import entry, queue
from widgets.shell.page import Page
from widgets.shell.rail import PAGES
from widgets.shell.window import Window
from widgets.shell.window_actions import window_actions
from widgets.theme.theme import Theme
from workbench.running.events import Event, Notice, QueueChanged, RunnerLink, StoreChanged
from workbench.store.operations import Counts, GetCounts, ListExperiments, ListTrials, Operation, StoreError


class FakeWorkbench:
    """A store with as many trials as the test says, and no runner."""

    trials = 0
    error: Exception | None = None
    made: list[FakeWorkbench]

    def __init__(self, database: Path, *, places_: Places, client: str, read_only: bool = False) -> None:
        if self.error is not None:
            raise self.error
        self.database = database
        self.places = places_
        self.is_owner = True
        self.closed = False
        self.paused: list[bool] = []
        self.listeners: list[Callable[[Event], None]] = []
        self.made.append(self)

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def follow(self) -> None:
        self.say(RunnerLink("connected"))

    def say(self, event: Event) -> None:
        for listener in tuple(self.listeners):
            listener(event)

    def submit_operation(self, operation: Operation[object]) -> Future[object]:
        answers: dict[type, object] = {
            GetCounts: Counts(experiments=self.trials, trials=self.trials, samples=0, size_bytes=0),
            ListExperiments: (),
            ListTrials: (),
        }
        future: Future[object] = Future()
        future.set_result(answers[type(operation)])
        return future

    def probe(self, *, refresh: bool = False) -> ProbeResult:
        return ProbeResult(machine="host", devices=(), sensors=(), packages=(), facts={})

    def plan(self, experiment: object) -> object:
        raise StoreError("No plan in this test.")

    def pause(self, paused: bool, machine: str = "this") -> None:
        self.paused.append(paused)

    def close(self) -> None:
        self.closed = True


class EmptyPage(Page):
    title = "Page"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorkbench]:
    made = type("Fake", (FakeWorkbench,), {"made": []})
    monkeypatch.setattr(workbench.running.workbench, "Workbench", made)
    return made


@pytest.fixture
def make(qtbot: QtBot, theme: Theme, home: Places, fake: type[FakeWorkbench]) -> Iterator[Callable[[], Window]]:
    """Makes windows whose four pages are empty ones: the real ones have tests of their own."""
    windows: list[Window] = []

    def one() -> Window:
        settings = QSettings(str(home.config / "window.ini"), QSettings.Format.IniFormat)
        window = Window(theme, home, settings, window_actions)
        for name, *_ in PAGES[:4]:
            window.stack._makers[name] = lambda window=window, name=name: _named(EmptyPage(window.services), name)
        window.show()
        windows.append(window)
        return window

    yield one
    for window in windows:
        window.close()
        window.deleteLater()


def _named(page: Page, name: str) -> Page:
    page.name = name
    return page


def start(qtbot: QtBot, window: Window) -> None:
    with qtbot.waitSignal(window.usable):
        window.start()


@pytest.fixture
def window(qtbot: QtBot, make: Callable[[], Window]) -> Window:
    """Usable, on an empty store."""
    made = make()
    start(qtbot, made)
    return made


@pytest.fixture
def used_window(qtbot: QtBot, make: Callable[[], Window], fake: type[FakeWorkbench]) -> Window:
    """Usable, on a store with three trials."""
    fake.trials = 3
    made = make()
    start(qtbot, made)
    return made


# --- opening and closing --------------------------------------------------------------------------


def test_that_an_empty_store_shows_the_first_start(window: Window) -> None:
    assert type(window.stack.current).__name__ == "FirstStart"
    assert window.status.store.text() == "Store: empty"


def test_that_a_new_experiment_leaves_the_first_start(window: Window) -> None:
    window.actions_.invoke("file.new")
    assert window.stack.current.name == "setup"
    assert isinstance(window.stack.current, EmptyPage)


def test_that_a_store_with_trials_opens_on_the_last_page(
    qtbot: QtBot, make: Callable[[], Window], fake: type[FakeWorkbench]
) -> None:
    fake.trials = 214
    first = make()
    start(qtbot, first)
    first.resize(800, 760)  # the offscreen screen is 800 x 800
    first.navigate("compare", None)
    first.close()
    second = make()
    assert second.size().height() == 760
    start(qtbot, second)
    assert second.stack.current.name == "compare"
    assert second.rail.buttons["compare"].isChecked()
    assert second.status.store.text() == "Store: 214 trials"


def test_that_a_store_error_is_shown_with_what_to_do(
    qtbot: QtBot, make: Callable[[], Window], fake: type[FakeWorkbench]
) -> None:
    fake.error = StoreError("The database is of a newer schema (9).", "Update the application.", code="newer_schema")
    window = make()
    window.start()
    qtbot.waitUntil(window.opening.again_button.isVisible)
    assert window.opening.message.text() == "The database is of a newer schema (9)."
    assert window.opening.advice.text() == "Update the application."
    assert window.opening.other_button.isVisible()
    window.navigate("settings", None)
    assert window.stack.current.name == "settings"
    fake.error = None
    with qtbot.waitSignal(window.usable):
        window.opening.again_button.click()


def test_that_a_guest_says_who_owns_the_store(qtbot: QtBot, used_window: Window, fake: type[FakeWorkbench]) -> None:
    fake.made[0].is_owner = False
    used_window.database.count()
    qtbot.waitUntil(lambda: "another window" in used_window.status.store.text())


def test_that_closing_closes_the_workbench(window: Window, fake: type[FakeWorkbench]) -> None:
    window.close()
    assert fake.made[0].closed
    assert fake.made[0].listeners == []


def test_that_closing_while_opening_closes_what_was_opened(
    qtbot: QtBot, make: Callable[[], Window], fake: type[FakeWorkbench]
) -> None:
    window = make()
    window.start()
    window.close()
    assert all(w.closed for w in fake.made)


# --- pages, keyboard, focus -----------------------------------------------------------------------


def test_that_pages_are_reached_by_keyboard(qtbot: QtBot, used_window: Window) -> None:
    with qtbot.waitActive(used_window):
        used_window.activateWindow()
    for index, (name, *_rest) in enumerate(PAGES[:4]):
        qtbot.keyClick(used_window, Qt.Key(Qt.Key.Key_1 + index), Qt.KeyboardModifier.ControlModifier)
        assert used_window.stack.current.name == name
        assert used_window.rail.buttons[name].isChecked()


def test_that_the_ring_follows_the_keyboard(qtbot: QtBot, window: Window) -> None:
    with qtbot.waitActive(window):
        window.activateWindow()
    button = window.rail.buttons["machines"]
    button.setFocus(Qt.FocusReason.TabFocusReason)
    assert window.ring.isVisible()
    assert window.ring.target is button
    around = window.ring.geometry()
    inside = button.rect().translated(button.mapTo(window, QPoint(0, 0)))
    assert around.contains(inside.intersected(window.rect()))
    window.stack.setFocus()
    assert not window.ring.isVisible()


def test_that_a_page_that_goes_hands_its_focus_to_no_button(qtbot: QtBot, used_window: Window) -> None:
    used_window.navigate("monitor", None)
    pages = []
    for name in ("setup", "monitor"):
        used_window.navigate(name, None)
        assert used_window.stack.current is not None
        pages.append(QPushButton(name))
        used_window.stack.current.body.addWidget(pages[-1])
    used_window.navigate("setup", None)
    used_window.activateWindow()
    pages[0].setFocus()
    qtbot.waitUntil(pages[0].hasFocus)
    used_window.navigate("monitor", None)
    assert used_window.stack.hasFocus()
    assert not pages[1].hasFocus()


def test_that_hidden_pages_hear_of_changes_when_they_are_shown(
    qtbot: QtBot, used_window: Window, fake: type[FakeWorkbench]
) -> None:
    heard: list[StoreChanged] = []
    page = used_window.stack.show_page("compare")
    page.refresh = heard.append  # type: ignore[method-assign]
    used_window.navigate("monitor", None)
    with qtbot.waitSignal(used_window.bridge.store_changed):
        fake.made[0].say(StoreChanged(trials=("t1",)))
    assert heard == []
    used_window.navigate("compare", None)
    assert heard == [StoreChanged(trials=("t1",))]


def test_that_compares_entries_are_there_before_its_page_and_say_why_they_cannot_run(
    qtbot: QtBot, make: Callable[[], Window]
) -> None:
    window = make()
    shown = [a.text() for a in window.menuBar().actions() if a.isVisible()]
    assert "&Compare" in shown
    entry = window.actions_.qaction("compare.texts")
    assert not entry.isEnabled()
    assert entry.toolTip() == "Texts side by side: show the Compare page first"
    start(qtbot, window)
    window.cards.palette.open("texts side")
    found = window.cards.palette.model.index(0).data(Qt.ItemDataRole.UserRole)
    assert (found.id, found.enabled, found.detail) == ("compare.texts", False, "show the Compare page first")


def test_that_every_control_of_the_frame_has_a_name(window: Window) -> None:
    nameless = [
        b for b in window.findChildren(QAbstractButton) if b.isVisible() and not (b.accessibleName() or b.text())
    ]
    assert nameless == []


# --- what comes in --------------------------------------------------------------------------------


def test_that_a_dropped_file_of_no_use_is_explained(window: Window, tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(picture))])
    event = QDropEvent(
        QPointF(10, 10),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    window.dropEvent(event)
    assert "cat.png" in window.toasts.history[-1].message


def test_that_a_dropped_bundle_is_taken_in(
    qtbot: QtBot, make: Callable[[], Window], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = make()
    (tmp_path / "bundle.json").write_text("{}")
    taken: list[Path] = []
    monkeypatch.setattr(window.file_opener.bundles, "import_", taken.append)
    window.file_opener.take(tmp_path)
    assert taken == [], "the database is not open yet"
    start(qtbot, window)
    assert taken == [tmp_path]
    window.file_opener.take(tmp_path / "bundle.json")
    assert taken == [tmp_path, tmp_path]
    assert window.actions_.is_enabled("file.import")


# --- queue, work, messages ------------------------------------------------------------------------


def test_that_the_queue_reaches_strip_and_rail(qtbot: QtBot, window: Window, fake: type[FakeWorkbench]) -> None:
    fake.made[0].say(QueueChanged(queue(entry("t", "running", title="SmolLM2 · int8"))))
    qtbot.waitUntil(lambda: window.strip.title.text() == "SmolLM2 · int8")
    assert window.rail.buttons["monitor"].dot
    window.strip.pause.click()
    qtbot.waitUntil(lambda: fake.made[0].paused == [True])
    fake.made[0].say(QueueChanged(queue(entry("u", "running")).of_machine("lab"), "lab"))
    qtbot.waitUntil(lambda: "and 1 more" in window.strip.detail.text())
    window.strip.pause.click()
    qtbot.waitUntil(lambda: len(fake.made[0].paused) == 3)


def test_that_long_work_is_told_in_the_status_line(window: Window) -> None:
    window.bridge.work_reported.emit("Recomputing figures: 3 of 12 trials")
    assert window.status.work.text() == "Recomputing figures: 3 of 12 trials"
    assert not window.status.work.isHidden()
    window.bridge.work_reported.emit("")
    assert window.status.work.isHidden()


def test_that_messages_stand_above_the_bar_at_the_foot_of_a_page(qtbot: QtBot, used_window: Window) -> None:
    used_window.navigate("setup", None)
    page = used_window.stack.current
    page.foot = QPushButton("Run")
    page.body.addStretch(1)
    page.body.addWidget(page.foot)
    qtbot.waitUntil(page.foot.isVisible)
    QApplication.processEvents()
    used_window.toasts.show("info", "Something is left out.")
    card = used_window.layer.cards[0]
    foot = page.foot.mapTo(used_window, page.foot.rect().topLeft()).y()
    assert card.geometry().bottom() < foot
    used_window.navigate("monitor", None)
    assert card.geometry().bottom() > foot, "a page without one gives the room back"


def test_that_errors_stay_and_old_messages_give_way(window: Window) -> None:
    window.toasts.show("error", "The link broke.")
    for index in range(5):
        window.bridge.notice.emit(Notice("info", f"message {index}"))
    assert window.layer.cards[0].toast.message == "The link broke."
    assert len(window.layer.cards) == 4
    window.layer.cards[0].close_button.click()
    assert all(c.toast.severity == "info" for c in window.layer.cards)
    assert len(window.toasts.history) == 6
    assert window.corner_.bell.dot
    window.actions_.invoke("view.messages")
    assert window.cards.history.isVisible()
    assert not window.corner_.bell.dot


def test_that_open_messages_follow_the_windows_size_and_the_texts(qtbot: QtBot, window: Window) -> None:
    window.actions_.invoke("view.messages")
    history = window.cards.history
    gap = window.width() - history.geometry().right()
    top = history.y()
    for width, height in ((1120, 700), (1600, 1000)):
        window.resize(width, height)
        qtbot.waitUntil(
            lambda wide=width: window.width() - history.geometry().right() == gap and window.width() == wide
        )
        assert history.y() == top
        assert history.geometry().bottom() < window.height()
    before = history.width()
    window.choose_look(scale=1.3)
    qtbot.waitUntil(lambda: history.width() > before)
    assert history.geometry().right() < window.width()
    window.choose_look(scale=1.0)


# --- look and size --------------------------------------------------------------------------------


def test_that_the_look_is_chosen_at_once_and_remembered(
    qtbot: QtBot, make: Callable[[], Window], qapp: QApplication
) -> None:
    window = make()
    window.actions_.invoke("view.theme-dark")
    window.actions_.invoke("view.scale-130")
    assert window.theme.is_dark
    assert window.theme.hex("bg.base") in qapp.styleSheet()
    assert window.settings.value("look/theme") == "dark"
    assert window.actions_.qaction("view.theme-dark").isChecked()
    assert not window.actions_.qaction("view.theme-light").isChecked()
    window.choose_look(mode="light", scale=1.0)


def test_that_panes_of_a_fixed_size_follow_the_text_and_come_back(used_window: Window) -> None:
    used_window.navigate("setup", None)
    page = used_window.stack.current
    assert page is not None
    splitter = QSplitter()
    splitter.setObjectName("panes")
    splitter.setHandleWidth(0)
    splitter.setChildrenCollapsible(False)
    for _ in range(2):
        splitter.addWidget(QWidget())
    splitter.setStretchFactor(1, 1)
    page.body.addWidget(splitter)
    splitter.show()
    QApplication.processEvents()
    room = sum(splitter.sizes())
    splitter.widget(1).setMinimumWidth(room - 700)
    splitter.setSizes([400, room - 400])
    used_window.choose_look(scale=1.5)
    assert splitter.sizes() == [600, room - 600]
    used_window.choose_look(scale=2.0)
    assert splitter.sizes() == [700, room - 700], "the other pane keeps its least"
    used_window.choose_look(scale=1.0)
    assert splitter.sizes() == [400, room - 400]


def test_that_a_pane_dragged_after_a_change_of_text_size_is_the_users_again(used_window: Window) -> None:
    used_window.navigate("setup", None)
    page = used_window.stack.current
    assert page is not None
    splitter = QSplitter()
    splitter.setObjectName("dragged")
    for _ in range(2):
        splitter.addWidget(QWidget())
    splitter.setStretchFactor(1, 1)
    page.body.addWidget(splitter)
    splitter.show()
    splitter.setSizes([300, sum(splitter.sizes()) - 300])
    used_window.choose_look(scale=1.5)
    handle, left = splitter.handle(1), Qt.MouseButton.LeftButton
    at = handle.rect().center()
    QTest.mousePress(handle, left, pos=at)
    for _ in range(3):
        QTest.mouseMove(handle, at + QPoint(10, 0))
    QTest.mouseRelease(handle, left, pos=at)
    dragged = splitter.sizes()[0]
    assert dragged > 450
    used_window.choose_look(scale=1.0)
    assert splitter.sizes()[0] == round(dragged / 1.5)


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_that_the_frame_fits_the_smallest_window(
    qtbot: QtBot, make: Callable[[], Window], mode: str, scale: float
) -> None:
    window = make()
    window.choose_look(mode=mode, scale=scale)
    start(qtbot, window)
    window.resize(1120, 700)
    qtbot.wait(20)
    assert window.width() == 1120
    assert window.height() == 700
    right = window.corner_.mapTo(window, window.corner_.rect().topRight()).x()
    assert right <= window.width()
    window.choose_look(mode="light", scale=1.0)
