"""Problems with their places, hints and fixes, all at once: of the experiment as a whole, or of a file. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFontMetrics, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from engines.protocol.problems import Problem
from widgets.parts.components import IconLabel, label, push_button, tool_button
from widgets.parts.layout import flush_row, set_ground
from widgets.theme.theme import Theme

_ICONS = {"error": ("error", "status.error", "Error"), "warning": ("warning", "status.warn", "Warning")}
_NOTE = ("info", "status.info", "Note")


_SHARE = 0.3
"""Share of its parent's height, at most."""


class ProblemList(QFrame):
    """A strip of problems over what they belong to; hidden while there are none. At most `most_rows` high, then it
    scrolls."""

    fix_wanted = Signal(object)
    """`engines.protocol.problems.Fix`"""
    action_wanted = Signal(str)
    """Key of an action the page added to a problem."""
    closed = Signal()

    def __init__(
        self,
        theme: Theme,
        name: str,
        *,
        closable: bool = False,
        most_rows: int = 3,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._most_rows = most_rows
        self._shown: object = None
        self.problems: tuple[Problem, ...] = ()
        self.setAccessibleName(name)
        set_ground(self, "panel", "bottom")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, theme.px(8), 0)
        row.setSpacing(0)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        row.addWidget(self._scroll, 1)
        if closable:
            close = tool_button(theme, "close", "", "Close", self.close_list, compact=True)
            row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def show_problems(
        self, problems: Sequence[Problem], title: str = "", actions: dict[str, tuple[str, str]] | None = None
    ) -> None:
        """`actions`: by the problem's place, the key and the words of a further button."""
        shown = (tuple(problems), title, tuple((actions or {}).items()))
        if shown == self._shown:
            return
        self._shown = shown
        self.problems = tuple(problems)
        self.setVisible(bool(problems) or bool(title))
        inner = QWidget()
        column = QVBoxLayout(inner)
        px = self._theme.px
        column.setContentsMargins(px(12), px(6), px(12), px(6))
        column.setSpacing(px(4))
        if title:
            head = label(title)
            head.setProperty("strong", "600")
            column.addWidget(head)
        for problem in problems:
            column.addWidget(self._row(problem, (actions or {}).get(problem.place)))
        self._scroll.setWidget(inner)
        self._fit()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """As high as the rows are at this width."""
        inner = self._scroll.widget()
        layout = inner.layout() if inner is not None else None
        if layout is None:
            return
        width = max(1, self._scroll.viewport().width())
        wanted = layout.heightForWidth(width) if layout.hasHeightForWidth() else layout.sizeHint().height()
        page = self.parentWidget()
        share = round(_SHARE * page.height()) if page is not None and page.height() > 0 else wanted
        most = min(self._theme.px(12 + self._most_rows * 26), max(self._theme.px(34), share))
        self.setFixedHeight(min(wanted, most) + 1)

    def close_list(self) -> None:
        self.show_problems(())
        self.closed.emit()

    def _row(self, problem: Problem, action: tuple[str, str] | None) -> QWidget:
        px = self._theme.px
        made = QWidget()
        row = flush_row(made, px(8))
        name, color, word = _ICONS.get(problem.severity, _NOTE)
        row.addWidget(IconLabel(self._theme, name, color, meaning=word))
        if not problem.message.startswith(problem.place):
            place = label(problem.place, tone="secondary", selectable=True)
            place.setProperty("strong", "500")
            row.addWidget(place)
        # an action of the page does what the hint would have explained
        words = problem.message if action is not None else f"{problem.message} {problem.hint}".strip()
        text = label(words, wrap=True, selectable=True)
        text.ensurePolished()
        # as wide as its words, so that the fixes follow them; narrower windows wrap it
        text.setMaximumWidth(QFontMetrics(self._theme.font("body")).horizontalAdvance(text.text()) + px(8))
        row.addWidget(text, 1000)
        for fix in problem.fixes:
            button = push_button(fix.label, partial(self.fix_wanted.emit, fix), kind="inline")
            button.setAccessibleName(f"{fix.label}: {problem.place}")
            button.setToolTip(fix.note)
            row.addWidget(button)
        if action is not None:
            row.addWidget(push_button(action[1], partial(self.action_wanted.emit, action[0]), kind="inline"))
        row.addStretch(1)
        made.setMinimumHeight(px(22))
        return made
