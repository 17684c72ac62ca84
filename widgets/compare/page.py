"""The Compare page: its parts, and what each tells the others. Main thread.

`ChosenExperiment` says which experiment is shown, `Viewing` how the user wants to see it, `build` makes the table's
rows, the parts draw, `RowActions` and `Exporting` do what is asked of rows and of the whole page.
"""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QPoint, QSettings, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QWidget

from widgets.background.recomputing import Recomputing
from widgets.compare.ask_bar import AskBar
from widgets.compare.card.card import NumberCard
from widgets.compare.card.place import CardPlace
from widgets.compare.chosen import ChosenExperiment
from widgets.compare.course_panel import CourseReader
from widgets.compare.edits import CompareEdits
from widgets.compare.environment.place import EnvironmentPlace
from widgets.compare.exporting import Exporting
from widgets.compare.figures import Figures
from widgets.compare.row_actions import RowActions
from widgets.compare.table.build import build, count_text, folded, shown_metrics
from widgets.compare.table.notes import notes_of
from widgets.compare.table.views import Loaded
from widgets.compare.texts.place import TextsPlace
from widgets.compare.tools import CompareTools
from widgets.compare.viewing import Viewing
from widgets.parts.components import EmptyState
from widgets.shell.page import Page
from widgets.shell.services import Services
from widgets.shell.targets import ShowExperiment
from workbench.running.events import StoreChanged


