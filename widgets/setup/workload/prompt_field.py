"""Where the prompts come from: the built-in ones of the task, or a file of the user's own. Main thread."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QPushButton, QSizePolicy, QWidget

from engines.protocol.prompt_file import SUFFIXES
from widgets.parts.components import push_button, tool_button
from widgets.parts.layout import flush_row
from widgets.theme.theme import Theme

_MIDDLE = Qt.TextElideMode.ElideMiddle
_TIP = (
    "A file of your own prompts: one a line (.txt), or one JSON object with “prompt” a line (.jsonl). Each is brought "
    "to the prompt length."
)


class PromptField(QWidget):
    """A button with the file's name, and one that goes back to the built-in prompts. A file can be dropped on it."""

    wanted = Signal(object)
    """`Path` of a file, None for the built-in prompts."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._file = ""
        self.setAcceptDrops(True)
        self.button: QPushButton = push_button("Built-in", self.ask)
        self.button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.button.setMinimumWidth(theme.px(60))
        self.button.setStyleSheet("text-align: left;")
        self.clear = tool_button(theme, "close", tip="Use the built-in prompts", clicked=self._cleared, compact=True)
        row = flush_row(self, theme.px(2))
        row.addWidget(self.button, 1)
        row.addWidget(self.clear)
        self.setFocusProxy(self.button)
        self.show_file("")

    def show_file(self, file: str) -> None:
        """The experiment's prompt file; "" are the built-in prompts."""
        self._file = file
        name = Path(file).name if file else "Built-in"
        self.button.setText(self.button.fontMetrics().elidedText(name, _MIDDLE, self._theme.px(96)))
        self.button.setToolTip(f"{file}\n{_TIP}" if file else _TIP)
        self.button.setAccessibleName(f"Prompts: {name}. Choose a file")
        self.clear.setVisible(bool(file))

    def ask(self) -> None:
        pattern = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        start = str(Path(self._file).parent) if self._file else str(Path.home())
        name, _ = QFileDialog.getOpenFileName(self, "Prompts", start, f"Prompts ({pattern});;All files (*)")
        if name:
            self.wanted.emit(Path(name))

    def _cleared(self) -> None:
        self.wanted.emit(None)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _dropped(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        path = _dropped(event)
        if path is not None:
            event.acceptProposedAction()
            self.wanted.emit(path)


def _dropped(event: QDropEvent) -> Path | None:
    """The one file of prompts that is dragged; others go to the window."""
    files = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
    return files[0] if len(files) == 1 and files[0].suffix.lower() in SUFFIXES else None
