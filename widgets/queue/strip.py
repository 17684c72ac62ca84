"""The strip at the bottom that is always there: pause, what runs, one bar, time left, what is next, counts, open.

Drawn from `widgets.queue.strip_view`; it repaints when the queue changes and, while something runs, once a second for
the time left. Main thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QWidget

from engines.protocol.messages import QueueState
from widgets.parts.components import Chip, ElidedLabel, ToolButton, label, line
from widgets.queue.strip_view import StripView, strip_view
from widgets.theme.swatch import Swatch
from widgets.theme.theme import Theme


class QueueStrip(QFrame):
    """44 px. The window connects the signals to the workbench."""

    pause_toggled = Signal(bool)
    opened = Signal()
    """Show the queue (the Monitor page)."""
    failures_opened = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._state: QueueState | None = None
        self._note = ""
        self.view: StripView = strip_view(None, 0.0)
        self.setProperty("ground", "panel")
        self.setAccessibleName("Queue")
        self.setProperty("edge", "top")
        self._row = QHBoxLayout(self)

        self.pause = ToolButton(theme, "pause", "Pause queue", parent=self)
        self.pause.clicked.connect(self._toggle_pause)
        self._swatch = Swatch(theme, dot=True, parent=self)
        # titles differ at their ends, so they give way in the middle
        self.title = ElidedLabel(mode=Qt.TextElideMode.ElideMiddle, parent=self)
        self.title.setProperty("strong", "600")
        self.detail = ElidedLabel(tone="muted", parent=self)
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 1000)
        self.bar.setAccessibleName("Progress of the experiment")
        self.left = label(tone="secondary")
        self.next = ElidedLabel(tone="muted", mode=Qt.TextElideMode.ElideMiddle, parent=self)
        self.waiting = Chip(theme, parent=self)
        self.failed = ToolButton(theme, "error", "0 failed", compact=True, color="status.error", parent=self)
        self.failed.clicked.connect(self.failures_opened)
        self.open = ToolButton(theme, "chevron-up", "Queue", "Show the queue on the Monitor page", parent=self)
        self.open.clicked.connect(self.opened)

        self._row.addWidget(self.pause)
        self._row.addWidget(line(self, vertical=True, short=True))
        left: tuple[QWidget, ...] = (self._swatch, self.title, self.detail, self.bar, self.left)
        right: tuple[QWidget, ...] = (self.next, self.waiting, self.failed, self.open)
        for widget in left:
            self._row.addWidget(widget)
        self._row.addStretch(1)
        for widget in right:
            self._row.addWidget(widget)

        self._clock = QTimer(self, interval=1000)
        self._clock.timeout.connect(self._tick)
        theme.follow(self._restyle)
        self._show()

    def set_queue(self, state: QueueState | None, paused: Sequence[str] = (), silent: Sequence[str] = ()) -> None:
        """The runners' queue; None while it is not known. `paused`: names of those that are, where others are not;
        `silent`: of those with running trials that do not answer."""
        self._state = state
        notes = [f"{', '.join(paused)} paused"] if paused else []
        notes += [f"no answer from {', '.join(silent)}"] if silent else []
        self._note = " · ".join(notes)
        self._tick()
        self._keep_time()

    def _tick(self) -> None:
        view = strip_view(self._state, time.time(), self._note)
        if view != self.view:
            self.view = view
            self._show()

    def _toggle_pause(self) -> None:
        self.pause_toggled.emit(not self.view.paused)

    def _show(self) -> None:
        view = self.view
        busy = bool(view.running)
        self.pause.set_icon("play" if view.paused else "pause")
        self.pause.setText("Resume" if view.paused else "Pause queue")
        known = self._state is not None and (busy or view.waiting > 0 or view.paused)
        self.pause.setEnabled(known)
        tip = "Start the next trial again" if view.paused else "Finish what runs and start nothing new"
        self.pause.set_tip(tip if known else "There is nothing to pause: no trial runs or waits")
        self.pause.setAccessibleName(self.pause.text())
        self._swatch.set_run(view.color)
        self._swatch.setVisible(busy)
        self.title.setVisible(busy)
        self.title.setText(view.running)
        paused = "the queue is paused" if view.paused else ""
        self.detail.setText(" · ".join(t for t in (view.detail, paused) if t) if busy else view.idle)
        self.bar.setVisible(busy and view.fraction is not None)
        self.bar.setValue(round((view.fraction or 0.0) * 1000))
        self.left.setVisible(bool(view.left))
        self.left.setText(view.left)
        self.next.setVisible(bool(view.next))
        self.next.setText(f"Next: {view.next}")
        self.waiting.setVisible(view.waiting > 0)
        self.waiting.set(f"{view.waiting} waiting")
        self.failed.setVisible(view.failed > 0)
        self.failed.setText(f"{view.failed} failed")
        self.failed.setAccessibleName(self.failed.text())
        self.failed.set_tip("Show what failed on the Monitor page")
        self.setAccessibleDescription(view.summary)

    def _keep_time(self) -> None:
        """The clock runs only while there is a time left to count and someone to see it."""
        wanted = bool(self.view.running) and self.isVisible()
        if wanted != self._clock.isActive():
            self._clock.start() if wanted else self._clock.stop()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._tick()
        self._keep_time()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._keep_time()

    def _restyle(self) -> None:
        px = self._theme.px
        self.setFixedHeight(self._theme.height("queue_strip"))
        self._row.setContentsMargins(px(12), 0, px(8), 0)
        self._row.setSpacing(px(10))
        self.bar.setMinimumWidth(px(80))
        self.bar.setMaximumWidth(px(240))
