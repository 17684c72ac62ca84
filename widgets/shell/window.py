"""The one window: menus, rail, page area, queue strip, status line. Thin: it connects parts and keeps the session.

Lives on the main thread; the database is opened on another one after the first paint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QSettings, Qt, QUrl, Signal
from PySide6.QtGui import QCloseEvent, QDesktopServices, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QWidget

from engines.protocol.messages import QueueState
from engines.protocol.places import Places
from widgets.background.bridge import Bridge
from widgets.background.demo_messages import DemoMessages
from widgets.background.demo_run import DemoRun
from widgets.compare import entries as compare
from widgets.machines import entries as machines
from widgets.messages.cards import Cards
from widgets.messages.toast_layer import ToastLayer
from widgets.messages.toasts import Toasts
from widgets.monitor import entries as monitor
from widgets.opening.database import Database
from widgets.opening.file_opener import FileOpener
from widgets.opening.read_only_bar import ReadOnlyBar
from widgets.opening.state import OpeningPage
from widgets.parts.layout import flush_column
from widgets.queue.strip import QueueStrip
from widgets.setup import entries as setup
from widgets.shell import session_state
from widgets.shell.actions import Action, Actions
from widgets.shell.entries import announced
from widgets.shell.menus import Corner, Menus
from widgets.shell.navigation import Navigation
from widgets.shell.page import Page
from widgets.shell.page_stack import PageStack
from widgets.shell.rail import PAGES, Rail
from widgets.shell.services import Services
from widgets.shell.status_line import StatusLine
from widgets.shell.targets import NewExperiment
from widgets.theme.focus_ring import FocusRing
from widgets.theme.theme import Theme
from workbench.running.events import Notice, StoreChanged
from workbench.running.queues import to_pause
from workbench.store.operations import Counts

if TYPE_CHECKING:
    from widgets.settings.page import SettingsPage


class Window(QMainWindow):
    """Create, `show`, then `start`: nothing heavy is imported before `start`."""

    usable = Signal()
    """The database is open, its page is shown: the user can work."""
    demo_reported = Signal(object)
    """`workbench.running.demo.DemoReport`"""
    closed = Signal()

    def __init__(
        self,
        theme: Theme,
        places: Places,
        settings: QSettings,
        own_actions: Callable[[Window], Sequence[Action]],
        database: Path | None = None,
    ) -> None:
        """`own_actions`: what the window itself offers, see `widgets.shell.window_actions`."""
        super().__init__()
        self.theme = theme
        self.places = places
        self.settings = settings
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
        self.database = Database(self.bridge, places, settings, self.toasts, database, self)
        self.demo_messages = DemoMessages(self.demo, self.services, self.database)
        self.file_opener = FileOpener(self.services, self.database, self)
        self.cards = Cards(self.services, self)
        self._build(own_actions)
        self._connect()

    # --- parts --------------------------------------------------------------------------------------

    def _build(self, own_actions: Callable[[Window], Sequence[Action]]) -> None:
        theme = self.theme
        self.rail = Rail(theme, PAGES, self)
        makers: dict[str, Callable[[], Page]] = {
            "first_start": self._make_first_start,
            "settings": self._make_settings,
        }
        self.stack = PageStack(self.services, makers, self)
        self.strip = QueueStrip(theme, self)
        self.status = StatusLine(theme, self)
        self.status.set_database(self.database.path)
        self.read_only_bar = ReadOnlyBar(theme)
        self.opening = OpeningPage(theme)
        self.opening.show_waiting(self.database.path)
        wanted = session_state.restore(self, self.settings, theme)
        self.navigation = Navigation(self.rail, self.stack, self.opening, self.database, self.actions_, wanted)
        self.actions_.add(*own_actions(self))
        for page in (setup, monitor, compare, machines):
            self.actions_.announce(*announced(page.ENTRIES))
        self.corner_ = Corner(theme, self.toasts)
        self.menuBar().setCornerWidget(self.corner_)
        self._menus = Menus(self.menuBar(), self.actions_)
        self._arrange()
        self.stack.show_other(self.opening)
        self.stack.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.stack.setProperty("ring", False)
        self.stack.setFocus()
        self.layer = ToastLayer(theme, self.toasts, self, partial(self.stack.foot, self.strip))
        self.stack.currentChanged.connect(self.layer.place)
        self.ring = FocusRing(theme, self)
        theme.follow(self._restyle)

    def _arrange(self) -> None:
        centre = QWidget()
        column = flush_column(centre)
        row = QHBoxLayout()
        row.setSpacing(0)
        row.addWidget(self.rail)
        row.addWidget(self.stack, 1)
        column.addWidget(self.read_only_bar)
        column.addLayout(row, 1)
        column.addWidget(self.strip)
        self.setCentralWidget(centre)
        self.setStatusBar(self.status)

    def _connect(self) -> None:
        bridge, database = self.bridge, self.database
        self.corner_.palette_asked.connect(self.cards.open_palette)
        self.corner_.theme_asked.connect(self._toggle_theme)
        self.corner_.history_asked.connect(self.toggle_history)
        self.strip.pause_toggled.connect(self._pause)
        for asked in (self.strip.opened, self.strip.failures_opened):
            asked.connect(self.navigation.go_to_queue)
        self.read_only_bar.repair_wanted.connect(database.repair)
        for closed in (database.opening, database.repairing):
            closed.connect(self.read_only_bar.hide)
        database.opening.connect(self._database_changed)
        database.failed.connect(self.status.set_closed)
        database.ready.connect(self._database_ready)
        database.usable.connect(self.usable)
        database.counted.connect(self._counted)
        database.uncounted.connect(self.status.set_uncounted)
        bridge.queue_changed.connect(self._queue_changed)
        bridge.store_changed.connect(self._store_changed)
        bridge.link_changed.connect(self._link_changed)
        bridge.notice.connect(self._notice)
        bridge.work_reported.connect(self.status.set_work)
        self.demo_messages.reported.connect(self.demo_reported)
        self.theme.changed.connect(self._look_changed)

    def _make_first_start(self) -> Page:
        from widgets.first_start.page import FirstStart

        return FirstStart(self.services, self.demo)

    def _make_settings(self) -> Page:
        from widgets.settings.page import SettingsPage

        page = SettingsPage(self.services, self.database.path)
        page.database_asked.connect(self.database.ask)
        page.look_changed.connect(self._look_changed)
        self._settings_page = page
        return page

    def _restyle(self) -> None:
        px = self.theme.px
        # the smallest window grows with the text, but never beyond what a small screen has
        screen = self.screen().availableSize()
        self.setMinimumSize(min(px(1120), screen.width(), 1120), min(px(700), screen.height(), 700))
        self.menuBar().setFixedHeight(self.theme.height("menu_bar"))

    # --- database and pages -------------------------------------------------------------------------

    def start(self) -> None:
        """After the first paint: open the database, then show the page."""
        self.database.open()

    def when_usable(self, call: Callable[[], None]) -> None:
        """Run now if the database is open, else as soon as it is."""
        self.database.when_ready(call)

    def _database_changed(self, path: Path) -> None:
        self.status.set_database(path)
        if self._settings_page is not None:
            self._settings_page.set_database(path)

    def _database_ready(self) -> None:
        self.read_only_bar.setVisible(self.database.read_only)
        self.actions_.update()
        self.stack.refresh(StoreChanged())
        self.navigation.go_where_wanted()

    def navigate(self, name: str, target: object = None) -> None:
        """Show a page and hand it a target, as soon as that is possible."""
        self.navigation.go(name, target)

    def new_experiment(self) -> None:
        self.navigate("setup", NewExperiment())

    def undo(self) -> None:
        if self.stack.current is not None:
            self.stack.current.undo_stack.undo()

    def can_undo(self) -> bool:
        page = self.stack.current
        return page is not None and page.undo_stack.canUndo()

    def zoom(self, step: int) -> None:
        if self.stack.current is not None:
            self.stack.current.zoom(step)

    # --- what changes -------------------------------------------------------------------------------

    def _queue_changed(self, state: QueueState) -> None:
        queues = self.bridge.queues
        paused = () if state.paused else tuple(self.bridge.title_of(m) for m, q in queues.items() if q.paused)
        lost = {m for m, link in self.bridge.links.items() if link.state == "lost"}
        silent = tuple(self.bridge.title_of(m) for m, q in queues.items() if m in lost and q.in_state("running"))
        self.strip.set_queue(state, paused, silent)
        self.rail.buttons["monitor"].set_dot(bool(state.in_state("running")))
        self.actions_.update()

    def _link_changed(self) -> None:
        self.status.set_links(self.bridge.links, self.bridge.title_of)
        if self.bridge.queue is not None:
            self._queue_changed(self.bridge.queue)

    def _store_changed(self, change: StoreChanged) -> None:
        self.stack.refresh(change)
        self.database.count_soon()

    def _counted(self, counts: Counts) -> None:
        workbench = self.bridge.workbench
        self.status.set_counts(counts, is_owner=workbench is None or workbench.is_owner)

    def _notice(self, notice: Notice) -> None:
        if notice.code != "damaged" or self.database.read_only:  # else the database says it, with the way out
            self.toasts.show(notice.severity, notice.message, notice.advice)

    # --- queue ----------------------------------------------------------------------------------

    def _pause(self, paused: bool) -> None:
        """The strip's switch is for all machines; each has its own in the queue."""
        workbench = self.bridge.workbench
        if workbench is None:
            return
        for machine in to_pause(self.bridge.queues, paused):
            self.bridge.run(partial(workbench.pause, paused, machine), None, self.toasts.error)

    def toggle_pause(self) -> None:
        self._pause(not self.strip.view.paused)

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
            self.resize(self.theme.tokens["width"]["window_design"], session_state.HEIGHT)

    # --- over the window ----------------------------------------------------------------------------

    def toggle_history(self) -> None:
        """The messages, under the bell."""
        self.cards.history.toggle(self.corner_)

    def open_crashes(self) -> None:
        self.places.crashes.mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.places.crashes)))

    # --- session ------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if self.file_opener.takes(event.mimeData()):
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()

    def dropEvent(self, event: QDropEvent) -> None:
        self.file_opener.take_dropped(event.mimeData())
        event.acceptProposedAction()

    def quit_(self) -> None:
        self.close()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Trials and queue continue in the runner; what has arrived is stored before the process ends."""
        session_state.save(self, self.settings, self.navigation.wanted, self.stack.pages)
        self.hide()
        self.database.stop()
        self.stack.shutdown()
        workbench = self.bridge.workbench
        self.bridge.close()
        if workbench is not None:
            workbench.close()
        self.database.close()
        event.accept()
        self.closed.emit()
