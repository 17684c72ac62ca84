"""A row of 48 px that runs an action: icon, what it does, a sentence, its shortcut. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from widgets.parts.components import IconLabel, label
from widgets.shell.services import Services


class ActionRow(QPushButton):
    """A button of the width of its card, for the action `id` of the registry."""

    def __init__(self, services: Services, id: str, title: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._id = id
        self.setProperty("kind", "row")
        self.setAccessibleName(title)
        self.setAccessibleDescription(text)
        self.setAutoDefault(False)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme = services.theme
        self._row = QHBoxLayout(self)
        self._row.addWidget(IconLabel(theme, services.actions[id].icon, size=20))
        column = QVBoxLayout()
        column.setSpacing(0)
        column.addStretch(1)
        name = label(title)
        name.setProperty("strong", "500")
        column.addWidget(name)
        column.addWidget(label(text, role="dense", tone="muted"))
        column.addStretch(1)
        self._row.addLayout(column, 1)
        keys = services.actions.qaction(id).shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        self._row.addWidget(label(keys, role="dense", tone="muted"))
        for child in self.findChildren(QWidget):
            child.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.clicked.connect(self._run)
        theme.follow(self._restyle)

    def _run(self) -> None:
        self._services.actions.invoke(self._id)

    def _restyle(self) -> None:
        theme = self._services.theme
        self.setFixedHeight(theme.height("list_action"))
        self._row.setContentsMargins(theme.px(12), 0, theme.px(12), 0)
        self._row.setSpacing(theme.px(14))

    def sizeHint(self) -> QSize:
        return QSize(self._row.sizeHint().width(), self._services.theme.height("list_action"))
