"""What every page is laid out with: layouts without margins, grounds, areas that scroll, plain tables. Main thread."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QAbstractItemModel, Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QTableView,
    QVBoxLayout,
    QWidget,
)


def flush_column(parent: QWidget, spacing: int = 0) -> QVBoxLayout:
    """A column that fills its parent to the edges."""
    made = QVBoxLayout(parent)
    made.setContentsMargins(0, 0, 0, 0)
    made.setSpacing(spacing)
    return made


def flush_row(parent: QWidget, spacing: int = 0) -> QHBoxLayout:
    """A row that fills its parent to the edges."""
    made = QHBoxLayout(parent)
    made.setContentsMargins(0, 0, 0, 0)
    made.setSpacing(spacing)
    return made


def set_ground(widget: QWidget, ground: str, edge: str = "") -> None:
    """A ground of the design ("base", "panel", "header", ...) and the side at which it ends in a line."""
    widget.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
    widget.setProperty("ground", ground)
    if edge:
        widget.setProperty("edge", edge)


def scroll_area(inner: QWidget, *, across: bool = False) -> QScrollArea:
    """A frameless area that the keyboard passes over, around `inner`; `across`: it may scroll sideways too."""
    made = QScrollArea()
    made.setWidgetResizable(True)
    made.setFrameShape(QFrame.Shape.NoFrame)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    if not across:
        made.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    made.setWidget(inner)
    return made


def plain_table(model: QAbstractItemModel, name: str, copy: Callable[[], None]) -> QTableView:
    """Rows without a grid, chosen whole; Ctrl+C calls `copy`."""
    made = QTableView()
    made.setModel(model)
    made.setAccessibleName(name)
    made.setShowGrid(False)
    made.setTabKeyNavigation(False)
    made.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    made.verticalHeader().hide()
    QShortcut(QKeySequence.StandardKey.Copy, made, copy, context=Qt.ShortcutContext.WidgetShortcut)
    return made


def stacked(*pages: QWidget) -> QStackedWidget:
    """Pages of which one is seen, the first at first."""
    made = QStackedWidget()
    for page in pages:
        made.addWidget(page)
    return made


def splitter(orientation: Qt.Orientation, name: str, *parts: QWidget) -> QSplitter:
    """Parts that meet in a line of one pixel and cannot be folded away; `name` is that of their kept sizes."""
    made = QSplitter(orientation)
    made.setObjectName(name)
    made.setHandleWidth(1)
    for part in parts:
        made.addWidget(part)
    made.setChildrenCollapsible(False)
    return made
