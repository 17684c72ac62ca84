"""The queue: rows to look at, to reorder, to remove and to try again. It asks; the page does. Main thread."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QEvent, QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QListView, QMenu, QStackedWidget, QWidget

from engines.protocol.messages import QueueState
from widgets.parts.components import EmptyState, Panel, label, tool_button
from widgets.queue.lanes import QueueLanes
from widgets.queue.model import QueueDelegate, QueueModel
from widgets.queue.rows import QueueRow, dropped, failed_trials, heading, moved, queue_rows
from widgets.theme.icons import icon
from widgets.theme.theme import Theme

_HINT = "Drag to reorder, or Alt+↑ and Alt+↓. Delete removes from the queue, Ctrl+Z brings back."
_CHOICE_MS = 150


class QueuePanel(Panel):
    """Shows the runner's queue and says what the user wants of it."""

    shown_wanted = Signal(str)
    """Show this trial in the charts."""
    order_wanted = Signal(tuple)
    removal_wanted = Signal(tuple)
    retry_wanted = Signal(tuple)
    resume_wanted = Signal(tuple)
    """Continue these training trials from their checkpoints."""
    stop_wanted = Signal(str)
    pause_wanted = Signal(str, bool)
    """Machine, whether it is to pause."""
    meter_wanted = Signal(str)
    """Import a wall meter's readings for this trial, which has ended."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "Queue", ground="base", parent=parent)
        self._theme = theme
        self._state: QueueState | None = None
        self.can_resume: Callable[[str], bool] = lambda _trial: False
        """Whether a trial left a checkpoint; set by the page."""
        self.model = QueueModel(self)
        self.model.order_wanted.connect(self.order_wanted)
        self.view = QListView()
        self.view.setModel(self.model)
        self.view.setItemDelegate(QueueDelegate(theme, self.view))
        self.view.setAccessibleName("Queue")
        self.view.setMouseTracking(True)
        self.view.setUniformItemSizes(True)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.view.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.view.setDropIndicatorShown(True)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._open_menu)
        self.view.selectionModel().currentChanged.connect(self._current_changed)
        self.view.installEventFilter(self)
        self.retry = tool_button(
            theme, "refresh", "Retry failed", "Run what failed again", self._retry_failed, compact=True
        )
        self.header.add_tool(self.retry)
        self.empty = EmptyState(
            theme,
            "The queue is empty",
            "Trials queued from Setup wait here for their turn.",
            icon_name="play",
        )
        self.lanes = QueueLanes(theme)
        self.lanes.pause_wanted.connect(self.pause_wanted)
        self.body.addWidget(self.lanes)
        self._pages = QStackedWidget()
        self._pages.addWidget(self.empty)
        self._pages.addWidget(self.view)
        self.body.addWidget(self._pages, 1)
        self._hint = label(_HINT, role="caption", tone="muted", wrap=True)
        self.body.addWidget(self._hint)
        self._chosen = QTimer(self, singleShot=True, interval=_CHOICE_MS)
        self._chosen.timeout.connect(self._show_current)
        self._quiet = False
        theme.follow(self._restyle)
        self.set_queue(None)

    def _restyle(self) -> None:
        px = self._theme.px
        self._hint.setContentsMargins(px(12), px(6), px(12), px(8))
        self.view.doItemsLayout()

    # --- state ------------------------------------------------------------------------------------

    def set_queue(self, state: QueueState | None) -> None:
        """The runner's queue; None while it is not known."""
        self._state = state
        self._quiet = True
        kept = set(self.chosen())
        current = self.current()
        self.model.show_rows(() if state is None else queue_rows(state, time.time()))
        self._choose_again(kept, current)
        self._quiet = False
        self.header.set_count("" if state is None else heading(state, time.time()))
        failed = () if state is None else failed_trials(state)
        self.retry.setVisible(bool(failed))
        self.retry.setText("Retry failed" if len(failed) < 2 else f"Retry {len(failed)} failed")
        self._pages.setCurrentIndex(1 if self.model.rowCount() else 0)
        self._hint.setVisible(len(self.model.waiting) > 0)

    def tick(self) -> None:
        """Times left have moved on."""
        if self._state is not None and self.isVisible() and self._state.in_state("running"):
            self.model.show_rows(queue_rows(self._state, time.time()))

    def _choose_again(self, kept: set[str], current: str) -> None:
        """A reset forgot the selection: it is put back on the trials that are still there."""
        selection = self.view.selectionModel()
        if set(self.chosen()) == kept and self.current() == current:
            return
        if current and self.model.row_of(current) >= 0:
            index = self.model.index(self.model.row_of(current))
            selection.setCurrentIndex(index, selection.SelectionFlag.NoUpdate)
        for trial in kept:
            row = self.model.row_of(trial)
            if row >= 0:
                selection.select(self.model.index(row), selection.SelectionFlag.Select)

    def chosen(self, state: str = "") -> tuple[str, ...]:
        """Ids of the selected trials in the queue's order, of one state where given."""
        rows = sorted(i.row() for i in self.view.selectionModel().selectedIndexes())
        picked = [self.model.rows[r] for r in rows if r < len(self.model.rows)]
        return tuple(r.trial for r in picked if not state or r.state == state)

    def current(self) -> str:
        index = self.view.currentIndex()
        return self.model.rows[index.row()].trial if index.isValid() and index.row() < len(self.model.rows) else ""

    def choose(self, trial: str) -> None:
        """Put the selection on a trial without asking to show it."""
        row = self.model.row_of(trial)
        if row >= 0 and self.current() != trial:
            self._quiet = True
            self.view.setCurrentIndex(self.model.index(row))
            self._quiet = False

    # --- what the user does -----------------------------------------------------------------------

    def _current_changed(self) -> None:
        if not self._quiet:
            self._chosen.start()

    def _show_current(self) -> None:
        row = self._current_row()
        if row is not None and row.state != "waiting":
            self.shown_wanted.emit(row.trial)

    def _current_row(self) -> QueueRow | None:
        at = self.model.row_of(self.current()) if self.current() else -1
        return self.model.rows[at] if at >= 0 else None

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        return event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent) and self._key(event)

    def _key(self, event: QKeyEvent) -> bool:
        key = Qt.Key(event.key())
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(key)
        if step is not None and event.modifiers() & Qt.KeyboardModifier.AltModifier:
            self.move_chosen(step)
        elif key == Qt.Key.Key_Delete:
            self.remove()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._show_current()
        else:
            return False
        return True

    def move_chosen(self, step: int) -> None:
        """The selected waiting trials one place up (-1) or down (+1)."""
        order = moved(self.model.waiting, self.chosen("waiting"), step)
        if order != self.model.waiting:
            self.order_wanted.emit(order)

    def remove(self) -> None:
        """The selected waiting trials out of the queue."""
        chosen = self.chosen("waiting")
        if chosen:
            self.removal_wanted.emit(chosen)

    def _to_top(self) -> None:
        chosen = self.chosen("waiting")
        rest = [t for t in self.model.waiting if t not in chosen]
        if chosen and rest:
            self.order_wanted.emit(dropped(self.model.waiting, chosen, rest[0]))

    def _up(self) -> None:
        self.move_chosen(-1)

    def _down(self) -> None:
        self.move_chosen(1)

    def _retry_failed(self) -> None:
        if self._state is not None:
            self.retry_wanted.emit(failed_trials(self._state))

    def _retry_chosen(self) -> None:
        self.retry_wanted.emit(self.chosen("ended"))

    def _resumable(self) -> tuple[str, ...]:
        entries = self._state.in_state("ended") if self._state is not None else ()
        incomplete = {e.trial for e in entries if e.outcome != "completed"}
        return tuple(t for t in self.chosen("ended") if t in incomplete and self.can_resume(t))

    def _resume_chosen(self) -> None:
        self.resume_wanted.emit(self._resumable())

    def _stop_chosen(self) -> None:
        for trial in self.chosen("running"):
            self.stop_wanted.emit(trial)

    def _meter_chosen(self) -> None:
        for trial in self.chosen("ended")[:1]:
            self.meter_wanted.emit(trial)

    def _copy_ids(self) -> None:
        QGuiApplication.clipboard().setText("\n".join(self.chosen()))

    def _open_menu(self, at: QPoint) -> None:
        menu = self.context_menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.view.viewport().mapToGlobal(at))

    def context_menu(self) -> QMenu:
        """What can be done with the selected rows; nothing that cannot."""
        menu = QMenu(self)
        theme = self._theme
        waiting, running, ended = self.chosen("waiting"), self.chosen("running"), self.chosen("ended")
        if running or ended:
            menu.addAction(icon(theme, "pulse"), "Show this trial", self._show_current)
        if running:
            menu.addAction(icon(theme, "stop"), "Stop and keep", self._stop_chosen)
        if waiting:
            menu.addAction(icon(theme, "arrow-up"), "Move up\tAlt+Up", self._up)
            menu.addAction(icon(theme, "arrow-down"), "Move down\tAlt+Down", self._down)
            menu.addAction("Move to the top", self._to_top)
            menu.addAction(icon(theme, "trash"), "Remove from the queue\tDel", self.remove)
        if self._resumable():
            menu.addAction(icon(theme, "play"), "Resume from the last checkpoint", self._resume_chosen)
        if ended:
            menu.addAction(icon(theme, "refresh"), "Run again", self._retry_chosen)
        if len(ended) == 1:
            menu.addAction("Import wall meter readings…", self._meter_chosen)
        if self.chosen():
            menu.addSeparator()
            menu.addAction(icon(theme, "copy"), "Copy trial id", self._copy_ids)
        return menu
