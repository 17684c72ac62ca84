"""The head of the comparison table: title and, under it, unit with the better direction. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import QHeaderView, QWidget

from widgets.compare.table.delegate import PAD
from widgets.compare.table.model import CompareModel
from widgets.compare.table.views import Column
from widgets.theme.icons import pixmap
from widgets.theme.theme import Theme

_CHEVRON = 14


class TwoLineHeader(QHeaderView):
    """Paints `CompareModel`'s columns; `sort` and `descending` say which one carries the chevron."""

    def __init__(self, theme: Theme, model: CompareModel, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._theme = theme
        self._compare = model
        self.sort = ""
        self.descending = False
        self.setHighlightSections(False)
        self.setSectionsMovable(False)
        self.setStretchLastSection(False)
        self.setMinimumSectionSize(56)
        self.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), self._theme.height("table_header_two_lines"))

    def width_of(self, column: Column, first: int) -> int:
        """What the head of a column needs (px); `first` is where its text begins."""
        upper = QFontMetrics(self._theme.font("body", 600)).horizontalAdvance(column.title)
        lower = QFontMetrics(self._theme.font("dense")).horizontalAdvance(column.detail)
        return max(upper + self._theme.px(_CHEVRON + 4), lower) + first + self._theme.px(PAD)

    def paintSection(self, painter: QPainter, rect: QRect, section: int) -> None:
        theme, px = self._theme, self._theme.px
        painter.save()
        painter.fillRect(rect, theme.color("bg.header"))
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), theme.color("border.default"))
        column = self._compare.column_at(section)
        if column is not None:
            self._paint_column(painter, rect, section, column, px(86) if section == 0 else px(PAD))
        painter.restore()

    def _paint_column(self, painter: QPainter, rect: QRect, section: int, column: Column, left: int) -> None:
        theme, px = self._theme, self._theme.px
        numbers = column.kind != "label"
        side = Qt.AlignmentFlag.AlignRight if numbers else Qt.AlignmentFlag.AlignLeft
        align = side | Qt.AlignmentFlag.AlignVCenter
        box = rect.adjusted(px(PAD) if numbers else left, 0, -px(PAD), -1)
        upper = QRect(box.left(), rect.top() + px(3), box.width(), px(18))
        lower = QRect(box.left(), upper.bottom() + 1, box.width(), px(15))
        if not column.detail:
            upper = upper.united(lower)
        sorted_ = column.key == self.sort
        painter.setFont(theme.font("body", 600 if column.kind == "metric" else 500))
        painter.setPen(theme.color("text.primary" if column.kind == "metric" or sorted_ else "text.secondary"))
        if sorted_:
            edge = px(_CHEVRON)
            picture = pixmap(
                theme,
                "chevron-down" if self.descending else "chevron-up",
                "text.primary",
                _CHEVRON,
                painter.device().devicePixelRatioF(),
            )
            width = painter.fontMetrics().horizontalAdvance(column.title)
            x = upper.right() - edge + 1 if numbers else upper.left() + min(width, upper.width() - edge) + px(3)
            y = upper.center().y() - edge / 2 + 1
            painter.drawPixmap(QRectF(x, y, edge, edge), picture, QRectF(picture.rect()))
            upper = upper.adjusted(0, 0, -edge - px(2), 0)
        title = painter.fontMetrics().elidedText(column.title, Qt.TextElideMode.ElideRight, upper.width())
        painter.drawText(upper, align, title)
        painter.setFont(theme.font("dense"))
        painter.setPen(theme.color("text.muted"))
        painter.drawText(lower, align, column.detail)
