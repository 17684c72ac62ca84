"""The values of one live plot in a line at its top right, at the cursor or the latest. A painted widget.

Too narrow for all of it, the names go first, then all but the first value; both stay in the tooltip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from widgets.theme.theme import Theme


@dataclass(frozen=True)
class Entry:
    """One value: what it is called, its text, the mean from A to B where those are shown, the mark of its curve."""

    title: str
    value: str
    mean: str = ""
    color: QColor | None = None
    mark: Literal["line", "area", ""] = "line"
    help: str = ""

    def said(self) -> str:
        mean = f", mean A–B {self.mean}" if self.mean else ""
        return f"{self.title} {self.value}{mean}"


class Readout(QWidget):
    """As wide as what it says, up to the room it is given."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # the crosshair follows the mouse under it
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._theme = theme
        self._entries: tuple[Entry, ...] = ()
        self._shown: tuple[Entry, ...] = ()
        self._names = True
        self._room: tuple[float, float, float] = (0.0, 0.0, 0.0)
        self._value, self._name = theme.font("dense", 500), theme.font("dense")

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self._entries

    @property
    def shown(self) -> tuple[tuple[Entry, ...], bool]:
        """Which entries there is room for, and whether with their names."""
        return self._shown, self._names

    def show_entries(
        self, entries: tuple[Entry, ...], right: float, top: float, room: float, most: float | None = None
    ) -> None:
        """`right` and `top` are the corner of the plot in the parent's pixels, `room` what is free beside the whole
        title, `most` beside its name alone: what explains the title gives way before a value does."""
        if (entries, (right, top, room)) == (self._entries, self._room):
            return
        self._entries, self._room = entries, (right, top, room)
        most = room if most is None else most
        for self._shown, self._names, free in (
            (entries, True, room),
            (entries, True, most),
            (entries, False, most),
            (entries[:1], False, most),
        ):
            if self._width() <= free:
                break
        wide = min(round(self._width()), max(round(most), 0))
        self.setGeometry(round(right) - wide, round(top) + 1, wide, self._theme.px(20))
        self.setVisible(wide > 0 and bool(entries))
        self.setAccessibleName("Values: " + ", ".join(e.said() for e in entries))
        self.update()

    def _width(self) -> float:
        return self._theme.px(8) + sum(sum(self._parts(e)) + self._theme.px(16) for e in self._shown)

    def _parts(self, entry: Entry) -> tuple[float, float, float]:
        """Widths of an entry's mark, name and value, gaps included."""
        mark = 0.0 if entry.color is None else self._theme.px(20 if entry.mark == "line" else 17)
        name = QFontMetricsF(self._name).horizontalAdvance(entry.title) + self._theme.px(6)
        value = QFontMetricsF(self._value).horizontalAdvance(_value(entry))
        return mark, name if self._names else 0.0, value

    def help(self) -> str:
        """Everything, and what each value is, for the tooltip."""
        return "\n".join(f"{e.said()}{f' – {e.help}' if e.help else ''}" for e in self._entries)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter = self._theme, QPainter(self)
        height = self.height()
        left = float(theme.px(8))
        for entry in self._shown:
            mark, name, value = self._parts(entry)
            if entry.color is not None:
                line = entry.mark == "line"
                edge = theme.px(2 if line else 11)
                painter.fillRect(QRectF(left, (height - edge) / 2, theme.px(14) if line else edge, edge), entry.color)
            left += mark
            for text, width, font, tone in (
                (entry.title, name, self._name, "text.secondary"),
                (_value(entry), value, self._value, "text.primary"),
            ):
                if width:
                    painter.setFont(font)
                    painter.setPen(theme.color(tone))
                    painter.drawText(QRectF(left, 0, width + 2, height), Qt.AlignmentFlag.AlignVCenter, text)
                    left += width
            left += theme.px(16)
        painter.end()


def _value(entry: Entry) -> str:
    return f"{entry.value} · {entry.mean}" if entry.mean else entry.value
