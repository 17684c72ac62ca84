"""How the user wants to see an experiment: order, filter, columns, closed eyes, invalid trials. Main thread.

Changes a `Choice` and says so; reading again and drawing is the page's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from PySide6.QtCore import QObject, QSettings, Signal

from widgets.compare import kept_view
from widgets.compare.table.views import Choice, Column


class Viewing(QObject):
    """Remembers what is to be remembered from one session to the next."""

    changed = Signal()
    """`choice` is another one: draw."""
    invalid_changed = Signal()
    """Other trials count: read again."""

    def __init__(self, settings: QSettings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.choice: Choice = kept_view.load_choice(settings)
        self.include_invalid = False
        self._experiment = ""
        self._closed_eyes: dict[str, frozenset[str]] = {}
        """By experiment: going to another one and back keeps them closed."""

    def enter(self, experiment: str, configurations: Iterable[str]) -> None:
        """An experiment was read: its own eyes are closed, of the configurations that are still there."""
        self._experiment = experiment
        hidden = self._closed_eyes.get(experiment, frozenset()) & frozenset(configurations)
        self.choice = replace(self.choice, hidden=hidden)

    def save(self) -> None:
        kept_view.save_choice(self._settings, self.choice)

    def _choose(self, choice: Choice) -> None:
        self.choice = choice
        self.save()
        self.changed.emit()

    # --- rows and columns -------------------------------------------------------------------------

    def set_text(self, text: str) -> None:
        """The filter."""
        self._choose(replace(self.choice, text=text))

    def set_by_trial(self, by_trial: bool) -> None:
        self._choose(replace(self.choice, by_trial=by_trial))

    def toggle_by_trial(self) -> None:
        self.set_by_trial(not self.choice.by_trial)

    def toggle_differences(self) -> None:
        turned = not self.choice.differences_first
        self._choose(replace(self.choice, differences_first=turned, show_constant=False))

    def toggle_constant(self) -> None:
        """The columns that are the same for all: shown, or folded into a line."""
        self._choose(replace(self.choice, show_constant=not self.choice.show_constant))

    def set_columns(self, metrics: tuple[str, ...]) -> None:
        """() for the primary ones."""
        self._choose(replace(self.choice, metrics=metrics))

    def sort_by(self, column: Column) -> None:
        """What a click on the column's head does."""
        self._choose(self.choice.sorted_by(column))

    # --- what counts and what is drawn ------------------------------------------------------------

    def toggle_invalid(self) -> None:
        """Whether invalid trials count."""
        self.include_invalid = not self.include_invalid
        self.invalid_changed.emit()

    def toggle_eye(self, configuration: str) -> None:
        self._hide(self.choice.hidden ^ {configuration})

    def toggle_eyes(self, configurations: frozenset[str]) -> None:
        """Close the eyes of all, or open them where all are closed."""
        hidden = self.choice.hidden
        self._hide(hidden - configurations if configurations <= hidden else hidden | configurations)

    def _hide(self, hidden: frozenset[str]) -> None:
        self._closed_eyes[self._experiment] = hidden
        self._choose(replace(self.choice, hidden=hidden))
