"""The phase lane above the live charts and their shared axis below: two painted widgets. Main thread."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QHelpEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.charts.axes import Ticks
from widgets.charts.phases import Placed, Span
from widgets.theme.theme import Theme

_CENTER = Qt.AlignmentFlag.AlignCenter
_MARK = 6
"""Pixels of an evaluation on an axis where it takes no room."""


class PhaseLane(QWidget):
    """Named blocks of the phases, 24 px high; names only where they fit, else in the tooltip. Flags of A and B."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._spans: Placed = []
        self._flags: tuple[tuple[str, float, str], ...] = ()
        self._left, self._width = 0.0, 0.0
        self._legend: tuple[tuple[str, str], ...] = ()
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self.setFixedHeight(self._theme.height("phase_lane"))
        self.update()

    def show_spans(self, spans: Placed, left: float, width: float) -> None:
        """Blocks in pixels of the plot that begins at `left` and is `width` wide."""
        if (spans, left, width) == (self._spans, self._left, self._width):
            return
        self._spans, self._left, self._width = spans, left, width
        names = dict.fromkeys(span.title for _, _, span in spans)
        self.setAccessibleName("Phases: " + ", ".join(names) if names else "Phases")
        self.update()

    def show_flags(self, flags: tuple[tuple[str, float, str], ...]) -> None:
        """(letter, pixel, colour token) of the cursors in view."""
        if flags != self._flags:
            self._flags = flags
            self.update()

    def show_legend(self, phases: tuple[tuple[str, str], ...]) -> bool:
        """(title, colour name) of the phases whose names do not fit their blocks. -> whether there is room for them"""
        taken = max((right for _, right, _ in self._spans), default=0.0)
        fits = taken + legend_width(self._theme, phases) < self._width
        if (phases if fits else ()) != self._legend:
            self._legend = phases if fits else ()
            self.update()
        return fits

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter = self._theme, QPainter(self)
        height = self.height()
        painter.fillRect(self.rect(), theme.color("bg.header"))
        painter.setFont(theme.font("caption"))
        painter.setPen(theme.color("text.muted"))
        painter.drawText(
            QRectF(0, 0, self._left - 6, height),
            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
            "Phase",
        )
        painter.fillRect(QRectF(self._left, 0, self._width, height), theme.color("chart.background"))
        metrics = QFontMetricsF(painter.font())
        colors = {c: theme.phase_color(c, "lane") for c in {s.color for _, _, s in self._spans}}
        widths = {t: metrics.horizontalAdvance(t) + 6 for t in {s.title for _, _, s in self._spans}}
        for left, right, span in self._spans:
            block = QRectF(self._left + left, 2, max(right - left - 1, 1), height - 5)
            if span.is_mark:
                wide = theme.px(_MARK)
                block = QRectF(self._left + min(max(left - wide / 2, 0), self._width - wide), 2, wide, height - 5)
            painter.fillRect(block, colors[span.color])
            if widths[span.title] <= block.width():
                painter.setPen(theme.color("text.primary"))
                inner = block.adjusted(4 if block.width() < 60 else 6, 0, 0, 0)
                painter.drawText(inner, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, span.title)
        painter.setFont(theme.font("caption", 600))
        for letter, x, color in self._flags:
            flag = QRectF(self._left + x - 7, 2, 14, height - 5)
            painter.fillRect(flag, theme.color(color))
            painter.setPen(theme.color("chart.background"))
            painter.drawText(flag, _CENTER, letter)
        paint_legend(painter, theme, self._left + self._width, height, self._legend)
        painter.fillRect(QRectF(0, height - 1, self.width(), 1), theme.color("border.default"))
        painter.end()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            x = event.pos().x() - self._left
            near = self._theme.px(_MARK) / 2
            under = (s for a, b, s in reversed(self._spans) if a - near * s.is_mark <= x <= b + near * s.is_mark)
            at = next(under, None)
            QToolTip.showText(event.globalPos(), "" if at is None else described(at), self)
            return True
        return super().event(event)


def described(span: Span) -> str:
    """ "decode 3: 12.1 s to 18.0 s, 5.9 s"."""
    number = f" {span.index + 1}" if span.phase in ("prefill", "decode", "step") else ""
    return f"{span.title}{number}: {span.start:.1f} s to {span.end:.1f} s, {span.end - span.start:.3g} s"


