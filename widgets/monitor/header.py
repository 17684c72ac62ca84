"""The head of the Monitor page: which trial, its phases, time left, and what can be done to it. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetricsF, QHelpEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QSizePolicy, QToolTip, QVBoxLayout, QWidget

from widgets.monitor.header_view import HeaderView, Segment
from widgets.parts.components import ElidedLabel, label, line, push_button, set_look
from widgets.parts.layout import flush_column, set_ground
from widgets.theme.icons import icon
from widgets.theme.swatch import Swatch
from widgets.theme.theme import Theme

_KILL_PATIENCE_MS = 5000
_LEAST, _BUTTONS = 340, 40
"""Pixels that title and phases need beside the buttons, and the height of a row of buttons."""


class PhaseBar(QWidget):
    """The phases of a trial in a row: behind it, at it, before it. One painted widget."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._segments: tuple[Segment, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self.setFixedHeight(self._theme.px(30))
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(self._theme.px(408), self._theme.px(30))

    def minimumSizeHint(self) -> QSize:
        return QSize(self._theme.px(120), self._theme.px(30))

    def show_segments(self, segments: tuple[Segment, ...]) -> None:
        if segments != self._segments:
            self._segments = segments
            self.setAccessibleName("Phases: " + ", ".join(f"{s.text} ({s.state})" for s in segments))
            self.update()

    def _places(self) -> list[tuple[float, float, Segment]]:
        """Each segment at least as wide as its words, as far as the width allows."""
        font = self._theme.font("caption", 600)
        metrics = QFontMetricsF(font)
        needs = [metrics.horizontalAdvance(s.text) + 8 for s in self._segments]
        if sum(needs) > self.width():
            needs = [metrics.horizontalAdvance(s.short or s.text) + 8 for s in self._segments]
        shares = sum(s.share for s in self._segments) or 1.0
        extra = self.width() - sum(needs)
        x, places = 0.0, []
        for segment, need in zip(self._segments, needs, strict=True):
            wide = need + extra * segment.share / shares if extra >= 0 else self.width() * need / sum(needs)
            places.append((x, wide, segment))
            x += wide
        return places

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter = self._theme, QPainter(self)
        for x, wide, segment in self._places():
            bar = QRectF(x, theme.px(4), wide - 2, theme.px(7))
            painter.fillRect(bar, theme.color("border.default" if segment.state == "now" else "border.subtle"))
            if segment.fill > 0:
                done = theme.color("accent.default")
                painter.setOpacity(1.0 if segment.state == "now" else 0.6)
                painter.fillRect(QRectF(x, bar.top(), bar.width() * segment.fill, bar.height()), done)
                painter.setOpacity(1.0)
            for mark in segment.marks:
                notch = QRectF(x + bar.width() * mark - 1, bar.top() - 1, 2, bar.height() + 2)
                painter.fillRect(notch, theme.color("bg.panel"))
            now = segment.state == "now"
            painter.setFont(theme.font("caption", 600 if now else 400))
            painter.setPen(theme.color("text.primary" if now else "text.muted"))
            whole = painter.fontMetrics().horizontalAdvance(segment.text) <= wide - 2
            text = segment.text if whole else segment.short or segment.text
            text = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, int(wide - 2))
            painter.drawText(QRectF(x, theme.px(14), wide, theme.px(16)), Qt.AlignmentFlag.AlignVCenter, text)
        painter.end()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            at = next((s for x, wide, s in self._places() if x <= event.pos().x() < x + wide), None)
            QToolTip.showText(event.globalPos(), "" if at is None else f"{at.text} ({at.state})", self)
            return True
        return super().event(event)


