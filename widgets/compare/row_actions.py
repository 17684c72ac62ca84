"""What can be done with the selected rows: baseline, retries, deletion, other pages, and their menu. Main thread."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QPoint, Qt
from PySide6.QtWidgets import QMenu, QWidget

from widgets.background.wall_meter import WallMeterImport
from widgets.compare.ask_bar import AskBar
from widgets.compare.edits import CompareEdits
from widgets.compare.table.row_menu import Selected, row_menu, select
from widgets.compare.table.table import CompareTable
from widgets.compare.table.views import Loaded
from widgets.shell.services import Services
from widgets.shell.targets import EditAsNew, ShowTrial, UseModels


class RowActions(QObject):
    """Knows the selection; questions are asked in `ask`, changes are made by `edits`."""

    def __init__(
        self, services: Services, page: QWidget, table: CompareTable, ask: AskBar, edits: CompareEdits
    ) -> None:
        super().__init__(page)
        self._services, self._page, self._table = services, page, table
        self._ask, self._edits = ask, edits
        self._loaded: Loaded | None = None
        self.meter = WallMeterImport(services, page)
        self.meter.done.connect(edits.done)
        table.delete_asked.connect(self.delete)

    def set_loaded(self, loaded: Loaded | None) -> None:
        self._loaded = loaded

    def selected(self) -> Selected:
        return select(
            self._loaded, self._table.chosen(), self._table.chosen_trials(), self._edits.can_resume, self._edits.kept
        )

    def can_be_baseline(self) -> bool:
        """Whether one configuration is selected that is not the baseline."""
        one = self.selected().one
        return one is not None and not one.trial and not one.baseline

    def menu(self, more: dict[str, Callable[[], None]]) -> QMenu:
        """The menu of the selected rows. `more` handles "card" and "eye", which are the page's."""
        do = more | {
            "open": self.open,
            "baseline": self.make_baseline,
            "resume": self.resume,
            "retry": self.retry_failed,
            "again": self.run_again,
            "more": self.more_blocks,
            "use": self.use_models,
            "edit": self.edit_as_new,
            "wall-meter": self.import_meter,
            "copy": self._table.copy,
            "rename": self.rename,
            "delete": self.delete,
        }
        made = row_menu(self._page, self._services.theme, self.selected(), self._table.on_figure(), do)
        made.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        return made

    def pop_menu(self, at: QPoint, more: dict[str, Callable[[], None]]) -> None:
        self.menu(more).popup(at)

    # --- actions ------------------------------------------------------------------------------------

    def set_baseline(self, configuration: str) -> None:
        """Stored with the experiment; "" for the first with results."""
        if self._loaded is not None:
            row = self._loaded.detail.experiment
            self._edits.set_baseline(row.experiment, configuration or None, row.baseline)

    def make_baseline(self) -> None:
        """The selected configuration."""
        if self.can_be_baseline():
            self.set_baseline(self.selected().configurations[0])

    def retry_failed(self) -> None:
        self._edits.retry(self.selected().failed)

    def resume(self) -> None:
        self._edits.resume(self.selected().resumable)

    def run_again(self) -> None:
        self._edits.retry(self.selected().ended)

    def more_blocks(self) -> None:
        """Of the shown experiment: every configuration that has completed a trial, once in each."""
        if self._loaded is not None:
            self._edits.more_blocks(self._loaded.detail.experiment.experiment)

    def import_meter(self) -> None:
        """Readings of a wall meter for the one ended trial of the selection."""
        ended = self.selected().ended
        if len(ended) == 1:
            self.meter.ask(ended[0])

    def edit_as_new(self) -> None:
        """Setup with an experiment like the one of the selected trial."""
        trials = self.selected().trials
        if trials:
            self._services.navigate("setup", EditAsNew(trials[0]))

    def use_models(self) -> None:
        """Setup with what the selected trials have kept, beside what it was trained from."""
        if kept := self.selected().kept:
            self._services.navigate("setup", UseModels(kept))

    def open(self) -> None:
        """The newest of the selected trials in Monitor."""
        chosen = self.selected()
        trials = chosen.ended or chosen.trials
        if trials:
            self.open_trial(trials[-1])

    def open_trial(self, trial: str) -> None:
        self._services.navigate("monitor", ShowTrial(trial))

    def rename(self) -> None:
        """The experiment, in place."""
        if self._loaded is None:
            return
        row = self._loaded.detail.experiment

        def named(name: str) -> None:
            self._edits.rename(row.experiment, name, row.name)

        self._ask.ask_text("New name", row.name, "Rename", named)

    def delete(self) -> None:
        """Asks once, in place: deletion is for good."""
        trials = self.selected().trials
        if not trials or self._loaded is None:
            return
        count = "1 trial" if len(trials) == 1 else f"{len(trials)} trials"
        open_ = any(t.trial in trials and t.state != "ended" for t in self._loaded.detail.trials)
        more = " Waiting and running ones are stopped." if open_ else ""

        def yes() -> None:
            self._edits.delete(trials)

        self._ask.ask(
            f"Delete {count} permanently? Samples, figures and logs are deleted too and cannot be restored.{more}",
            f"Delete {count}",
            yes,
        )