def legend_width(theme: Theme, phases: tuple[tuple[str, str], ...]) -> float:
    metrics = QFontMetricsF(theme.font("caption"))
    return sum(theme.px(28) + metrics.horizontalAdvance(title) for title, _ in phases)


def paint_legend(
    painter: QPainter, theme: Theme, right: float, height: int, phases: tuple[tuple[str, str], ...]
) -> None:
    """Colours and names of phases, ending at `right`."""
    painter.setFont(theme.font("caption"))
    metrics = QFontMetricsF(painter.font())
    left, edge = right - legend_width(theme, phases), theme.px(11)
    for title, color in phases:
        painter.fillRect(QRectF(left, (height - edge) / 2, edge, edge), theme.phase_color(color, "lane"))
        painter.setPen(theme.color("text.secondary"))
        painter.drawText(QPointF(left + theme.px(16), height / 2 + metrics.ascent() / 2 - 1), title)
        left += theme.px(28) + metrics.horizontalAdvance(title)


class PhaseLegend(QWidget):
    """Which phase has which colour, beside the lane where that has no room to say so."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._phases: tuple[tuple[str, str], ...] = ()
        theme.follow(self._restyle)

    def show_phases(self, phases: tuple[tuple[str, str], ...]) -> None:
        """(title, colour name)"""
        if phases != self._phases:
            self._phases = phases
            self.setAccessibleName("Phases: " + ", ".join(title for title, _ in phases) if phases else "")
            self._restyle()

    def _restyle(self) -> None:
        self.setFixedWidth(math.ceil(legend_width(self._theme, self._phases)))
        self.setVisible(bool(self._phases))
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_legend(painter, self._theme, self.width(), self.height(), self._phases)
        painter.end()


class AxisStrip(QWidget):
    """Ticks of the axis that all plots share, its unit, and the crosshair's place as a tag."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._ticks = Ticks((), (), 1.0)
        self._places: Sequence[float] = ()
        self._unit = ""
        self._left, self._width = 0.0, 0.0
        self._tag: tuple[float, str] | None = None
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self.setFixedHeight(self._theme.height("phase_lane"))
        self.update()

    def show_ticks(self, shown: Ticks, places: Sequence[float], unit: str, left: float, width: float) -> None:
        now = (shown, places, unit, left, width)
        if now != (self._ticks, self._places, self._unit, self._left, self._width):
            self._ticks, self._places, self._unit, self._left, self._width = now
            self.update()

    def show_tag(self, tag: tuple[float, str] | None) -> None:
        """(pixel, text) of the crosshair."""
        if tag != self._tag:
            self._tag = tag
            self.update()

    def _tag_rect(self) -> QRectF | None:
        """Where the crosshair's place is written; ticks under it are left out."""
        if self._tag is None:
            return None
        x, text = self._tag
        wide = QFontMetricsF(self._theme.font("caption", 600)).horizontalAdvance(text) + 12
        left = min(max(self._left + x - wide / 2, 0.0), self._left + self._width + 20 - wide)
        return QRectF(left, 3, wide, self.height() - 6)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter = self._theme, QPainter(self)
        height = self.height()
        painter.fillRect(self.rect(), theme.color("bg.panel"))
        painter.fillRect(QRectF(0, 0, self.width(), 1), theme.color("border.default"))
        painter.setFont(theme.font("caption"))
        painter.setPen(theme.color("chart.tick_text"))
        metrics = QFontMetricsF(painter.font())
        tag, end = self._tag_rect(), self._left + self._width
        for text, x in zip(self._ticks.texts, self._places, strict=True):
            width = metrics.horizontalAdvance(text)
            place = QRectF(self._left + x - width / 2, 0, width, height)
            if tag is None or not tag.adjusted(-4, 0, 4, 0).intersects(place):
                painter.drawText(QPointF(place.left(), height / 2 + metrics.ascent() / 2), text)
        painter.drawText(QPointF(end + theme.px(12), height / 2 + metrics.ascent() / 2), self._unit)
        if tag is not None and self._tag is not None:
            painter.setFont(theme.font("caption", 600))
            painter.fillRect(tag, theme.color("chart.crosshair"))
            painter.setPen(QPen(theme.color("chart.background")))
            painter.drawText(tag, _CENTER, self._tag[1])
        painter.end()
