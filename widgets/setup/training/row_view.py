"""The rows of the training data, one at a time, as the model sees them, or why there are none. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from engines.data.training.preview import Preview, ShownRow
from widgets.parts.components import IconLabel, label, push_button, tool_button
from widgets.parts.layout import flush_column, flush_row, stacked
from widgets.setup.training.token_view import TokenView
from widgets.theme.theme import Theme
from workbench.units import counted


class RowView(QWidget):
    """A heading with previous and next, the tokens, and how many of them are trained on."""

    row_wanted = Signal(int)
    """Number of a row, from 0, that was not read yet."""
    again_wanted = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._preview: Preview | None = None
        self._number = 0
        self._uncut = ""
        self.title = label("As the model sees it")
        self.title.setProperty("strong", "500")
        self.count = label("", role="dense", tone="muted")
        self.previous = tool_button(theme, "arrow-left", "", "Previous row", self._back, compact=True)
        self.next = tool_button(theme, "arrow-right", "", "Next row", self._on, compact=True)
        head = QHBoxLayout()
        head.setSpacing(theme.px(8))
        head.addWidget(self.title)
        head.addWidget(self.count)
        head.addStretch(1)
        head.addWidget(self.previous)
        head.addWidget(self.next)
        self.tokens = TokenView(theme)
        self.tokens.stepped.connect(self.step)
        self.message = _Message(theme)
        self.message.again.clicked.connect(self.again_wanted)
        self.stack = stacked(self.message, self.tokens)
        self._legend = QWidget()
        legend = flush_row(self._legend, theme.px(6))
        self.masked, self.trained = label("", role="dense", tone="muted"), label("", role="dense", tone="secondary")
        for swatch, text in ((_Swatch(theme, False), self.masked), (_Swatch(theme, True), self.trained)):
            legend.addWidget(swatch)
            legend.addWidget(text)
            legend.addSpacing(theme.px(10))
        legend.addStretch(1)
        column = flush_column(self, theme.px(6))
        column.addLayout(head)
        column.addWidget(self.stack, 1)
        column.addWidget(self._legend)
        self.say("")

    @property
    def number(self) -> int:
        """Of the row that is shown, from 0."""
        return self._number

    def restart(self) -> None:
        """Other data: they begin with their first row."""
        self._number = 0
        self._preview = None

    def say(self, text: str, advice: str = "", *, error: bool = False) -> None:
        """In place of a row: why there is none."""
        self._preview = None
        self.message.show_text(text, advice, error=error)
        self.stack.setCurrentWidget(self.message)
        self.title.setText("As the model sees it")
        self.count.setText("")
        self._legend.hide()
        self._show_buttons()

    def show_reading(self, text: str) -> None:
        """Tokens that are shown stay while the data are read once more."""
        if self._preview is None or self.stack.currentWidget() is self.message:
            self.say(text)
        else:
            self.count.setText(text)

    def show_preview(self, preview: Preview, uncut: str) -> None:
        """`uncut`: why rows are not cut into tokens, where they are not."""
        self._preview, self._uncut = preview, uncut
        if not preview.shown:
            self.say("No row of the data can be used.", error=True)
            return
        self._number = min(max(self._number, preview.first), preview.first + len(preview.shown) - 1)
        self._show_row()

    def step(self, by: int) -> None:
        preview, wanted = self._preview, self._number + by
        if preview is None or not 0 <= wanted < usable(preview):
            return
        self._number = wanted
        if preview.first <= wanted < preview.first + len(preview.shown):
            self._show_row()
        else:
            self.row_wanted.emit(wanted)

    def show_number(self, number: int) -> None:
        """Any of the usable rows, from 0."""
        self.step(number - self._number)

    def _back(self) -> None:
        self.step(-1)

    def _on(self) -> None:
        self.step(1)

    def _show_row(self) -> None:
        preview = self._preview
        assert preview is not None
        row = preview.shown[self._number - preview.first]
        self.title.setText(f"Row {self._number + 1:,} as the model sees it")
        self.title.setToolTip(f"{row.place}, {row.split or 'left out: a copy of a held-out row'}")
        self._show_buttons()
        if not row.documents:
            self.count.setText("")
            self._legend.hide()
            self.message.show_text(*self._why_none(row), error=False)
            self.stack.setCurrentWidget(self.message)
            return
        tokens = [token for document in row.documents for token in document.tokens]
        counts = [on for document in row.documents for on in document.counts]
        more = f" and {row.more_documents} more sequences" if row.more_documents else ""
        cut = ", cut at the sequence's length" if row.truncated else ""
        self.count.setText(f"{counted(len(tokens), 'tokens')}{more}{cut}")
        self.tokens.show_tokens(tokens, counts)
        trained = sum(counts)
        self.masked.setText(f"masked: {len(counts) - trained:,}")
        self.trained.setText(f"trained on: {trained:,}")
        self._legend.show()
        self.stack.setCurrentWidget(self.tokens)

    def _why_none(self, row: ShownRow) -> tuple[str, str]:
        if row.left_out:
            return f"This row is not trained on: {row.left_out}.", ""
        return self._uncut, ""

    def _show_buttons(self) -> None:
        last = usable(self._preview) - 1 if self._preview is not None else -1
        for button, can, why in (
            (self.previous, self._number > 0 and last >= 0, "This is the first row"),
            (self.next, self._number < last, "This is the last row"),
        ):
            button.setEnabled(can)
            name = button.accessibleName()
            button.setToolTip(name if can else why if last >= 0 else "No rows are shown")


def usable(preview: Preview) -> int:
    """Rows that can be shown."""
    return preview.rows - preview.bad


class _Message(QWidget):
    """Why no row is shown, what to do, and the button that tries again."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, theme.px(4), 0, theme.px(4))
        row.setSpacing(theme.px(6))
        top = Qt.AlignmentFlag.AlignTop
        self._icon = IconLabel(theme, "error", "status.error", 14, "Error")
        row.addWidget(self._icon, 0, top)
        words = QVBoxLayout()
        words.setSpacing(theme.px(4))
        self.text: QLabel = label("", wrap=True, selectable=True)
        self.advice: QLabel = label("", role="dense", tone="muted", wrap=True, selectable=True)
        self.again = push_button("Try again", kind="inline")
        words.addWidget(self.text)
        words.addWidget(self.advice)
        words.addWidget(self.again, 0, Qt.AlignmentFlag.AlignLeft)
        words.addStretch(1)
        row.addLayout(words, 1)

    def show_text(self, text: str, advice: str, *, error: bool) -> None:
        self.text.setText(text)
        self.advice.setText(advice)
        self.advice.setVisible(bool(advice))
        self._icon.setVisible(error)
        self.again.setVisible(error)


class _Swatch(QWidget):
    """A token's box without its text."""

    def __init__(self, theme: Theme, trained: bool) -> None:
        super().__init__()
        self._theme, self._trained = theme, trained
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self.setFixedSize(self.sizeHint())

    def sizeHint(self) -> QSize:
        return QSize(self._theme.px(10), self._theme.px(10))

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), self._theme.color("bg.base" if self._trained else "bg.disabled"))
        painter.setPen(QPen(self._theme.color("border.control" if self._trained else "border.default"), 1))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()