class TrialHeader(QFrame):
    """Swatch and title, one line about it, the phase bar, time left, and three buttons. Kill asks once, in place."""

    pause_requested = Signal()
    stop_requested = Signal()
    kill_requested = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        set_ground(self, "panel")
        self.setAccessibleName("Trial")
        self._swatch = Swatch(theme)
        self.title = ElidedLabel(role="trial_title", mode=Qt.TextElideMode.ElideMiddle)
        self.line = ElidedLabel(role="dense", tone="muted")
        self.bar = PhaseBar(theme)
        self.left = label(role="page_title")
        self.so_far = label(role="dense", tone="muted")
        for text in (self.left, self.so_far):
            text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.pause = push_button("Pause after this", self.pause_requested.emit)
        self.stop = push_button("Stop and keep", self.stop_requested.emit)
        self.kill = push_button("Kill", self._ask_or_kill, kind="danger")
        self.pause.setToolTip("This trial ends as planned; no other starts until the queue is resumed")
        self.stop.setToolTip("End this trial now and keep what was measured (Ctrl+.)")
        self.kill.setToolTip("End the process at once; what was measured so far is kept, the rest is lost")
        self._asking = QTimer(self, interval=_KILL_PATIENCE_MS, singleShot=True)
        self._asking.timeout.connect(self._stop_asking)
        names = QVBoxLayout()
        names.setSpacing(0)
        first = QHBoxLayout()
        first.setSpacing(8)
        first.addWidget(self._swatch)
        first.addWidget(self.title, 1)
        names.addStretch(1)
        names.addLayout(first)
        names.addWidget(self.line)
        names.addStretch(1)
        times = QVBoxLayout()
        times.setSpacing(0)
        times.addStretch(1)
        times.addWidget(self.left)
        times.addWidget(self.so_far)
        times.addStretch(1)
        outer = flush_column(self)
        self._row = QHBoxLayout()
        self._row.addLayout(names, 4)
        self._row.addWidget(self.bar, 4)
        self._row.addSpacing(8)
        self._row.addLayout(times)
        self._row.addSpacing(4)
        self._times = times
        self._buttons = QHBoxLayout()
        self._buttons.addStretch(1)
        for button in (self.pause, self.stop, self.kill):
            self._buttons.addWidget(button)
        self._parts = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._parts.addLayout(self._row, 1)
        self._parts.addLayout(self._buttons)
        outer.addLayout(self._parts, 1)
        outer.addWidget(line(self))
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        theme = self._theme
        self._parts.setContentsMargins(theme.px(12), 0, theme.px(12), 0)
        for row in (self._row, self._buttons, self._parts):
            row.setSpacing(theme.px(8))
        for button, name, color in (
            (self.pause, "pause", "text.secondary"),
            (self.stop, "stop", "text.secondary"),
            (self.kill, "kill", "status.error"),
        ):
            button.setIcon(icon(theme, name, color))
            button.setIconSize(QSize(theme.icon_size(), theme.icon_size()))
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """The buttons beside the rest, or under it where large text leaves no room."""
        px = self._theme.px
        shown = [button for button in (self.pause, self.stop, self.kill) if not button.isHidden()]
        buttons = sum(button.sizeHint().width() + px(8) for button in shown)
        below = px(_LEAST) + self._times.sizeHint().width() + buttons > self.width()
        directions = QBoxLayout.Direction
        self._parts.setDirection(directions.TopToBottom if below else directions.LeftToRight)
        self.setFixedHeight(px(64 + _BUTTONS * (below and bool(shown))))

    def show_view(self, view: HeaderView, paused: bool) -> None:
        """Show a trial. Buttons that would do nothing are hidden, not grey."""
        self._swatch.set_run(view.color)
        self.title.setText(view.title)
        self.line.setText(view.line)
        set_look(self.line, tone=view.status or "muted")
        self.bar.show_segments(view.segments)
        self.left.setText(view.left)
        self.left.setVisible(bool(view.left))
        self.so_far.setText(view.so_far)
        self.pause.setText("Resume after this" if paused else "Pause after this")
        for button in (self.pause, self.stop, self.kill):
            button.setVisible(view.running)
        if not view.running:
            self._stop_asking()
        self._fit()

    def _ask_or_kill(self) -> None:
        if self._asking.isActive():
            self._stop_asking()
            self.kill_requested.emit()
            return
        self.kill.setText("Kill now? Click again")
        self._asking.start()

    def _stop_asking(self) -> None:
        self._asking.stop()
        self.kill.setText("Kill")
