"""How the panels share the page: models over machine at the left, the kind of work beside them, the plan below. Main
thread.
"""

from __future__ import annotations

from PySide6.QtCore import QByteArray, Qt, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QSplitter, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from widgets.parts.components import Panel
from widgets.parts.layout import flush_column, scroll_area, set_ground, splitter
from widgets.theme.theme import Theme

NARROW = 1280
"""Window width (at text size 100 %) under which tabs are used; the page has the rail less."""


class Arranged(QSplitter):
    """A splitter without collapsing, whose sizes are the delivered ones until the user moves them."""

    def __init__(self, theme: Theme, name: str, orientation: Qt.Orientation) -> None:
        super().__init__(orientation)
        self._theme = theme
        self._moved = False
        self.setObjectName(name)
        self.setHandleWidth(1)
        self.setChildrenCollapsible(False)
        self.splitterMoved.connect(self._user_moved)

    def _user_moved(self) -> None:
        self._moved = True

    def restoreState(self, state: QByteArray | bytes | bytearray | memoryview) -> bool:
        """What the user arranged in another session stays."""
        self._moved = True
        return super().restoreState(state)

    def reset(self) -> None:
        """The sizes as they were delivered."""
        self._moved = False
        self.arrange()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if not self._moved:
            self.arrange()

    def arrange(self) -> None:
        """Give the panes their delivered sizes."""
        raise NotImplementedError

    def give(self, fixed: int, *, first: bool) -> None:
        """A fixed size (px) to the first of two panes or to the last, the rest to the other."""
        room = self.width() if self.orientation() == Qt.Orientation.Horizontal else self.height()
        rest = max(0, room - fixed - self.handleWidth())
        self.setSizes([fixed, rest] if first else [rest, fixed])


class KindPanels(Arranged):
    """The panels of one kind of work, side by side."""

    def __init__(self, theme: Theme, name: str) -> None:
        super().__init__(theme, name, Qt.Orientation.Horizontal)
        self.narrow = False

    def set_narrow(self, narrow: bool) -> None:
        self.narrow = narrow


class Panels(Arranged):
    """Models over machine, which every kind of work has, and the panels of the kind that is shown."""

    def __init__(self, theme: Theme, models: Panel, machine: Panel) -> None:
        super().__init__(theme, "columns", Qt.Orientation.Horizontal)
        self._room = 0
        self.side = Side(theme, models, machine)
        self.stack = QStackedWidget()
        self.addWidget(self.side)
        self.addWidget(self.stack)
        self.setStretchFactor(1, 1)
        self.setMinimumHeight(theme.px(140))

    def show_kind(self, panels: KindPanels) -> None:
        if self.stack.indexOf(panels) < 0:
            self.stack.addWidget(panels)
        self.stack.setCurrentWidget(panels)
        self._narrow(panels)

    def reset(self) -> None:
        super().reset()
        self.side.reset()
        for panels in self.findChildren(KindPanels):
            panels.reset()

    def fit(self, width: int) -> None:
        """To the room there is (px): what scrolls is wider than it."""
        self._room = width
        shown = self.stack.currentWidget()
        if isinstance(shown, KindPanels):
            self._narrow(shown)

    def _narrow(self, panels: KindPanels) -> None:
        narrow = 0 < self._room < self._theme.px(NARROW) - self._theme.width("rail")
        if narrow != panels.narrow:
            panels.set_narrow(narrow)
            # what the tabs take follows only after this event
            QTimer.singleShot(0, panels, panels.arrange)

    def arrange(self) -> None:
        self.give(self._theme.px(288), first=True)


class Side(Arranged):
    """Models take what the machine leaves."""

    def __init__(self, theme: Theme, models: Panel, machine: Panel) -> None:
        super().__init__(theme, "side", Qt.Orientation.Vertical)
        self.addWidget(models)
        self.addWidget(machine)
        self.setStretchFactor(0, 1)

    def arrange(self) -> None:
        self.give(min(self._theme.px(148), self.height() * 2 // 5), first=False)


class Pair(QFrame):
    """Two panels side by side, or one of them under a tab bar."""

    def __init__(self, theme: Theme, left: Panel, right: Panel, widths: tuple[int, int]) -> None:
        """`widths`: of the design."""
        super().__init__()
        self._theme = theme
        self._panels = (left, right)
        self.narrow = False
        set_ground(self, "panel")
        column = flush_column(self)
        titles = [panel.header.title.text() for panel in self._panels]
        self.tabs = QTabBar()
        self.tabs.setAccessibleName(" or ".join(titles))
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        for title in titles:
            self.tabs.addTab(title)
        self.tabs.currentChanged.connect(self._show)
        self._head = QFrame()
        set_ground(self._head, "panel", "bottom")
        head = QVBoxLayout(self._head)
        head.setContentsMargins(theme.px(4), 0, 0, 0)
        head.addWidget(self.tabs, 0, Qt.AlignmentFlag.AlignBottom)
        column.addWidget(self._head)
        self._split = splitter(Qt.Orientation.Horizontal, "pair", *self._panels)
        for place, width in enumerate(widths):
            self._split.setStretchFactor(place, width)
        self._split.setSizes([theme.px(width) for width in widths])
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


class Halves(Arranged):
    """The panels above, the plan below: the plan gets what is over 416 px, and its share of a low window."""

    _UPPER = 416
    _SHARE = 0.62

    def __init__(self, theme: Theme, upper: Panels, lower: QWidget) -> None:
        super().__init__(theme, "plan", Qt.Orientation.Vertical)
        self._upper = upper
        # large text on a small screen: what does not fit side by side scrolls, it never overlaps
        self._scroll = scroll_area(upper, across=True)
        self._scroll.setMinimumHeight(theme.px(150))
        self.addWidget(self._scroll)
        self.addWidget(lower)
        self.setStretchFactor(1, 1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._upper.fit(self.width())
        super().resizeEvent(event)

    def arrange(self) -> None:
        self.give(min(self._theme.px(self._UPPER), round(self._SHARE * self.height())), first=True)
