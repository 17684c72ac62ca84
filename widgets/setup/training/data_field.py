"""Which data are trained on: built-in ones, a file or folder of the user's own, or a dataset's hub id. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QWidget

from engines.data.training.files import READERS
from widgets.parts.choice import Choice
from widgets.parts.components import push_button
from widgets.parts.layout import flush_row
from widgets.theme.theme import Theme

BUILT_IN = (
    ("Built-in text", "built-in", "Part of Python's help, as plain text"),
    ("Docstrings", "docstrings", "Functions of Python's library and their docstrings, as prompts and responses"),
)
TEXTS = (("Built-in text", "built-in", "The sources of Python's standard library with their docstrings"),)
TEXT_TIP = "A text file, a folder of them, a data file with a column of text, or a dataset's hub id."
_TIP = "A file (CSV, JSON, JSON Lines, Parquet), a folder of them, or a dataset's hub id. A file can be dropped here."


class DataField(QWidget):
    """The data's name, and a button that looks for a file."""

    wanted = Signal(str)
    """As the experiment file writes it: "docstrings", a path, a hub id."""

    def __init__(
        self,
        theme: Theme,
        built_in: Sequence[tuple[str, str, str]] = BUILT_IN,
        name: str = "Training data",
        about: str = _TIP,
        parent: QWidget | None = None,
    ) -> None:
        """`built_in`: title, data and tip of what every machine has."""
        super().__init__(parent)
        self._built_in, self._tip, self._name = built_in, about, name
        self._data = ""
        self._wanted = ""
        self.setAcceptDrops(True)
        self.box = Choice()
        self.box.setEditable(True)
        self.box.setInsertPolicy(Choice.InsertPolicy.NoInsert)
        self.box.setCompleter(None)  # type: ignore[arg-type]
        self.box.setAccessibleName(name)
        for title, data, tip in built_in:
            self.box.addItem(title, data)
            self.box.setItemData(self.box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.box.activated.connect(self._chosen)
        line = self.box.lineEdit()
        assert line is not None
        self.line = line
        line.editingFinished.connect(self._typed)
        self.browse = push_button("Browse", self.ask)
        self.browse.setToolTip(about)
        row = flush_row(self, theme.px(8))
        row.addWidget(self.box, 1)
        row.addWidget(self.browse)
        self.setFocusProxy(self.box)

    def show_data(self, data: str) -> None:
        if data == self._data:
            return
        self._data = self._wanted = data
        title = next((title for title, known, _ in self._built_in if known == data), "")
        self.line.setText(title or _short(data))
        self.line.setCursorPosition(0)
        self.box.setToolTip(self._tip if title else f"{data}\n{self._tip}")

    def ask(self) -> None:
        pattern = " ".join(f"*{suffix}" for suffix in sorted(READERS))
        here = Path(self._data)
        start = str(here.parent) if here.is_absolute() else str(Path.home())
        name, _ = QFileDialog.getOpenFileName(self, self._name, start, f"Data ({pattern});;All files (*)")
        if name:
            self._want(name)

    def _want(self, data: str) -> None:
        """Once, whichever of the box's signals said so."""
        if data != self._wanted:
            self._wanted = data
            self.wanted.emit(data)

    def _chosen(self, index: int) -> None:
        self._want(str(self.box.itemData(index)))

    def _typed(self) -> None:
        text = self.line.text().strip()
        known = next((data for title, data, _ in self._built_in if text.lower() in (title.lower(), data)), text)
        if text and known not in (self._data, _short(self._data)):
            self._want(known)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _dropped(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        path = _dropped(event)
        if path is not None:
            event.acceptProposedAction()
            self._want(str(path))


def _short(data: str) -> str:
    """The name of a file or folder; a hub id whole."""
    path = Path(data)
    return path.name if path.is_absolute() or path.suffix.lower() in READERS else data


def _dropped(event: QDropEvent) -> Path | None:
    """The one data file that is dragged; others go to the window."""
    files = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
    return files[0] if len(files) == 1 and files[0].suffix.lower() in READERS else None
