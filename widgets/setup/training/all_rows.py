"""All rows of the training data as a table over the page; those in view are read as they come into it. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from PySide6.QtCore import QAbstractTableModel, QLocale, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QStyledItemDelegate, QTableView, QWidget

from engines.data.training.preview import Preview, ShownRow
from widgets.messages.overlay import Overlay
from widgets.parts.components import PanelHeader, label, tool_button
from widgets.setup.training.preview import ROWS, Asked, PreviewSource
from widgets.setup.training.row_view import usable
from widgets.setup.training.token_view import shown
from widgets.theme.theme import Theme

Index = QModelIndex | QPersistentModelIndex
COLUMNS = ("Row", "Place", "Split", "Tokens", "Trained on", "As the model sees it")
_TEXT = len(COLUMNS) - 1
_NUMBERS = (0, 3, 4)
_WIDTHS = (64, 96, 84, 72, 84)
_LETTERS = 300
"""Of a row's text that are drawn."""
_HIDES = 40
"""Letters that all rows begin with are left out from here on."""
_WIDTH, _HEIGHT, _ROOM = 1040, 680, 48
_HINT = "Enter or a double click shows a row in the panel."


class RowsModel(QAbstractTableModel):
    """As many rows as can be used; the cells of those that were not read yet are empty."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._count = 0
        self._hash = ""
        self._rows: dict[int, ShownRow] = {}
        self._same = ""
        """How the rows that were read first all begin: a template's instructions."""

    def take(self, preview: Preview) -> None:
        """Rows that were read; of other data they take the place of all."""
        if (preview.hash, usable(preview)) != (self._hash, self._count):
            self.beginResetModel()
            self._hash, self._count, self._rows = preview.hash, usable(preview), {}
            self._same = same_beginning([row_text(row) for row in preview.shown])
            self.endResetModel()
        self._rows |= dict(enumerate(preview.shown, preview.first))
        if preview.shown:
            last = preview.first + len(preview.shown) - 1
            self.dataChanged.emit(self.index(preview.first, 0), self.index(last, _TEXT))

    def clear(self) -> None:
        self.beginResetModel()
        self._hash, self._count, self._rows = "", 0, {}
        self.endResetModel()

    def missing(self, first: int, last: int) -> int | None:
        """The first row of a range that was not read."""
        return next((n for n in range(first, min(last + 1, self._count)) if n not in self._rows), None)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else self._count

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row = self._rows.get(index.row())
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return cells(index.row(), row, self._same)[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole and row is not None and index.column() == _TEXT:
            return row.left_out or None
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation == Qt.Orientation.Vertical:
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(section)
        return COLUMNS[section] if role == Qt.ItemDataRole.DisplayRole else None


def _alignment(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column in _NUMBERS else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter


class _Apart(QStyledItemDelegate):
    """Numbers end a little before the text of the next column."""

    def displayText(self, value: object, locale: QLocale | QLocale.Language) -> str:
        return f"{value}\u2002"


def cells(number: int, row: ShownRow | None, same: str = "") -> tuple[str, ...]:
    """What the table says of a row; tokens only where they were cut. `same`: a beginning that "…" stands for."""
    if row is None:
        return (f"{number + 1:,}", *[""] * _TEXT)
    tokens = sum(len(d.tokens) for d in row.documents)
    trained = sum(d.trained for d in row.documents)
    text = row_text(row)
    text = f"…{text.removeprefix(same)}" if same and text.startswith(same) else text
    counts = (f"{tokens:,}", f"{trained:,}") if row.documents else ("", "not" if row.left_out else "")
    return (f"{number + 1:,}", row.place, row.split or "left out", *counts, text[:_LETTERS])


def row_text(row: ShownRow) -> str:
    """The row as the model sees it, or as it is written where it was not cut into tokens."""
    text = "".join(shown(token) for document in row.documents for token in document.tokens[:_LETTERS])
    return text or " ".join(" ".join(said.split()) for _, said in row.turns) or " ".join(row.text.split())


def same_beginning(texts: Sequence[str]) -> str:
    """What all texts begin with, where it is so long that it would hide in what they differ; whole words."""
    if len(texts) < 2:
        return ""
    pairs = zip(min(texts), max(texts), strict=False)
    same = "".join(letter for letter, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    same = same[: same.rfind(" ") + 1]
    return same if len(same) >= _HIDES else ""


class AllRows(Overlay):
    """Opened on what the panel shows; reads for itself."""

    row_chosen = Signal(int)
    """Number of a row, from 0."""

    def __init__(self, theme: Theme, host: QWidget, source: PreviewSource) -> None:
        super().__init__(theme, host, "All rows of the data")
        source.setParent(self)
        self._source = source
        self._asked: Asked | None = None
        self.header = PanelHeader(theme, "All rows")
        self.header.add_tool(tool_button(theme, "close", tip="Close (Esc)", clicked=self.leave, compact=True))
        self.model = RowsModel(self)
        self.view = QTableView()
        self.view.setModel(self.model)
        self.view.setAccessibleName("Rows of the data")
        self.view.setFrameShape(QTableView.Shape.NoFrame)
        self.view.setShowGrid(False)
        self.view.setWordWrap(False)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        for column in _NUMBERS:
            self.view.setItemDelegateForColumn(column, _Apart(self.view))
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.view.horizontalHeader().setStretchLastSection(True)
        self.view.horizontalHeader().setHighlightSections(False)
        self.view.verticalScrollBar().valueChanged.connect(self._read_visible)
        self.view.doubleClicked.connect(self._choose)
        self.hint = label(_HINT, role="dense", tone="muted")
        layout = self.inner_column()
        layout.addWidget(self.header)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.hint)
        source.reading.connect(self._reading)
        source.read.connect(self._read)
        source.failed.connect(self._failed)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        px = self.theme.px
        self.view.verticalHeader().setDefaultSectionSize(px(28))
        for column, width in enumerate(_WIDTHS):
            self.view.setColumnWidth(column, px(width))
        self.hint.setContentsMargins(px(12), px(6), px(12), px(8))
        self._refit()

    def place(self) -> None:
        """Takes the size that the page has room for."""
        px, host = self.theme.px, self.host
        self.resize(min(px(_WIDTH), host.width() - _ROOM), min(px(_HEIGHT), host.height() - _ROOM))
        self.centre()

    def open(self, asked: Asked, known: Preview | None, number: int) -> None:
        """`known`: rows that the panel has read already; `number` is the one that it shows."""
        asked = replace(asked, first=0)
        if asked != self._asked:
            self.model.clear()
        self._asked = asked
        if known is not None:
            self.model.take(known)
        self._say()
        self.place()
        self.appear(self.view)
        self.view.selectRow(number)
        self._read_visible()

    def leave(self) -> None:
        self._source.ask(None)
        super().leave()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._choose(self.view.currentIndex())
        else:
            super().keyPressEvent(event)

    # --- reading ----------------------------------------------------------------------------------

    def _read_visible(self) -> None:
        first = max(0, self.view.rowAt(0))
        last = self.view.rowAt(self.view.viewport().height() - 1)
        wanted = self.model.missing(first, last if last >= 0 else first + ROWS)
        if self._asked is not None and self.isVisible() and (wanted is not None or not self.model.rowCount()):
            self._source.ask(replace(self._asked, first=wanted or 0))

    def _reading(self) -> None:
        self.hint.setText("Reading the rows")

    def _read(self, preview: Preview) -> None:
        self.model.take(preview)
        self._say()
        self._read_visible()

    def _failed(self, message: str, advice: str) -> None:
        self.hint.setText(f"{message} {advice}".strip())

    def _say(self) -> None:
        count = self.model.rowCount()
        self.header.set_count(f"{count:,} can be used" if count else "")
        self.hint.setText(_HINT)

    def _choose(self, index: QModelIndex) -> None:
        if index.isValid():
            self.row_chosen.emit(index.row())
            self.leave()
