"""How the four panels share the width: side by side, or Workload and Machine as tabs where that is too much. Main
thread.
"""

from __future__ import annotations

from PySide6.QtCore import QByteArray, Qt, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QSplitter, QTabBar, QVBoxLayout, QWidget

from widgets.parts.components import Panel
from widgets.theme.theme import Theme

NARROW = 1280
"""Window width (at text size 100 %) under which tabs are used; the page has the rail less."""


class Panels(QSplitter):
    """Models, Techniques and the pair at the right. Techniques take what is left over."""

    def __init__(self, theme: Theme, models: Panel, techniques: Panel, workload: Panel, machine: Panel) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._theme = theme
        self.pair = Pair(theme, workload, machine)
        self.setObjectName("panels")
        self.setHandleWidth(1)
        self.setChildrenCollapsible(False)
        for widget in (models, techniques, self.pair):
            self.addWidget(widget)
        self.setStretchFactor(1, 1)
        self.setMinimumHeight(theme.px(140))
        self._arranged = False
        self.splitterMoved.connect(self._moved)

    def _moved(self) -> None:
        self._arranged = True

    def restoreState(self, state: QByteArray | bytes | bytearray | memoryview) -> bool:
        """What the user arranged in another session stays."""
        self._arranged = True
        return super().restoreState(state)

    def reset(self) -> None:
        """The widths as they were delivered."""
        self._arranged = False
        self._arrange()

    def resizeEvent(self, event: QResizeEvent) -> None:
        narrow = self.width() < self._theme.px(NARROW) - self._theme.width("rail")
        changed = narrow != self.pair.narrow
        if changed:
            self.pair.set_narrow(narrow)
        super().resizeEvent(event)
        if changed or not self._arranged:
            self._arrange()
        if changed:
            # the pair's smallest width follows its tabs only after this event
            QTimer.singleShot(0, self, self._arrange)

    def _arrange(self) -> None:
        px = self._theme.px
        pair = px(256) if self.pair.narrow else px(481)
        models = px(328 if self.width() >= px(NARROW) else 288)
        self.setSizes([models, max(0, self.width() - models - pair - 2), pair])


class Pair(QFrame):
    """Two panels side by side, or one of them under a tab bar."""

    def __init__(self, theme: Theme, left: Panel, right: Panel) -> None:
        super().__init__()
        self._theme = theme
        self._panels = (left, right)
        self.narrow = False
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("ground", "panel")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.tabs = QTabBar()
        self.tabs.setAccessibleName("Workload or Machine")
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        for panel in self._panels:
            self.tabs.addTab(panel.header.title.text())
        self.tabs.currentChanged.connect(self._show)
        self._head = QFrame()
        self._head.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._head.setProperty("edge", "bottom")
        self._head.setProperty("ground", "panel")
        head = QVBoxLayout(self._head)
        head.setContentsMargins(theme.px(4), 0, 0, 0)
        head.addWidget(self.tabs, 0, Qt.AlignmentFlag.AlignBottom)
        column.addWidget(self._head)
        self._split = QSplitter(Qt.Orientation.Horizontal)
        self._split.setObjectName("pair")
        self._split.setHandleWidth(1)
        self._split.setChildrenCollapsible(False)
        self._split.setSizes([theme.px(240), theme.px(240)])
        for panel in self._panels:
            self._split.addWidget(panel)
        column.addWidget(self._split, 1)
        theme.follow(self._restyle)
        self._show()

    def _restyle(self) -> None:
        self._head.setFixedHeight(self._theme.height("panel_header"))

    def set_narrow(self, narrow: bool) -> None:
        self.narrow = narrow
        self._show()

    def _show(self, _index: int = 0) -> None:
        self._head.setVisible(self.narrow)
        for index, panel in enumerate(self._panels):
            panel.header.setVisible(not self.narrow)
            panel.setVisible(not self.narrow or index == self.tabs.currentIndex())


class Halves(QSplitter):
    """The panels above, the plan below: the plan gets what is over 404 px, and its share of a low window."""

    _UPPER = 404
    _SHARE = 0.62

    def __init__(self, theme: Theme, upper: QWidget, lower: QWidget) -> None:
        super().__init__(Qt.Orientation.Vertical)
        self._theme = theme
        self._arranged = False
        self.setObjectName("plan")
        self.setHandleWidth(1)
        self.setChildrenCollapsible(False)
        # large text on a small screen: what does not fit side by side scrolls, it never overlaps
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setWidget(upper)
        self._scroll.setMinimumHeight(theme.px(150))
        self.addWidget(self._scroll)
        self.addWidget(lower)
        self.setStretchFactor(1, 1)
        self.splitterMoved.connect(self._moved)

    def _moved(self) -> None:
        self._arranged = True

    def restoreState(self, state: QByteArray | bytes | bytearray | memoryview) -> bool:
        self._arranged = True
        return super().restoreState(state)

    def reset(self) -> None:
        """The heights as they were delivered."""
        self._arranged = False
        self._arrange()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if not self._arranged:
            self._arrange()

    def _arrange(self) -> None:
        upper = min(self._theme.px(self._UPPER), round(self._SHARE * self.height()))
        self.setSizes([upper, max(0, self.height() - upper - 1)])
