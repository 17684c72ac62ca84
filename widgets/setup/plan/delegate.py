"""Paints the plan's rows: tick or error, words, the memory bar, the problem with its fixes. Main thread."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QWidget

from engines.protocol.problems import Fix
from widgets.parts.components import STATUS_ICONS
from widgets.parts.strokes import (
    LEFT,
    RIGHT,
    button_width,
    draw_button,
    draw_check,
    draw_focus,
    draw_ground,
    draw_icon,
    draw_text,
)
from widgets.setup.plan.columns import needs_text
from widgets.setup.plan.model import COLUMN_ROLE, ROW_ROLE, Index
from widgets.setup.plan.rows import PlanRow
from widgets.theme.theme import Theme
from workbench.plan.plan import MemoryEstimate

_TONES = {"error": "status.error", "warning": "status.warn", "note": "text.secondary"}
_ICONS = {"error": "error", "warning": "warning", "note": "info"}
_LEAST_TEXT = 120


@dataclass(frozen=True)
class Button:
    """A painted button of a problem cell. `fix` None: it opens the menu of all fixes."""

    rect: QRect
    text: str
    fix: Fix | None


class PlanDelegate(QStyledItemDelegate):
    """Rows of 28 px. `hovered` is the point of the mouse in the viewport, for the buttons under it."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.hovered = QPoint(-1, -1)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(0, self._theme.height("row"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row, key = index.data(ROW_ROLE), index.data(COLUMN_ROLE)
        if not isinstance(row, PlanRow):
            return
        theme, px, rect = self._theme, self._theme.px, option.rect
        painter.save()
        draw_ground(painter, theme, option)
        box = rect.adjusted(px(8), 0, -px(8), 0)
        if key == "check":
            self._paint_state(painter, rect, row)
        elif key == "memory":
            self.paint_bar(painter, box, row.memory, row.scale)
        elif key == "needs":
            self._paint_needs(painter, box, row)
        elif key == "problems":
            self._paint_problem(painter, rect, row)
        elif key == "time" and " ± " in row.cells["time"]:
            self._paint_time(painter, box, row)
        elif key == "model":
            self._paint_model(painter, box, row)
        else:
            first = index.column() == 1  # what tells rows apart, where all are of one model
            right = bool(index.data(Qt.ItemDataRole.TextAlignmentRole) & Qt.AlignmentFlag.AlignRight)
            muted = row.state == "left_out" or (key == "time" and row.state != "runs")
            color = "text.muted" if muted else "text.primary" if first or key == "trials" else "text.secondary"
            draw_text(
                painter,
                theme.font("body", 500 if first else 400),
                theme.color(color),
                box,
                row.cells.get(key, ""),
                RIGHT if right else LEFT,
            )
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), theme.color("border.subtle"))
        painter.restore()

    def _paint_state(self, painter: QPainter, rect: QRect, row: PlanRow) -> None:
        theme, px = self._theme, self._theme.px
        box = QRect(rect.left() + px(12), rect.top(), px(16), rect.height())
        if row.state == "cannot":
            draw_icon(painter, theme, "error", "status.error", box)
        else:
            draw_check(painter, theme, box, row.state == "runs")

    def _paint_time(self, painter: QPainter, box: QRect, row: PlanRow) -> None:
        """The time, and more quietly its band."""
        theme = self._theme
        time, sign, band = row.cells["time"].partition(" ± ")
        width = QFontMetrics(theme.font("body")).horizontalAdvance(sign + band) + 1
        draw_text(painter, theme.font("body"), theme.color("text.muted"), box, sign + band, RIGHT)
        draw_text(
            painter, theme.font("body"), theme.color("text.secondary"), box.adjusted(0, 0, -width, 0), time, RIGHT
        )

    def _paint_model(self, painter: QPainter, box: QRect, row: PlanRow) -> None:
        """The name, and more quietly what follows it in brackets."""
        theme = self._theme
        name = row.cells["model"].removesuffix(f" ({row.model_aside})")
        font = theme.font("body", 500)
        color = theme.color("text.muted" if row.state == "left_out" else "text.primary")
        draw_text(painter, font, color, box, name)
        rest = box.adjusted(QFontMetrics(font).horizontalAdvance(name) + theme.px(6), 0, 0, 0)
        if row.model_aside and rest.width() > theme.px(24):
            draw_text(painter, theme.font("dense"), theme.color("text.muted"), rest, row.model_aside)

    def paint_bar(self, painter: QPainter, box: QRect, memory: MemoryEstimate, scale: int) -> None:
        """The device from left to right: what it takes, a tick at what is free, grey beyond; red where it is over. The
        whole width is `scale` bytes; where that is more than the device, the ground ends with the device."""
        theme = self._theme
        height = theme.height("memory_bar")
        bar = QRect(box.left(), box.top() + (box.height() - height) // 2, box.width(), height)
        total = memory.device_total
        if total <= 0:
            painter.fillRect(bar, theme.color("memory.free"))
            return
        by_byte = bar.width() / max(scale, total)
        end = round(total * by_byte)
        painter.fillRect(QRect(bar.left(), bar.top(), end, height), theme.color("memory.free"))
        free = round(min(memory.device_free, total) * by_byte)
        painter.fillRect(QRect(bar.left() + free, bar.top(), end - free, height), theme.color("border.default"))
        at = 0.0
        for part, size in parts_of(memory):
            left, right = round(at), min(round(at + size * by_byte), free)
            at += size * by_byte
            if right > left:
                # 1 px apart where there is room for it
                gap = 1 if right - left > 2 else 0
                piece = QRect(bar.left() + left, bar.top(), right - left - gap, height)
                painter.fillRect(piece, theme.color(f"memory.{part}"))
        if memory.weights and memory.needed > memory.device_free:
            last = min(bar.width(), max(round(memory.needed * by_byte), free + theme.px(6)))
            start = min(free, last - theme.px(6))
            over = QRect(bar.left() + start, bar.top(), last - start, height)
            painter.fillRect(over, theme.color("bg.base"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            self._hatch(painter, over)
        tick = QRect(bar.left() + free, bar.top() - theme.px(2), 1, height + 2 * theme.px(2))
        painter.fillRect(tick, theme.color("text.primary"))

    def _hatch(self, painter: QPainter, area: QRect) -> None:
        """Slanting red stripes, sharp at every scale (a brush pattern is not scaled with the screen)."""
        theme = self._theme
        painter.save()
        painter.setClipRect(area)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        pen = painter.pen()
        pen.setColor(theme.color("memory.over"))
        pen.setWidthF(theme.px(20) / 10)
        painter.setPen(pen)
        step = theme.px(4)
        for x in range(area.left() - area.height(), area.right() + step, step):
            painter.drawLine(x, area.bottom() + 1, x + area.height(), area.top())
        painter.restore()

    def _paint_needs(self, painter: QPainter, box: QRect, row: PlanRow) -> None:
        theme = self._theme
        needed, free = needs_text(row.memory)
        over = bool(row.memory.weights) and not row.memory.fits
        font = theme.font("body", 600 if over else 500)
        width = QFontMetrics(font).horizontalAdvance(needed) + 1
        color = "status.error" if over else "text.muted" if row.state == "left_out" else "text.primary"
        draw_text(painter, font, theme.color(color), QRect(box.left(), box.top(), width, box.height()), needed)
        draw_text(painter, theme.font("body"), theme.color("text.muted"), box.adjusted(width, 0, 0, 0), free)

    # --- problems and fixes -----------------------------------------------------------------------

    def _paint_problem(self, painter: QPainter, rect: QRect, row: PlanRow) -> None:
        worst = row.worst
        if worst is None:
            return
        theme, px = self._theme, self._theme.px
        icon = QRect(rect.left() + px(8), rect.top(), px(16), rect.height())
        quiet = row.state == "left_out"
        draw_icon(
            painter, theme, STATUS_ICONS.get(worst.severity, _ICONS[worst.severity]), _TONES[worst.severity], icon
        )
        color = theme.color("text.muted" if quiet else "text.primary")
        draw_text(painter, theme.font("body"), color, self.text_rect(rect, row), row.problem_short)
        for button in self.buttons(rect, row):
            draw_button(painter, theme, button.rect, button.text, hovered=button.rect.contains(self.hovered))

    def text_rect(self, rect: QRect, row: PlanRow) -> QRect:
        """Where the sentence is; the buttons follow it."""
        px = self._theme.px
        left = rect.left() + px(32)
        room = rect.right() - px(8) - left
        wanted = QFontMetrics(self._theme.font("body")).horizontalAdvance(row.problem_short) + 2
        taken = self._buttons_width(row, self._together(rect, row))
        return QRect(left, rect.top(), max(0, min(wanted, room - taken)), rect.height())

    def buttons(self, rect: QRect, row: PlanRow) -> tuple[Button, ...]:
        """A button a fix where they fit beside a readable sentence, otherwise one that opens their menu."""
        if not row.fixes:
            return ()
        px, height = self._theme.px, self._theme.height("control_inline")
        at = self.text_rect(rect, row).right() + px(10)
        top = rect.top() + (rect.height() - height) // 2
        together = self._together(rect, row)
        entries: list[tuple[str, Fix | None]] = [("Fixes", None)] if together else [(f.label, f) for f in row.fixes]
        made: list[Button] = []
        for text, fix in entries:
            width = button_width(self._theme, text)
            made.append(Button(QRect(at, top, width, height), text, fix))
            at += width + px(6)
        return tuple(made)

    def _together(self, rect: QRect, row: PlanRow) -> bool:
        px = self._theme.px
        room = rect.width() - px(40)
        text = QFontMetrics(self._theme.font("body")).horizontalAdvance(row.problem_short) + 2
        return room - self._buttons_width(row, False) < min(text, px(_LEAST_TEXT))

    def _buttons_width(self, row: PlanRow, together: bool) -> int:
        if not row.fixes:
            return 0
        texts = ["Fixes"] if together else [fix.label for fix in row.fixes]
        px = self._theme.px
        return px(10) + sum(button_width(self._theme, text) + px(6) for text in texts)


def parts_of(memory: MemoryEstimate) -> list[tuple[str, int]]:
    """What a bar draws, from the left: what the batch does not change comes first. Nothing of a model that is not
    known."""
    names = ("weights", "gradients", "optimiser", "cache_or_activations", "overhead")
    return [(name, size) for name in names if (size := getattr(memory, name)) > 0 and memory.weights]


def paint_row_focus(painter: QPainter, theme: Theme, rect: QRect) -> None:
    """The ring around a whole row; the view calls it after the row's cells."""
    draw_focus(painter, theme, rect)
