"""The base of the four pages. What they can ask each other to show is in `widgets.shell.targets`. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QByteArray, QSettings, Qt
from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSplitter, QVBoxLayout, QWidget

from widgets.parts.components import label, line
from widgets.parts.layout import flush_column, set_ground
from widgets.shell.services import Services
from widgets.shell.targets import AddModel, EditAsNew, NewExperiment, OpenExperimentFile, ShowExperiment, ShowTrial
from workbench.running.events import StoreChanged

__all__ = [
    "AddModel",
    "EditAsNew",
    "NewExperiment",
    "OpenExperimentFile",
    "Page",
    "PageToolbar",
    "ShowExperiment",
    "ShowTrial",
]

_EDITS_KEPT = 100


class Page(QWidget):
    """A page: a toolbar of 40 px with the title, and `body` under it.

    Subclasses set `name`, `title`, `icon`, fill `body` and the toolbar, and override the hooks they need. A page with a
    header of its own hides `toolbar`. QSplitters that have an object name are saved and restored by the window.
    """

    name = ""
    title = ""
    icon = ""

    def __init__(self, services: Services, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.services = services
        set_ground(self, "panel")
        self.setAccessibleName(self.title)
        self.setProperty("ring", False)
        outer = flush_column(self)
        self.toolbar = PageToolbar(services, self.title, self)
        self.body = QVBoxLayout()
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(0)
        outer.addWidget(self.toolbar)
        outer.addLayout(self.body, 1)
        self._initial_splits: dict[str, QByteArray] = {}
        self.foot: QWidget | None = None
        """A bar at the page's bottom that messages must not cover."""
        self.undo_stack = QUndoStack(self)
        """Edits that Ctrl+Z takes back (`widgets.parts.undo.Edit`)."""
        self.undo_stack.setUndoLimit(_EDITS_KEPT)
        self.undo_stack.indexChanged.connect(services.actions.update)
        self._scale = services.theme.scale
        self._panes: dict[str, list[float]] = {}
        """Sizes at text size 100 % of splitters that nobody moved since the text size changed: a small window cuts
        large text's panes short, and small text has its own again."""
        services.theme.changed.connect(self._rescale)

    # --- hooks ------------------------------------------------------------------------------------

    def activated(self) -> None:
        """The page became the one that is shown. Start timers, fetch what changed while hidden."""

    def deactivated(self) -> None:
        """Another page is shown: stop drawing and polling."""

    def refresh(self, change: StoreChanged) -> None:
        """Rows of the store changed; also called with an empty change when the workbench was opened."""

    def show_target(self, target: object) -> None:
        """Another page or a dropped file asks to show something (dataclasses of `widgets.shell.targets`)."""

    def zoom(self, step: int) -> None:
        """View > Zoom in (+1), out (-1), reset (0), for pages with charts."""

    def shutdown(self) -> None:
        """The window closes: end what the page started."""

    # --- layout memory ----------------------------------------------------------------------------

    def save_layout(self, settings: QSettings) -> None:
        """Keep what the user arranged. Subclasses extend it under their own group."""
        for splitter in self._splitters():
            settings.setValue(f"{self.name}/splitter/{splitter.objectName()}", splitter.saveState())
        settings.setValue(f"{self.name}/scale", self._scale)

    def restore_layout(self, settings: QSettings) -> None:
        self.restore_splitters(settings, self)

    def restore_splitters(self, settings: QSettings, within: QWidget) -> None:
        """Those of a widget that was built only now, or of the whole page."""
        for splitter in self._splitters(within):
            self._initial_splits.setdefault(splitter.objectName(), splitter.saveState())
            state = settings.value(f"{self.name}/splitter/{splitter.objectName()}")
            if isinstance(state, QByteArray):
                splitter.restoreState(state)
                kept = _number(settings.value(f"{self.name}/scale"), self._scale)
                if kept != self._scale:
                    resize_panes(splitter, [size * self._scale / kept for size in splitter.sizes()])

    def reset_layout(self) -> None:
        """View > Reset layout."""
        for splitter in self._splitters():
            state = self._initial_splits.get(splitter.objectName())
            if state is not None:
                splitter.restoreState(state)

    def _rescale(self) -> None:
        """The text size changed: panes of a fixed size follow it, those that stretch take the rest."""
        before, self._scale = self._scale, self.services.theme.scale
        if before == self._scale:
            return
        for splitter in self._splitters():
            name = splitter.objectName()
            if name not in self._panes:
                self._panes[name] = [size / before for size in splitter.sizes()]
                splitter.splitterMoved.connect(self._pane_dragged)
            resize_panes(splitter, [size * self._scale for size in self._panes[name]])

    def _pane_dragged(self, _place: int, _handle: int) -> None:
        """The sizes of this splitter are the user's again."""
        splitter = self.sender()
        if isinstance(splitter, QSplitter):
            self._panes.pop(splitter.objectName(), None)
            splitter.splitterMoved.disconnect(self._pane_dragged)

    def _splitters(self, within: QWidget | None = None) -> list[QSplitter]:
        found = (within or self).findChildren(QSplitter)
        return [s for s in (*found, within) if isinstance(s, QSplitter) and s.objectName()]


class PageToolbar(QFrame):
    """Title, then the page's own widgets from the left, then those at the right end."""

    def __init__(self, services: Services, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = services.theme
        set_ground(self, "panel", "bottom")
        self._row = QHBoxLayout(self)
        self.title: QLabel = label(title, role="page_title")
        self._row.addWidget(self.title)
        self._row.addStretch(1)
        self._left = 1
        self._theme.follow(self._restyle)

    def add(self, widget: QWidget, stretch: int = 0) -> None:
        """Append after the title; what stretches shares the free room, as far as its greatest width allows."""
        self._row.insertWidget(self._left, widget, stretch)
        self._left += 1

    def add_separator(self) -> None:
        self.add(line(self, vertical=True, short=True))

    def add_right(self, widget: QWidget) -> None:
        """Append at the right end."""
        self._row.addWidget(widget)

    def _restyle(self) -> None:
        self.setFixedHeight(self._theme.height("page_toolbar"))
        self._row.setContentsMargins(self._theme.spacing("m"), 0, self._theme.spacing("m"), 0)
        self._row.setSpacing(self._theme.spacing("s"))


def resize_panes(splitter: QSplitter, wanted: Sequence[float]) -> None:
    """Give the panes that do not stretch their wanted sizes (px), where others do stretch."""
    across = splitter.orientation() == Qt.Orientation.Horizontal
    panes = [pane for pane in map(splitter.widget, range(splitter.count())) if pane is not None]
    policies = [pane.sizePolicy() for pane in panes]
    stretches = [p.horizontalStretch() if across else p.verticalStretch() for p in policies]
    room = sum(splitter.sizes())
    if not room or not any(stretches) or all(stretches):
        return
    fixed = [0 if stretch else round(size) for size, stretch in zip(wanted, stretches, strict=True)]
    left = max(0, room - sum(fixed))
    splitter.setSizes([left * s // sum(stretches) if s else f for s, f in zip(stretches, fixed, strict=True)])


def _number(value: object, otherwise: float) -> float:
    """What an ini file gives back as text; `otherwise` where it is no size."""
    try:
        found = float(str(value))
    except ValueError:
        return otherwise
    return found if found > 0 else otherwise
