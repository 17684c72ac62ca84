"""Paints the cells of the comparison: two lines, verdict words in their colours, swatch, eye, expander. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QObject, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from widgets.compare.table.model import CELL_ROLE, ROW_ROLE
from widgets.compare.table.views import CellView, RowView
from widgets.parts.two_levels import Index
from widgets.theme.icons import pixmap
from widgets.theme.run_paint import paint_swatch
from widgets.theme.swatch import EDGE
from widgets.theme.theme import Theme

PAD = 12
_EXPANDER, _SWATCH, _EYE, _TEXT = 10, 36, 58, 86
"""Left ends (px) of what precedes the text in the first column."""
_PIN = 20
TONES = {
    "good": "status.good",
    "bad": "status.bad",
    "warn": "status.warn",
    "mark": "status.warn",  # of what is below a figure; the figure itself is not flagged
    "error": "status.error",
    "muted": "text.muted",
    "": "text.muted",
}
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_ELIDE_RIGHT = Qt.TextElideMode.ElideRight
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class CompareDelegate(QStyledItemDelegate):
    """Sizes and paints; `parts` of the first column tell the table what was clicked."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.ringed: tuple[str, int] | None = None
        """(row key, column) of the cell whose card is open."""

        self.restyle()

    def restyle(self) -> None:
        """Take the theme's fonts to measure with."""
        self._upper = QFontMetrics(self._theme.font("body", 500))
        self._lower = QFontMetrics(self._theme.font("dense"))

    # --- sizes ------------------------------------------------------------------------------------

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        row = index.data(ROW_ROLE)
        two = not isinstance(row, RowView) or not row.trial or bool(row.message) or row.flat
        return QSize(0, self._theme.height("row_two_lines" if two else "tree_row"))

    def width_of(self, cell: CellView, *, first: bool, numbers: bool) -> int:
        """What a cell needs so that nothing of it is cut (px)."""
        upper, lower = self._upper, self._lower
        gap = self._theme.px(6)
        if numbers:
            one = upper.horizontalAdvance(cell.text) + (lower.horizontalAdvance(cell.word) + gap if cell.word else 0)
        else:
            one = upper.horizontalAdvance(cell.text)
        two = sum(lower.horizontalAdvance(p) for p in (cell.second, cell.rest) if p)
        two += gap if cell.second and cell.rest else 0
        before = self._theme.px(_TEXT + _PIN if first else PAD)
        # widths of letters are fractions, rounded down: a pixel less than the text needs cuts two letters off
        return max(one, two) + 2 + before + self._theme.px(PAD)

    def parts(self, rect: QRect) -> dict[str, QRect]:
        """Places of expander and eye in the first column's cell."""
        px = self._theme.px
        return {
            "expander": QRect(rect.left(), rect.top(), px(_SWATCH - 2), rect.height()),
            "eye": QRect(rect.left() + px(_EYE - 5), rect.top(), px(26), rect.height()),
        }

    # --- painting ---------------------------------------------------------------------------------

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row, cell = index.data(ROW_ROLE), index.data(CELL_ROLE)
        if not isinstance(row, RowView) or not isinstance(cell, CellView):
            return
        painter.save()
        rect = QRect(option.rect)
        self._ground(painter, option, row, rect)
        first = index.column() == 0
        align = index.data(Qt.ItemDataRole.TextAlignmentRole)
        lines = self._lines(rect, row)
        if first:
            opened = bool(option.state & QStyle.StateFlag.State_Open)
            self._lead(painter, row, rect if not row.message else lines[0], opened)
        if align is None:
            self._labels(painter, row, cell, lines, first)
        else:
            self._figures(painter, row, cell, lines)
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), self._theme.color("border.subtle"))
        if self._is_ringed(option, row, index):
            painter.setPen(QPen(self._theme.color("border.focus"), 2))
            painter.drawRect(rect.adjusted(1, 1, -1, -2))
        painter.restore()

    def _is_ringed(self, option: QStyleOptionViewItem, row: RowView, index: Index) -> bool:
        if self.ringed == (row.key, index.column()):
            return True
        return bool(option.state & QStyle.StateFlag.State_HasFocus)

    def _ground(self, painter: QPainter, option: QStyleOptionViewItem, row: RowView, rect: QRect) -> None:
        color = "bg.base"
        if option.state & QStyle.StateFlag.State_Selected:
            color = "bg.selected"
        elif option.state & QStyle.StateFlag.State_MouseOver:
            color = "bg.hover"
        elif row.baseline:
            color = "bg.header"
        elif row.trial and not row.flat:
            color = "bg.alternate"
        painter.fillRect(rect, self._theme.color(color))

    def _lines(self, rect: QRect, row: RowView) -> tuple[QRect, QRect]:
        """The two lines of a row; for a trial of one line both are the whole."""
        px = self._theme.px
        if row.trial and not row.message and not row.flat:
            return rect, QRect()
        upper = QRect(rect.left(), rect.top() + px(3), rect.width(), px(18))
        return upper, QRect(rect.left(), upper.bottom() + 1, rect.width(), px(15))

    def _lead(self, painter: QPainter, row: RowView, rect: QRect, opened: bool) -> None:
        px = self._theme.px
        middle = rect.center().y() + 1
        if not row.trial and row.children:
            name = "chevron-down" if opened else "chevron-right"
            self._icon(painter, name, "text.secondary", QPoint(rect.left() + px(_EXPANDER), middle))
        if row.trial and not row.flat:
            return
        self._swatch(painter, row, rect.left() + px(_SWATCH), middle)
        eye = "eye-off" if row.hidden else "eye"
        self._icon(
            painter, eye, "text.muted" if row.hidden else "text.secondary", QPoint(rect.left() + px(_EYE), middle)
        )

    def _icon(self, painter: QPainter, name: str, tint: str, at: QPoint) -> None:
        """An icon of 16 px with its left end at `at`, in the middle of its height."""
        picture = pixmap(self._theme, name, tint, 16, painter.device().devicePixelRatioF())
        edge = picture.deviceIndependentSize().height()
        painter.drawPixmap(QRectF(at.x(), at.y() - edge / 2, edge, edge), picture, QRectF(picture.rect()))

    def _swatch(self, painter: QPainter, row: RowView, left: int, middle: int) -> None:
        """What the configuration's points and bars of the charts look like."""
        edge = self._theme.px(EDGE)
        paint_swatch(painter, self._theme, QRectF(left, middle - edge / 2, edge, edge), row.color, faded=row.hidden)

    def _labels(self, painter: QPainter, row: RowView, cell: CellView, lines: tuple[QRect, QRect], first: bool) -> None:
        theme, px = self._theme, self._theme.px
        left, right = px(_TEXT if first else PAD), px(PAD + (_PIN if first and row.baseline else 0))
        upper, lower = (line.adjusted(left, 0, -right, 0) for line in lines)
        single = not cell.rest and not cell.second
        if single and not row.message and lower.height() > 0:
            upper = upper.united(lower)
        trial = bool(row.trial) and not row.flat
        painter.setFont(theme.font("dense") if trial else theme.font("body", 500 if first else None))
        painter.setPen(theme.color("text.muted" if row.hidden else "text.secondary" if trial else "text.primary"))
        text = _elided(painter, cell.text, upper.width())
        painter.drawText(upper, _LEFT, text)
        if first and row.baseline:
            after = upper.left() + painter.fontMetrics().horizontalAdvance(text) + px(6)
            self._icon(painter, "pin", "text.secondary", QPoint(after, upper.center().y() + 1))
        if not single:
            painter.setFont(theme.font("dense"))
            painter.setPen(theme.color("text.muted"))
            text = " ".join(p for p in (cell.second, cell.rest) if p)
            painter.drawText(lower, _LEFT, _elided(painter, text, lower.width()))

    def _figures(self, painter: QPainter, row: RowView, cell: CellView, lines: tuple[QRect, QRect]) -> None:
        theme, pad, gap = self._theme, self._theme.px(PAD), self._theme.px(6)
        upper, lower = (line.adjusted(pad, 0, -pad, 0) for line in lines)
        if not cell.second and not cell.rest and not row.message and lower.height() > 0:
            upper = upper.united(lower)
        tone = theme.color(TONES[cell.tone])
        trial = bool(row.trial) and not row.flat
        painter.setFont(theme.font("dense") if trial else theme.font("body", 500))
        quiet = row.hidden or cell.missing or (bool(row.trial) and cell.tone == "muted" and not cell.second)
        painter.setPen(theme.color("text.muted") if quiet else theme.color("text.primary"))
        if cell.tone in ("warn", "error") and not row.flat and not cell.text.isdigit():
            painter.setPen(tone)  # "2 of 3" is the news; a whole count is not, only what is said of it
        painter.drawText(upper, _RIGHT, cell.text)
        used = painter.fontMetrics().horizontalAdvance(cell.text)
        painter.setFont(theme.font("dense"))
        if cell.word:
            painter.setPen(tone)
            room = upper.width() - used - gap
            place = upper.adjusted(0, 0, -used - gap, 0)
            painter.drawText(place, _RIGHT, painter.fontMetrics().elidedText(cell.word, _ELIDE_RIGHT, max(room, 0)))
        painter.setPen(theme.color("text.muted"))
        painter.drawText(lower, _RIGHT, cell.rest)
        if cell.second:
            used = painter.fontMetrics().horizontalAdvance(cell.rest) + gap if cell.rest else 0
            painter.setPen(tone)
            place = lower.adjusted(0, 0, -used, 0)
            text = cell.second if cell.rest else _elided(painter, cell.second, place.width())
            painter.drawText(place, _RIGHT, text)


def message_left(theme: Theme) -> int:
    """Where a trial's message begins in its row (px)."""
    return theme.px(_TEXT)


def _elided(painter: QPainter, text: str, width: int) -> str:
    return painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, max(width, 0))
