"""Which cell's card is open, and where it is shown: between table and card. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QObject, QRect, Qt, QTimer
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QWidget

from widgets.compare.card.card import NumberCard
from widgets.compare.card.view import configuration_card, trial_card
from widgets.compare.table.table import CompareTable
from widgets.compare.table.views import Loaded


class CardPlace(QObject):
    """Opens the card of a cell, keeps it with its cell over refreshes, closes it at a click elsewhere."""

    def __init__(self, page: QWidget, table: CompareTable, card: NumberCard) -> None:
        super().__init__(page)
        self._page, self._table, self.card = page, table, card
        self._loaded: Loaded | None = None
        self._at: tuple[str, str] | None = None
        """(row key, column key)"""
        for bar in (table.verticalScrollBar(), table.horizontalScrollBar()):
            bar.valueChanged.connect(self.follow)
        table.card_asked.connect(self.open)
        card.closed.connect(self._closed)

    def watch(self, watching: bool) -> None:
        """Look at clicks in the window, while the page is shown."""
        app = QApplication.instance()
        if app is not None and watching:
            app.installEventFilter(self)
        elif app is not None:
            app.removeEventFilter(self)

    def open(self, index: QModelIndex) -> None:
        """The card of a figure's cell."""
        row = self._table.compare_model.row_at(index)
        column = self._table.compare_model.column_at(index.column()) if index.isValid() else None
        if row is not None and column is not None and column.kind == "metric":
            self._at = (row.key, column.key)
            self.renew(self._loaded)
            self.card.setFocus(Qt.FocusReason.OtherFocusReason)

    def renew(self, loaded: Loaded | None) -> None:
        """Fill the card for its cell and put it there; gone where the cell is gone."""
        self._loaded = loaded
        if self._at is None or loaded is None:
            return
        key, column_key = self._at
        view, model = self._table.view, self._table.compare_model
        place = next((i for i, c in enumerate(view.columns) if c.key == column_key), -1)
        index = model.find(key, max(place, 0))
        row = model.row_at(index)
        made = None
        if place >= 0 and row is not None:
            make = trial_card if row.trial else configuration_card
            made = make(loaded, key, view.columns[place])
        if made is None:
            self.card.dismiss()
            return
        self._table.ring(index)
        self.card.show_card(made, self._anchor(index))

    def drop(self) -> None:
        """Away with the card, unless it is pinned."""
        if not self.card.pinned:
            self.card.dismiss()

    def follow(self, _value: int = 0) -> None:
        """The table moved: the card goes with its cell."""
        if self._at is not None and self.card.card is not None:
            QTimer.singleShot(0, self, self._again)

    def _again(self) -> None:
        self.renew(self._loaded)

    def _anchor(self, index: QModelIndex) -> QRect:
        port = self._table.viewport().geometry()
        inside = self._table.cell_rect(index).intersected(port)
        shown = inside if not inside.isEmpty() else port
        return QRect(self._table.mapTo(self._page, shown.topLeft()), shown.size())

    def _closed(self) -> None:
        self._at = None
        self._table.ring(None)
        if self._page.isVisible() and self._page.window().isActiveWindow():
            self._table.setFocus(Qt.FocusReason.OtherFocusReason)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """A click anywhere else closes a card that is not pinned."""
        if event.type() != QEvent.Type.MouseButtonPress or self.card.card is None or self.card.pinned:
            return False
        if isinstance(event, QMouseEvent) and isinstance(watched, QWidget) and watched.window() is self._page.window():
            at = self.card.mapFromGlobal(event.globalPosition().toPoint())
            if not self.card.rect().contains(at):
                self.card.dismiss()
        return False
