"""The rail on the left: four pages, Settings at the bottom. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QButtonGroup, QFrame, QSizePolicy, QToolButton, QWidget

from widgets.parts.layout import flush_column
from widgets.theme.icons import icon
from widgets.theme.theme import Theme

PAGES = (
    ("setup", "Setup", "sliders", "Models, techniques, workload, and the plan"),
    ("monitor", "Monitor", "pulse", "What is happening now"),
    ("compare", "Compare", "bars", "What was learned"),
    ("machines", "Machines", "server", "Computers, devices, sensors and engines"),
    ("settings", "Settings", "gear", "Look, costs and estimates, database, disk"),
)
"""name, title, icon, tooltip; in the order of the rail"""


class RailButton(QToolButton):
    """Icon 20 over label 11; the chosen one has an accent mark, Monitor a dot while a trial runs."""

    def __init__(self, theme: Theme, name: str, title: str, icon_name: str, tip: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icon_name = icon_name
        self.name = name
        self.dot = False
        self.setText(title)
        self.setToolTip(tip)
        self.setAccessibleName(title)
        self.setCheckable(True)
        self.setProperty("kind", "rail")
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.toggled.connect(self._restyle)
        theme.follow(self._restyle)

    def set_dot(self, on: bool) -> None:
        if on != self.dot:
            self.dot = on
            self.setAccessibleDescription("a trial is running" if on else "")
            self.update()

    def _restyle(self) -> None:
        theme = self._theme
        color = "text.primary" if self.isChecked() else "text.secondary"
        self.setIcon(icon(theme, self._icon_name, color, theme.tokens["icon"]["rail"]))
        self.setIconSize(QSize(theme.icon_size("rail"), theme.icon_size("rail")))

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        if self.isChecked():
            mark = int(self._theme.tokens["line"]["rail_mark"])
            painter.fillRect(0, 0, mark, self.height(), self._theme.color("accent.default"))
        if self.dot:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self._theme.color("accent.default"))
            edge = self._theme.px(8)
            painter.drawEllipse(self.width() // 2 + self._theme.px(9), self._theme.px(8), edge, edge)
        painter.end()


class Rail(QFrame):
    """Says which page was asked for; the window says which one is shown."""

    asked = Signal(str)

    def __init__(self, theme: Theme, pages: Sequence[tuple[str, str, str, str]], parent: QWidget | None = None) -> None:
        """`pages`: name, title, icon, tooltip; the last one is at the bottom."""
        super().__init__(parent)
        self._theme = theme
        self.setProperty("ground", "window")
        self.setAccessibleName("Pages")
        self.setProperty("edge", "right")
        column = flush_column(self)
        theme.follow(self._restyle)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self.buttons: dict[str, RailButton] = {}
        for index, (name, title, icon_name, tip) in enumerate(pages):
            button = RailButton(theme, name, title, icon_name, tip, self)
            button.clicked.connect(self._clicked)
            self._group.addButton(button)
            self.buttons[name] = button
            if index == len(pages) - 1:
                column.addStretch(1)
            column.addWidget(button)

    def _restyle(self) -> None:
        self.setFixedWidth(self._theme.width("rail"))

    def choose(self, name: str) -> None:
        """Mark the page that is shown."""
        self.buttons[name].setChecked(True)

    def _clicked(self) -> None:
        button = self._group.checkedButton()
        if isinstance(button, RailButton):
            self.asked.emit(button.name)
