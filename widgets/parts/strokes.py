"""Strokes that the delegates of Setup share: ticks, chevrons, grounds, elided text. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyleOptionViewItem

from widgets.theme.icons import pixmap
from widgets.theme.theme import Theme

LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
MIDDLE = Qt.AlignmentFlag.AlignCenter


def draw_check(painter: QPainter, theme: Theme, box: QRect, checked: bool, enabled: bool = True) -> None:
    """A tick box of 16 px in the middle of `box`, as the style sheet draws those of forms."""
    edge = theme.px(16)
    area = QRectF(0, 0, edge - 1, edge - 1)
    area.moveCenter(QPointF(box.x() + box.width() / 2, box.y() + box.height() / 2))
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    radius = float(theme.radius("checkbox"))
    if checked and enabled:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("accent.default"))
        painter.drawRoundedRect(area.adjusted(-0.5, -0.5, 0.5, 0.5), radius, radius)
    else:
        painter.setPen(QPen(theme.color("border.control" if enabled else "border.default"), 1))
        painter.setBrush(theme.color("bg.base" if enabled else "bg.disabled"))
        painter.drawRoundedRect(area, radius, radius)
    if checked:
        draw_icon(painter, theme, "check", "text.on_accent" if enabled else "text.muted", area.toAlignedRect(), 14)
    painter.restore()


def draw_icon(painter: QPainter, theme: Theme, name: str, color: str, box: QRect, size: int = 16) -> None:
    """An icon in the middle of `box`."""
    picture = pixmap(theme, name, color, size, painter.device().devicePixelRatioF())
    edge = picture.deviceIndependentSize().width()
    x = box.x() + (box.width() - edge) / 2
    y = box.y() + (box.height() - edge) / 2
    painter.drawPixmap(QRectF(round(x), round(y), edge, edge), picture, QRectF(picture.rect()))


def draw_text(
    painter: QPainter, font: QFont, color: QColor, box: QRect, text: str, flags: Qt.AlignmentFlag = LEFT
) -> None:
    """One line, ended by an ellipsis where it does not fit."""
    painter.setFont(font)
    painter.setPen(color)
    shown = QFontMetrics(font).elidedText(text, Qt.TextElideMode.ElideRight, box.width())
    painter.drawText(box, int(flags), shown)


def draw_ground(painter: QPainter, theme: Theme, option: QStyleOptionViewItem, *, chosen: bool = False) -> None:
    """Ground of a row: chosen, hovered, or the list's own."""
    if chosen or option.state & QStyle.StateFlag.State_Selected:
        painter.fillRect(option.rect, theme.color("bg.selected"))
    elif option.state & QStyle.StateFlag.State_MouseOver:
        painter.fillRect(option.rect, theme.color("bg.hover"))


def draw_focus(painter: QPainter, theme: Theme, rect: QRect) -> None:
    """The ring inside a row that the keyboard is on."""
    painter.save()
    width = float(theme.tokens["line"]["focus"])
    painter.setPen(QPen(theme.color("border.focus"), width))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRect(QRectF(rect).adjusted(width / 2, width / 2, -width / 2, -width / 2))
    painter.restore()


def draw_button(painter: QPainter, theme: Theme, rect: QRect, text: str, *, hovered: bool = False) -> None:
    """A bordered button of 20 px inside a row."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(theme.color("border.control"), 1))
    painter.setBrush(theme.color("bg.hover" if hovered else "bg.base"))
    radius = float(theme.radius("control"))
    painter.drawRoundedRect(QRectF(rect).adjusted(0.5, 0.5, -0.5, -0.5), radius, radius)
    painter.setFont(theme.font("dense"))
    painter.setPen(theme.color("text.primary"))
    painter.drawText(rect, int(MIDDLE), text)
    painter.restore()


def button_width(theme: Theme, text: str) -> int:
    return QFontMetrics(theme.font("dense")).horizontalAdvance(text) + 2 * theme.px(8)
