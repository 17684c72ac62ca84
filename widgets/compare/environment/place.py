"""Whose environments the sheet compares: those of the selected rows, or of one card's trials. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from widgets.compare.card.place import CardPlace
from widgets.compare.environment.sections import MOST_SIDES, side_of_row, side_of_trials
from widgets.compare.environment.sheet import EnvironmentSheet
from widgets.compare.row_actions import RowActions
from widgets.compare.table.views import Loaded
from widgets.theme.theme import Theme


class EnvironmentPlace(QObject):
    """Owns the sheet; an open card that is not pinned gives way to it."""

    def __init__(self, theme: Theme, page: QWidget, row_actions: RowActions, card_place: CardPlace) -> None:
        super().__init__(page)
        self._row_actions, self._card_place = row_actions, card_place
        self._loaded: Loaded | None = None
        self.sheet = EnvironmentSheet(theme, page)
        card_place.card.environment_asked.connect(self.show_trials)

    def set_loaded(self, loaded: Loaded | None) -> None:
        self._loaded = loaded
        if loaded is None:
            self.sheet.leave()

    def show_selected(self) -> None:
        """Where and how the selected rows ran, side by side; of one row what its trials did not share."""
        rows = self._row_actions.selected().rows[:MOST_SIDES]
        if self._loaded is not None and rows:
            self._card_place.drop()
            self.sheet.show_sides([side_of_row(self._loaded, row) for row in rows])

    def show_trials(self, configuration: str, trial: str) -> None:
        """Those of a card: one trial, or "" for all of its configuration."""
        if self._loaded is not None:
            self._card_place.drop()
            self.sheet.show_sides([side_of_trials(self._loaded, configuration, trial)])
