"""Which columns of the data hold what: guessed ones are shown as such, any can be chosen. Main thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QVBoxLayout, QWidget

from engines.protocol.orders import Training
from widgets.parts.components import label
from widgets.theme.theme import Theme

SHAPES = (
    ("Prompt and response", ("prompt", "response")),
    ("Messages", ("messages",)),
    ("Text", ("text",)),
)
KINDS = ("prompt", "response", "messages", "text")


class ColumnsField(QWidget):
    """The shape of a row, and a column for each part of it."""

    changed = Signal(object)
    """Settings of the workload by name: {"prompt_column": "question"}; "" is guessed."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._used: Mapping[str, str] = {}
        self._names: tuple[str, ...] = ()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.px(6))
        self.shape = QComboBox()
        self.shape.addItems([title for title, _ in SHAPES])
        self.shape.setAccessibleName("What a row holds")
        self.shape.activated.connect(self._shape_chosen)
        column.addWidget(self.shape)
        self.columns: dict[str, QComboBox] = {}
        for kind in KINDS:
            box = self.columns[kind] = QComboBox()
            box.setAccessibleName(f"Column of the {kind}")
            box.setMinimumContentsLength(6)
            box.activated.connect(self._column_chosen)
            column.addWidget(box)
        self.hint = label("", role="dense", tone="muted", wrap=True)
        column.addWidget(self.hint)
        self.setFocusProxy(self.shape)

    def show_columns(self, names: Sequence[str], used: Mapping[str, str], workload: Training) -> None:
        """`used`: the columns in use by kind, those that the workload does not name are guessed."""
        self._names, self._used = tuple(names), used
        chosen = next((i for i, (_, kinds) in enumerate(SHAPES) if any(kind in used for kind in kinds)), 0)
        self.shape.setCurrentIndex(chosen)
        guessed: list[str] = []
        for kind, box in self.columns.items():
            box.setVisible(kind in SHAPES[chosen][1])
            box.clear()
            found = used.get(kind, "")
            for name in dict.fromkeys((*names, *([found] if found else []))):
                box.addItem(f"{kind.capitalize()}: {name}", name)
            box.setCurrentIndex(box.findData(found))
            if found and not getattr(workload, f"{kind}_column"):
                guessed.append(kind)
        parts = {part for name in used.values() for part in (name, *name.split(" + "))}
        unused = [f"“{name}”" for name in names if name not in parts]
        sentences = ["Guessed from names and lengths."] if guessed else []
        if unused:
            sentences.append(f"{', '.join(unused[:4])}{' …' if len(unused) > 4 else ''} {_is_are(unused)} unused.")
        self.hint.setText(" ".join(sentences))
        self.hint.setVisible(bool(sentences))

    @property
    def shape_name(self) -> str:
        return self.shape.currentText()

    def _shape_chosen(self, index: int) -> None:
        kinds = SHAPES[index][1]
        if any(kind in self._used for kind in kinds):
            return
        wanted = {f"{kind}_column": "" for kind in KINDS}
        for kind, name in zip(kinds, self._names, strict=False):
            wanted[f"{kind}_column"] = name
        self.changed.emit(wanted)

    def _column_chosen(self, _index: int) -> None:
        kinds = SHAPES[self.shape.currentIndex()][1]
        wanted = {f"{kind}_column": "" for kind in KINDS}
        for kind in kinds:
            wanted[f"{kind}_column"] = str(self.columns[kind].currentData(Qt.ItemDataRole.UserRole) or "")
        self.changed.emit(wanted)


def _is_are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
