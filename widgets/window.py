"""The one window: menus, rail, page area, queue strip, status line. Thin: it connects parts and keeps the session.

Lives on the main thread; the database is opened on another one after the first paint.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSettings, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import QCloseEvent, QDesktopServices, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QMainWindow, QVBoxLayout, QWidget

from engines.protocol.messages import QueueState
from engines.protocol.places import Places
from widgets import session_state
from widgets.actions import Actions
from widgets.bridge import Bridge
from widgets.bundles import Bundles
from widgets.cards import Cards
from widgets.demo_run import DemoRun
from widgets.dropped import target_of
from widgets.focus_ring import FocusRing
from widgets.menus import Corner, Menus
from widgets.opening import OpeningPage
from widgets.page import Page
from widgets.page_stack import PageStack
from widgets.queue_strip import QueueStrip
from widgets.rail import Rail
from widgets.services import Services
from widgets.status_line import StatusLine
from widgets.store_opener import StoreOpener
from widgets.targets import ImportFolder, NewExperiment
from widgets.theme import Theme
from widgets.toast_layer import ToastLayer
from widgets.toasts import Toasts
from widgets.window_actions import PAGES, frame_actions
from workbench.events import Notice, StoreChanged
from workbench.store.operations import Counts, GetCounts

if TYPE_CHECKING:
    from widgets.settings_page import SettingsPage
    from workbench.demo import DemoReport

_COUNT_EVERY_MS = 2000


class Window(QMainWindow):
    """Create, `show`, then `start`: nothing heavy is imported before `start`."""

    usable = Signal()
    """The database is open, its page is shown: the user can work."""
    demo_reported = Signal(object)
    """`workbench.demo.DemoReport`"""
    closed = Signal()

    def __init__(self, theme: Theme, places: Places, settings: QSettings, database: Path | None = None) -> None:
        super().__init__()
        self.theme = theme
        self.places = places
        self.settings = settings
        self._database = database or session_state.remembered_database(settings, places)
        self._explicit = database is not None
        self._counts: Counts | None = None
        self._set_up_anyway = False
        self._wanted_page = ""
        self._pending: list[Callable[[], None]] = []
        self._settings_page: SettingsPage | None = None
        self.setWindowTitle("LLM Workbench")
        self.setAcceptDrops(True)

        self.toasts = Toasts(self)
        self.bridge = Bridge(self)
        self.actions_ = Actions(self, theme)
        self.services = Services(
            bridge=self.bridge,
            theme=theme,
            actions=self.actions_,
            settings=settings,
            toasts=self.toasts,
            places=places,
            navigate=self.navigate,
        )
        self.demo = DemoRun(self.bridge, self)
        self.bundles = Bundles(self.services, self)
        self.opener = StoreOpener(self.bridge, places, self)
        self._build()
        self._connect()
        self._wanted_page = session_state.restore(self, settings, theme)
        self.rail.choose(self._wanted_page)

    # --- parts --------------------------------------------------------------------------------------

    def _build(self) -> None:
        theme = self.theme
        self.actions_.add(*frame_actions(self))
        self.corner_ = Corner(theme, self.toasts)
        self.menuBar().setCornerWidget(self.corner_)
        self._menus = Menus(self.menuBar(), self.actions_)
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        row = QHBoxLayout()
        row.setSpacing(0)
        self.rail = Rail(theme, PAGES, self)
        self.stack = PageStack(
            self.services,
            {"first_start": self._make_first_start, "settings": self._make_settings},
            self,
        )
        row.addWidget(self.rail)
        row.addWidget(self.stack, 1)
        self.strip = QueueStrip(theme, self)
        column.addLayout(row, 1)
        column.addWidget(self.strip)
        self.setCentralWidget(centre)
        self.status = StatusLine(theme, self)
        self.setStatusBar(self.status)
        self.status.set_database(self._database)
        self.opening = OpeningPage(theme)
        self.opening.show_waiting(self._database)
        self.stack.show_other(self.opening)
        self.stack.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.stack.setProperty("ring", False)
        self.stack.setFocus()
        self.cards = Cards(self.services, self)
        self.layer = ToastLayer(theme, self.toasts, self, self.strip)
        self.ring = FocusRing(theme, self)
        self._count_timer = QTimer(self)
        self._count_timer.setSingleShot(True)
        self._count_timer.setInterval(_COUNT_EVERY_MS)
        theme.follow(self._restyle)

    def _connect(self) -> None:
        bridge = self.bridge
        self.rail.asked.connect(self._rail_asked)
        self.corner_.palette_asked.connect(self.show_palette)
        self.corner_.theme_asked.connect(self._toggle_theme)
        self.corner_.history_asked.connect(self.toggle_history)
        self.strip.pause_toggled.connect(self._pause)
        self.strip.opened.connect(self._show_queue)
        self.strip.failures_opened.connect(self._show_queue)
        self.opening.again.connect(self._open_database)
        self.opening.other.connect(self.choose_database)
        self.opener.opened.connect(self._store_opened)
        self.opener.failed.connect(self._store_failed)
        bridge.queue_changed.connect(self._queue_changed)
        bridge.store_changed.connect(self._store_changed)
        bridge.link_changed.connect(self.status.set_link)
        bridge.notice.connect(self._notice)
        bridge.work_told.connect(self.status.set_work)
        self._count_timer.timeout.connect(self._count)
        self.demo.started.connect(self._demo_started)
        self.demo.failed.connect(self._demo_failed)
        self.demo.finished.connect(self._demo_finished)
        self.theme.changed.connect(self._look_changed)

    def _make_first_start(self) -> Page:
        from widgets.first_start import FirstStart

        return FirstStart(self.services, self.demo)

    def _make_settings(self) -> Page:
        from widgets.settings_page import SettingsPage

        page = SettingsPage(self.services, self._database)
        page.database_asked.connect(self.choose_database)
        page.look_changed.connect(self._look_changed)
        self._settings_page = page
        return page

    def _restyle(self) -> None:
        px = self.theme.px
        # the smallest window grows with the text, but never beyond what a small screen has
        screen = self.screen().availableSize()
        self.setMinimumSize(min(px(1120), screen.width(), 1120), min(px(700), screen.height(), 700))
        self.menuBar().setFixedHeight(self.theme.height("menu_bar"))

    # --- opening ------------------------------------------------------------------------------------

    def start(self) -> None:
        """After the first paint: open the database, then show the page."""
        self._open_database()

    def _open_database(self) -> None:
        self.opening.show_waiting(self._database)
        self.stack.show_other(self.opening)
        self.status.set_database(self._database)
        self.opener.open(self._database)

    def _store_opened(self) -> None:
        if not self._explicit:
            self.settings.setValue("window/database", str(self._database))
        self.bridge.run(GetCounts(), self._first_counted, self._store_failed)

    def _first_counted(self, counts: Counts) -> None:
        self._show_counts(counts)
        self.actions_.update()
        self.stack.refresh(StoreChanged())
        self.navigate(self._wanted_page or "setup", None)
        pending, self._pending = self._pending, []
        for call in pending:
            call()
        self.usable.emit()

    def _store_failed(self, error: BaseException) -> None:
        self.status.set_closed()
        self.opening.show_error(error, self._database)
        self.stack.show_other(self.opening)

    def when_usable(self, call: Callable[[], None]) -> None:
        """Run now if the database is open, else as soon as it is."""
        if self._counts is not None:
            call()
        else:
            self._pending.append(call)

    def choose_database(self) -> None:
        """Ask for another file and open it; a name that does not exist yet makes a new database."""
        name, _ = QFileDialog.getSaveFileName(
            self,
            "Choose a database, or name a new one",
            str(self._database.parent),
            "Databases (*.duckdb);;All files (*)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if name:
            self.open_database(Path(name))

    def open_database(self, database: Path) -> None:
        """Close what is open and open another file. Running trials of the old one go on in the runner."""
        if self.opener.busy:
            self.toasts.show("info", "A database is still being opened.", "Choose again when it is open.")
            return
        workbench = self.bridge.detach()
        self._counts = None
        self._database = database if database.suffix else database.with_suffix(".duckdb")
        self._explicit = False
        if self._settings_page is not None:
            self._settings_page.set_database(self._database)
        if workbench is not None:
            self.bridge.run(workbench.close, self._closed_old, self._store_failed)
            self.opening.show_waiting(self._database)
            self.stack.show_other(self.opening)
        else:
            self._open_database()

    def _closed_old(self, _nothing: None) -> None:
        self._open_database()

    # --- pages --------------------------------------------------------------------------------------

    def navigate(self, name: str, target: object = None) -> None:
        """Show a page and hand it a target. Before the database is open the page waits, Settings does not."""
        if isinstance(target, NewExperiment) or (target is not None and name == "setup"):
            self._set_up_anyway = True
        self._wanted_page = name
        self.rail.choose(name)
        if self._counts is None and name != "settings":
            if target is not None:
                self._pending.append(partial(self.navigate, name, target))
            self.stack.show_other(self.opening)
            self.actions_.set_page("")
            return
        page = self.stack.show_page(self._page_behind(name))
        self.actions_.set_page(name)
        if target is not None:
            page.show_target(target)

    def _page_behind(self, name: str) -> str:
        """Setup is the first start's page as long as nothing was measured and nothing is to be set up."""
        empty = self._counts is not None and self._counts.trials == 0
        return "first_start" if name == "setup" and empty and not self._set_up_anyway else name

    def _rail_asked(self, name: str) -> None:
        self.navigate(name, None)

    def _show_queue(self) -> None:
        self.navigate("monitor", None)

    def new_experiment(self) -> None:
        self.navigate("setup", NewExperiment())

    def open_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, "Open", "", "Experiments and models (*.toml *.gguf config.json bundle.json);;All files (*)"
        )
        if name:
            self.take_file(Path(name))

    def take_file(self, path: Path) -> None:
        """Open an experiment file, choose a model, take a whole experiment in; anything else is explained."""
        target = target_of(path)
        if isinstance(target, str):
            self.toasts.show("warning", target, "Nothing was changed.")
        elif isinstance(target, ImportFolder):
            self.when_usable(partial(self.bundles.import_, target.path))
        else:
            self.navigate("setup", target)

    def import_experiment(self) -> None:
        self.bundles.ask_import()

    def is_open(self) -> bool:
        return self.bridge.workbench is not None

    def undo(self) -> None:
        if self.stack.current is not None:
            self.stack.current.undo()

    def can_undo(self) -> bool:
        page = self.stack.current if hasattr(self, "stack") else None
        return page is not None and bool(page.undo_text())

    def zoom(self, step: int) -> None:
        if self.stack.current is not None:
            self.stack.current.zoom(step)

    # --- what changes -------------------------------------------------------------------------------

    def _queue_changed(self, state: QueueState) -> None:
        self.strip.set_queue(state)
        self.rail.buttons["monitor"].set_dot(bool(state.in_state("running")))
        self.actions_.update()

    def _store_changed(self, change: StoreChanged) -> None:
        self.stack.refresh(change)
        if not self._count_timer.isActive():
            self._count_timer.start()

    def _count(self) -> None:
        if self.bridge.workbench is not None:
            self.bridge.run(GetCounts(), self._show_counts, self._count_failed)

    def _show_counts(self, counts: Counts) -> None:
        self._counts = counts
        workbench = self.bridge.workbench
        self.status.set_counts(counts, is_owner=workbench is None or workbench.is_owner)

    def _count_failed(self, error: BaseException) -> None:
        self.status.store.setText(f"Store: {error}")

    def _notice(self, notice: Notice) -> None:
        self.toasts.show(notice.severity, notice.message, notice.advice)

    # --- queue and demo -----------------------------------------------------------------------------

    def _pause(self, paused: bool) -> None:
        workbench = self.bridge.workbench
        if workbench is not None:
            self.bridge.run(partial(workbench.pause, paused), None, self.toasts.error)

    def toggle_pause(self) -> None:
        self._pause(not self.strip.view.paused)

    def is_paused(self) -> bool:
        return hasattr(self, "strip") and self.strip.view.paused

    def has_queue(self) -> bool:
        return self.bridge.queue is not None

    def run_demo(self) -> None:
        """Start the demo as soon as the database is open."""
        self.when_usable(self.demo.start)

    def can_run_demo(self) -> bool:
        return self.bridge.workbench is not None and self.demo.state == "idle"

    def _demo_started(self, _experiment: str) -> None:
        self._count()
        self.navigate("monitor", None)
        self.actions_.update()

    def _demo_failed(self, message: str, advice: str) -> None:
        self.toasts.show(
            "error", f"The demo could not run: {message}", advice, action="Try again", handler=self.run_demo
        )
        self.actions_.update()

    def _demo_finished(self, report: DemoReport) -> None:
        self.actions_.update()
        folder = report.files[0].parent if report.files else report.database.parent
        self.toasts.show(
            "good",
            "The demo has ended; its table and charts are exported.",
            str(folder),
            action="Compare",
            handler=partial(self.navigate, "compare", None),
        )
        self.demo_reported.emit(report)

    # --- look ---------------------------------------------------------------------------------------

    def choose_look(self, mode: str | None = None, scale: float | None = None) -> None:
        self.theme.choose(mode, scale)
        self._look_changed()

    def _toggle_theme(self) -> None:
        self.choose_look(mode="light" if self.theme.is_dark else "dark")

    def _look_changed(self) -> None:
        self.settings.setValue("look/theme", self.theme.mode)
        self.settings.setValue("look/scale", self.theme.scale)
        self.actions_.update()
        if self._settings_page is not None:
            self._settings_page.sync()

    def reset_layout(self) -> None:
        """Sizes and panels as they were delivered; nothing else is forgotten."""
        for page in self.stack.pages:
            page.reset_layout()
        if not self.isMaximized():
            self.resize(self.theme.tokens["width"]["window_design"], 900)

    # --- cards over the window ----------------------------------------------------------------------

    def show_palette(self) -> None:
        self.cards.palette.open()

    def toggle_history(self) -> None:
        self.cards.history.toggle(self.corner_)

    def show_shortcuts(self) -> None:
        self.cards.sheet.open()

    def show_about(self) -> None:
        self.cards.about.open()

    def open_crashes(self) -> None:
        self.places.crashes.mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.places.crashes)))

    # --- session ------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()

    def dropEvent(self, event: QDropEvent) -> None:
        for url in event.mimeData().urls():
            if url.isLocalFile():
                self.take_file(Path(url.toLocalFile()))
        event.acceptProposedAction()

    def quit_(self) -> None:
        self.close()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Trials and queue go on in the runner; what has arrived is stored before the process ends."""
        session_state.save(self, self.settings, self._wanted_page, self.stack.pages)
        self.hide()
        self._count_timer.stop()
        self.stack.shutdown()
        workbench = self.bridge.workbench
        self.bridge.close()
        if workbench is not None:
            workbench.close()
        self.opener.close()
        event.accept()
        self.closed.emit()