class ComparePage(Page):
    name = "compare"
    title = "Compare"
    icon = "bars"

    def __init__(self, services: Services, parent: QWidget | None = None) -> None:
        super().__init__(services, parent)
        theme = services.theme
        self.viewing = Viewing(services.settings, self)
        self.experiment = ChosenExperiment(services, self.viewing, self._is_being_read, self)
        self.edits = CompareEdits(services, self.undo_stack, self)
        self.recomputing = Recomputing(services, self)
        self.tools = CompareTools(theme, self.toolbar, self)
        self.ask = AskBar(theme)
        self.texts = TextsPlace(services, self)
        empty = EmptyState(theme, "", icon_name="bars", action="Go to the demo", clicked=self._to_setup)
        self.figures = Figures(theme, empty, self.texts.view)
        self.table, self.notes, self.charts = self.figures.table, self.figures.notes, self.figures.charts
        self.body.addWidget(self.ask)
        self.body.addWidget(self.figures, 1)
        self.card = NumberCard(theme, self)
        self.row_actions = RowActions(services, self, self.table, self.ask, self.edits)
        self.exporting = Exporting(services, self, self.charts, self.viewing, self._columns)
        self.courses = CourseReader(services, self)
        self.courses.arrived.connect(self._show_charts)
        self.card_place = CardPlace(self, self.table, self.card)
        self.environments = EnvironmentPlace(theme, self, self.row_actions, self.card_place)
        self.environment = self.environments.sheet
        self._connect_experiment()
        self._connect_parts()
        self._show_nothing("Reading the experiments")

    def _connect_experiment(self) -> None:
        experiment, viewing = self.experiment, self.viewing
        experiment.listed.connect(self.tools.experiments.show_rows)
        experiment.left.connect(self._leave)
        experiment.loaded.connect(self._loaded)
        experiment.waiting.connect(self._show_nothing)
        experiment.none.connect(self._show_none)
        experiment.unreadable.connect(self._show_unreadable)
        self.tools.experiments.chosen.connect(experiment.show)
        self.edits.done.connect(experiment.loader.again)
        viewing.changed.connect(self._show)
        viewing.invalid_changed.connect(self.services.actions.update)

    def _connect_parts(self) -> None:
        tools, table, notes, viewing = self.tools, self.table, self.notes, self.viewing
        tools.filter.changed.connect(viewing.set_text)
        tools.rows_chosen.connect(self._set_by_trial)
        tools.differences_toggled.connect(viewing.toggle_differences)
        tools.columns_chosen.connect(viewing.set_columns)
        tools.invalid_toggled.connect(viewing.toggle_invalid)
        tools.baseline_chosen.connect(self.row_actions.set_baseline)
        tools.export_asked.connect(self.exporting.export)
        tools.bundle_asked.connect(self.exporting.export_bundle)
        tools.copy_asked.connect(self.exporting.copy_table)
        tools.texts_toggled.connect(self.texts.toggle)
        self.texts.toggled.connect(self._texts_toggled)
        self.texts.view.copied.connect(self.exporting.say_copied)
        self.texts.view.setup_asked.connect(self._to_setup)
        table.eye_toggled.connect(viewing.toggle_eye)
        table.metric_chosen.connect(self.charts.choose_bars)
        table.sort_asked.connect(self._sort_by)
        table.menu_asked.connect(self._menu_asked)
        table.chosen_changed.connect(self.services.actions.update)
        notes.constant_toggled.connect(viewing.toggle_constant)
        notes.invalid_toggled.connect(viewing.toggle_invalid)
        self.card.trial_asked.connect(self.row_actions.open_trial)
        self.card.blocks_asked.connect(self.row_actions.more_blocks)
        self.card.copied.connect(self.exporting.say_card_copied)
        self.environment.copied.connect(self.exporting.say_environment_copied)

    # --- hooks of the window ----------------------------------------------------------------------

    def activated(self) -> None:
        self.experiment.loader.list()
        self.card_place.watch(True)

    def deactivated(self) -> None:
        self.card_place.watch(False)
        self.card_place.drop()

    def refresh(self, change: StoreChanged) -> None:
        self.experiment.refresh(change)

    def show_target(self, target: object) -> None:
        if isinstance(target, ShowExperiment):
            self.experiment.show(target.experiment)

    def shutdown(self) -> None:
        self.card_place.watch(False)
        self.experiment.loader.stop()

    def save_layout(self, settings: QSettings) -> None:
        super().save_layout(settings)
        self.viewing.save()
        self.experiment.save(settings)
        self.figures.save_layout(settings)

    def restore_layout(self, settings: QSettings) -> None:
        super().restore_layout(settings)
        self.experiment.restore(settings)
        self.figures.restore_layout(settings)

    def reset_layout(self) -> None:
        super().reset_layout()
        self.table.set_widths({})
        self.viewing.set_columns(())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.figures.set_room(self.width())
        self.tools.set_room(self.width())
        if self.loaded is not None:
            self._show_tools()
        self.card_place.follow()
        self.environment.follow()

    # --- what is shown ----------------------------------------------------------------------------

    @property
    def loaded(self) -> Loaded | None:
        """The experiment that is shown, as it was read last."""
        return self.experiment.now

    def _columns(self) -> tuple[str, ...]:
        """The metrics that are columns now."""
        return shown_metrics(self.loaded.comparison, self.viewing.choice.metrics) if self.loaded is not None else ()

    def _is_being_read(self) -> bool:
        return self.card.card is not None or bool(self.table.chosen())

    def _leave(self) -> None:
        self.card.dismiss()
        self.ask.close_()

    def _loaded(self) -> None:
        self.figures.show_figures(texts=self.texts.open)
        self._show()

    def _show(self) -> None:
        """Everything anew from what was loaded and chosen."""
        loaded = self.loaded
        for part in (self.row_actions, self.exporting, self.environments):
            part.set_loaded(loaded)
        if loaded is None:
            return
        choice, comparison = self.viewing.choice, loaded.comparison
        view = build(loaded, choice)
        self.table.show_view(view, choice.sort, choice.descending)
        self.tools.count.setText(count_text(loaded, view, choice.text))
        self.tools.filter.set_plain(view.plain)
        self._show_tools()
        same = {n: comparison.constant[n] for n in folded(comparison, replace(choice, show_constant=False))}
        invalid = sum(t.verdict == "invalid" and t.outcome == "completed" for t in loaded.detail.trials)
        notes = notes_of(comparison, self._columns(), loaded.detail.trials)
        self.notes.show_notes(same, choice.show_constant, notes, invalid, self.viewing.include_invalid)
        self._show_charts()
        self.texts.show(loaded)
        self.card_place.renew(loaded)
        self.services.actions.update()

    def _show_charts(self) -> None:
        loaded = self.loaded
        if loaded is None:
            return
        if loaded.comparison.training is not None:
            self.courses.read(loaded.kept)
        self.charts.show_comparison(loaded, self.courses.courses, self.viewing.choice.hidden)

    def _show_tools(self) -> None:
        viewing = self.viewing
        self.tools.show_state(self.loaded, viewing.choice, self._columns(), viewing.include_invalid)

    def _show_nothing(self, title: str, text: str = "", *, action: bool = False) -> None:
        self.figures.show_empty(title, text, action=action)
        for part in (self.row_actions, self.exporting, self.environments):
            part.set_loaded(None)
        self.tools.count.setText("")
        self.tools.show_state(None, self.viewing.choice, (), self.viewing.include_invalid)
        self.services.actions.update()

    def _show_none(self) -> None:
        self._show_nothing(
            "Nothing to compare yet",
            "Experiments appear here with their figures, intervals and verdicts once they have run. "
            "The demo runs a first one in a few minutes.",
            action=True,
        )

    def _show_unreadable(self, error: BaseException) -> None:
        self.services.toasts.error(error)
        if self.loaded is None:
            self._show_nothing("The experiment could not be read", str(error))

    def _to_setup(self) -> None:
        self.services.navigate("setup", None)

    # --- what the user asks for -------------------------------------------------------------------

    def _set_by_trial(self, by_trial: bool) -> None:
        self.card.dismiss()
        self.viewing.set_by_trial(by_trial)

    def toggle_by_trial(self) -> None:
        self._set_by_trial(not self.viewing.choice.by_trial)

    def _sort_by(self, key: str) -> None:
        column = self.table.view.column(key)
        if column is not None:
            self.viewing.sort_by(column)

    def sort_current(self) -> None:
        """By the column of the current cell."""
        column = self.table.compare_model.column_at(self.table.currentIndex().column())
        if column is not None:
            self.viewing.sort_by(column)

    def toggle_eyes(self) -> None:
        """Of the selected configurations."""
        self.viewing.toggle_eyes(frozenset(self.row_actions.selected().configurations))

    def has_cell(self) -> bool:
        return self.loaded is not None and self.table.currentIndex().isValid()

    def show_card(self) -> None:
        """Of the current cell."""
        self.card_place.open(self.table.currentIndex())

    def _menu_asked(self, at: QPoint) -> None:
        more = {"card": self.show_card, "eye": self.toggle_eyes, "environments": self.environments.show_selected}
        self.row_actions.pop_menu(at, more)

    def focus_filter(self) -> None:
        """The field that searches in what is shown: texts, environments, or the table."""
        if self.texts.open:
            self.texts.view.focus_search()
        elif self.environment.isVisible():
            self.environment.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        else:
            self.tools.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)
            self.tools.filter.selectAll()

    def _texts_toggled(self, opened: bool) -> None:
        self.card_place.drop()
        self.tools.texts.setChecked(opened)
        if self.loaded is not None:
            self.figures.show_figures(texts=opened)
        if opened:
            self.texts.view.prompts.setFocus(Qt.FocusReason.OtherFocusReason)
        self.services.actions.update()

    def trade_off(self, id: str) -> None:
        """Chart quality against "memory", "speed" or "energy"."""
        if self.texts.open:
            self.texts.toggle()
        self.charts.choose_trade_off(id)

    def recompute(self) -> None:
        """Figures of this experiment's trials again, with the formulas and settings of now; a second time stops it."""
        if self.recomputing.running:
            self.recomputing.stop()
        elif self.loaded is not None:
            row = self.loaded.detail.experiment
            self.recomputing.start(row.experiment, f"“{row.name}”")
