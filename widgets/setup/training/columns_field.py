"""Which columns of the data hold what: guessed ones are shown as such, any can be chosen. Main thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from engines.protocol.orders import Training
from widgets.parts.choice import Choice
from widgets.parts.components import label
from widgets.parts.layout import flush_column
from widgets.theme.theme import Theme

KINDS = ("prompt", "response", "messages", "text")
_LEADING = ("prompt", "messages", "text")
"""What the first choice says a row holds; with a prompt goes a response."""
_NAMED = 4


class ColumnsField(QWidget):
    """The column of the prompt (or of messages, or of text), and that of the response beside it."""

    changed = Signal(object)
    """Settings of the workload by name: {"prompt_column": "question"}; "" is guessed."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        column = flush_column(self, theme.px(4))
        row = QHBoxLayout()
        row.setSpacing(theme.px(8))
        self.first = self._box("What a row holds, and in which column")
        self.response = self._box("Column of the response")
        row.addWidget(self.first, 1)
        row.addWidget(self.response, 1)
        column.addLayout(row)
        self.hint = label("", role="dense", tone="muted", wrap=True)
        column.addWidget(self.hint)
        self.setFocusProxy(self.first)

    def _box(self, name: str) -> Choice:
        box = Choice()
        box.setAccessibleName(name)
        box.activated.connect(self._chosen)
        return box

    def show_columns(self, names: Sequence[str], used: Mapping[str, str], workload: Training) -> None:
        """`used`: the columns in use by kind; those that the workload does not name are guessed."""
        self.first.clear()
        for kind in _LEADING:
            if self.first.count():
                self.first.insertSeparator(self.first.count())
            for name in dict.fromkeys((*([used[kind]] if kind in used else []), *names)):
                self.first.addItem(f"{kind.capitalize()}  {name}", (kind, name))
        kind = next((kind for kind in _LEADING if kind in used), "prompt")
        self.first.setCurrentIndex(self._place(self.first, (kind, used.get(kind, ""))))
        self.response.clear()
        for name in names:
            self.response.addItem(f"Response  {name}", ("response", name))
        self.response.setCurrentIndex(self._place(self.response, ("response", used.get("response", ""))))
        self.response.setVisible(kind == "prompt")
        for box in (self.first, self.response):
            box.setToolTip(box.currentText())
        guessed = any(not getattr(workload, f"{kind}_column") for kind in used)
        parts = {part for name in used.values() for part in (name, *name.split(" + "))}
        unused = [f"“{name}”" for name in names if name not in parts]
        sentences = ["Guessed from names and lengths."] if guessed else []
        if unused:
            more = " …" if len(unused) > _NAMED else ""
            sentences.append(f"{', '.join(unused[:_NAMED])}{more} {'is' if len(unused) == 1 else 'are'} unused.")
        self.hint.setText(" ".join(sentences))
        self.hint.setVisible(bool(sentences))

    @staticmethod
    def _place(box: Choice, wanted: tuple[str, str]) -> int:
        return next((i for i in range(box.count()) if box.itemData(i, Qt.ItemDataRole.UserRole) == wanted), -1)

    def _chosen(self, _index: int) -> None:
        kind, name = self.first.currentData()
        wanted = {f"{each}_column": "" for each in KINDS} | {f"{kind}_column": name}
        response = self.response.currentData()
        if kind == "prompt" and response is not None and response[1] != name:
            wanted["response_column"] = response[1]
        self.changed.emit(wanted)
