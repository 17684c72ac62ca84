"""One row of training data as the model sees it: its tokens, those that the loss counts and those that are masked.

Painted; the texts come from the tokenizer of the worker's process, none is loaded here. Main thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QWidget

from widgets.theme.theme import Theme
from workbench.units import counted

_SHOWN = {"\n": "↵", "\r": "␍", "\t": "⇥"}
_LINE = 24
_BOX = 18
_SPOKEN = 1000
"""Characters that a screen reader is given of a row."""


class TokenView(QAbstractScrollArea):
    """Lines of 24 px that break between tokens; only those that are visible are drawn."""

    stepped = Signal(int)
    """-1 or 1: the row before or after this one is wanted (Left and Right)."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._texts: tuple[str, ...] = ()
        self._mask: tuple[bool, ...] = ()
        self._lines: list[list[tuple[int, int, int]]] = []
        """Of each line its tokens: number, left, width."""
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Tokens of the row")
        theme.follow(self._restyle)

    def show_tokens(self, texts: Sequence[str], mask: Sequence[bool]) -> None:
        """`mask`: whether the loss counts a token."""
        self._texts, self._mask = tuple(texts), tuple(mask)
        self.setAccessibleDescription(spoken(self._texts, self._mask))
        self.verticalScrollBar().setValue(0)
        self._lay_out()

    @property
    def lines(self) -> int:
        return len(self._lines)

    def _restyle(self) -> None:
        self.setMinimumHeight(self._theme.px(4 * _LINE + 12))
        self._lay_out()

    def _lay_out(self) -> None:
        px = self._theme.px
        edge, gap, inner = px(8), px(4), px(3)
        right = self.viewport().width() - edge
        plain, strong = (QFontMetrics(self._theme.font("mono", weight)) for weight in (400, 500))
        lines: list[list[tuple[int, int, int]]] = [[]]
        left = edge
        for number, text in enumerate(self._texts):
            metrics = strong if self._mask[number] else plain
            width = min(metrics.horizontalAdvance(shown(text)) + 2 * inner + 1, right - edge)
            if lines[-1] and left + width > right:
                lines.append([])
                left = edge
            lines[-1].append((number, left, width))
            left += width + gap
        self._lines = lines if self._texts else []
        bar = self.verticalScrollBar()
        height = len(self._lines) * px(_LINE) + 2 * px(6)
        bar.setPageStep(self.viewport().height())
        bar.setSingleStep(px(_LINE))
        bar.setRange(0, max(0, height - self.viewport().height()))
        self.viewport().update()

    def sizeHint(self) -> QSize:
        return QSize(self._theme.px(300), self._theme.px(5 * _LINE + 12))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._lay_out()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()), 0)
        if step:
            self.stepped.emit(step)
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, px = self._theme, self._theme.px
        painter = QPainter(self.viewport())
        painter.fillRect(event.rect(), theme.color("bg.base"))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top = px(6) - self.verticalScrollBar().value()
        first = max(0, (event.rect().top() - top) // px(_LINE))
        last = min(len(self._lines), (event.rect().bottom() - top) // px(_LINE) + 1)
        for place in range(first, last):
            for number, left, width in self._lines[place]:
                height = px(_BOX)
                box = QRect(left, top + place * px(_LINE) + (px(_LINE) - height) // 2, width, height)
                self._paint_token(painter, box, number)
        painter.end()

    def _paint_token(self, painter: QPainter, box: QRect, number: int) -> None:
        theme = self._theme
        trained = self._mask[number]
        if trained:
            painter.setPen(QPen(theme.color("border.control"), 1))
            painter.setBrush(theme.color("bg.base"))
            painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)
        else:
            painter.fillRect(box, theme.color("bg.disabled"))
        painter.setPen(theme.color("text.primary" if trained else "text.muted"))
        painter.setFont(theme.font("mono", 500 if trained else 400))
        inside = box.adjusted(theme.px(3), 0, 0, 0)
        painter.drawText(
            inside, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), shown(self._texts[number])
        )


def shown(text: str) -> str:
    """A token's text with what cannot be seen made visible: line ends, and spaces that are all there is."""
    visible = "".join(_SHOWN.get(c, c if c.isprintable() or c == " " else "·") for c in text)
    return visible if visible.strip(" ") else "␣" * len(visible)


def spoken(texts: Sequence[str], mask: Sequence[bool]) -> str:
    """ "masked, 16 tokens: ...; trained on, 17 tokens: ..."."""
    parts: list[str] = []
    for trained, group in groupby(zip(texts, mask, strict=True), key=lambda one: one[1]):
        words = [text for text, _ in group]
        count = counted(len(words), "tokens")
        parts.append(f"{'trained on' if trained else 'masked'}, {count}: {''.join(words).strip()}")
    said = "; ".join(parts)
    return said if len(said) <= _SPOKEN else f"{said[:_SPOKEN]}…"
