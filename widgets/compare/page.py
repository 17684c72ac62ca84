"""The Compare page: which experiment is shown, and how its parts work together. Main thread.

`Loader` reads and compares elsewhere, `build` makes the table's rows, the parts draw; the page holds the user's choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from PySide6.QtCore import QPoint, QSettings, Qt
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QSplitter, QStackedWidget, QVBoxLayout, QWidget

from widgets.bundles import Bundles
from widgets.compare import memory
from widgets.compare.ask_bar import AskBar
from widgets.compare.build import build, folded, shown_metrics
from widgets.compare.card import NumberCard
from widgets.compare.card_place import CardPlace
from widgets.compare.charts_area import AGAINST, ChartsArea
from widgets.compare.deeds import RowDeeds
from widgets.compare.edits import CompareEdits
from widgets.compare.environment import EnvironmentSheet
from widgets.compare.environment_sections import MOST_SIDES, side_of_row, side_of_trials
from widgets.compare.exports import Exports, table_text
from widgets.compare.loading import Loader
from widgets.compare.notes import NotesBar, notes_of
from widgets.compare.page_actions import compare_actions
from widgets.compare.table import CompareTable
from widgets.compare.texts_place import TextsPlace
from widgets.compare.tools import CompareTools
from widgets.compare.views import Loaded, TableView
from widgets.components import EmptyState
from widgets.page import Page
from widgets.recomputing import Recomputing
from widgets.services import Services
from widgets.targets import ShowExperiment
from workbench.charts import Chart, bar_chart
from workbench.events import StoreChanged
from workbench.export.bundle import file_name
from workbench.store.operations import ExperimentRow, StoreError

NARROW = 1280
"""Under this window width the charts stand behind tabs."""
_RAIL = 72
_TWO_CHARTS = 1000
"""What two charts side by side need, at the text scale."""


class ComparePage(Page):
    name = "compare"
    title = "Compare"
    icon = "bars"

    def __init__(self, services: Services, parent: QWidget | None = None) -> None:
        super().__init__(services, parent)
        theme = services.theme
        self.choice = memory.load_choice(services.settings)
        self.include_invalid = False
        self.loaded: Loaded | None = None
        self._experiments: tuple[ExperimentRow, ...] = ()
        self._by_user = False
        """Whether the user chose the experiment; otherwise it is the newest."""
        self._closed_eyes: dict[str, frozenset[str]] = {}
        self.loader = Loader(services, self)
        self.edits = CompareEdits(services, self)
        self.exports = Exports(services, self)
        self.bundles = Bundles(services, self)
        self.recomputing = Recomputing(services, self)
        self.tools = CompareTools(theme, self.toolbar, self)
        self.ask = AskBar(theme)
        self.table = CompareTable(theme)
        self.notes = NotesBar(theme)
        self.charts = ChartsArea(theme)
        self.texts = TextsPlace(services, self)
        self.empty = EmptyState(theme, "", icon_name="bars", action="Go to the demo", clicked=self._to_setup)
        self._build()
        self.card = NumberCard(theme, self)
        self.environment = EnvironmentSheet(theme, self)
        self.deeds = RowDeeds(services, self, self.table, self.ask, self.edits)
        self.card_place = CardPlace(self, self.table, self.card)
        self._connect()
        self._add_actions()
        self._show_nothing("Reading the experiments", "")

    def _build(self) -> None:
        upper = QWidget()
        column = QVBoxLayout(upper)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.table, 1)
        column.addWidget(self.notes)
        upper.setMinimumHeight(self.services.theme.px(150))
        self.charts.setMinimumHeight(self.services.theme.px(180))
        self._split = QSplitter(Qt.Orientation.Vertical)
        self._split.setObjectName("main")
        self._split.setHandleWidth(1)
        self._split.setChildrenCollapsible(False)
        self._split.addWidget(upper)
        self._split.addWidget(self.charts)
        # table and charts grow and shrink together
        self._split.setStretchFactor(0, 344)
        self._split.setStretchFactor(1, 416)
        self._split.setSizes([344, 416])
        self._pages = QStackedWidget()
        self._pages.addWidget(self.empty)
        self._pages.addWidget(self._split)
        self._pages.addWidget(self.texts.view)
        self.body.addWidget(self.ask)
        self.body.addWidget(self._pages, 1)

    def _connect(self) -> None:
        self.loader.listed.connect(self._listed)
        self.loader.loaded.connect(self._loaded)
        self.loader.failed.connect(self._failed)
        self.edits.done.connect(self.loader.again)
        self.edits.changed.connect(self.services.actions.update)
        tools = self.tools
        tools.experiments.chosen.connect(self.show_experiment)
        tools.filter.changed.connect(self._filter_changed)
        tools.rows_chosen.connect(self._set_by_trial)
        tools.differences_toggled.connect(self.toggle_differences)
        tools.columns_chosen.connect(self.set_columns)
        tools.invalid_toggled.connect(self.toggle_invalid)
        tools.baseline_chosen.connect(self.deeds.set_baseline)
        tools.export_asked.connect(self.export)
        tools.bundle_asked.connect(self.export_bundle)
        tools.copy_asked.connect(self.copy_table)
        tools.texts_toggled.connect(self.texts.toggle)
        self.texts.toggled.connect(self._texts_toggled)
        self.texts.view.copied.connect(self._texts_copied)
        self.texts.view.setup_asked.connect(self._to_setup)
        table = self.table
        table.eye_toggled.connect(self.toggle_eye)
        table.metric_chosen.connect(self.charts.choose_bars)
        table.sort_asked.connect(self.sort_by)
        table.menu_asked.connect(self._menu_asked)
        table.chosen_changed.connect(self.services.actions.update)
        self.notes.constant_toggled.connect(self.toggle_constant)
        self.notes.invalid_toggled.connect(self.toggle_invalid)
        for panel in (self.charts.scatter, self.charts.bars):
            panel.export_asked.connect(self.exports.chart)
            panel.copied.connect(self._copied)
        self.card.trial_asked.connect(self.deeds.open_trial)
        self.card.copied.connect(self._card_copied)
        self.card.environment_asked.connect(self._card_environment)
        self.environment.copied.connect(self._environment_copied)

    def _add_actions(self) -> None:
        deeds = self.deeds
        do: dict[str, Callable[[], None]] = {
            "filter": self._focus_filter,
            "by-trial": self._toggle_by_trial,
            "differences": self.toggle_differences,
            "invalid": self.toggle_invalid,
            "sort": self._sort_current,
            "card": self._current_card,
            "open": deeds.open,
            "baseline": deeds.make_baseline,
            "eye": self._eye_chosen,
            "retry": deeds.retry_failed,
            "again": deeds.run_again,
            "edit": deeds.edit_as_new,
            "recompute": self.recompute,
            "wall-meter": deeds.import_meter,
            "bundle": self.export_bundle,
            "rename": deeds.rename,
            "delete": deeds.delete,
            "export": self._export_everything,
            "copy-table": self.copy_table,
            "environments": self.compare_environments,
            "texts": self.texts.toggle,
            **{f"quality-{id}": partial(self._trade_off, id) for id, _ in AGAINST},
        }
        can: dict[str, Callable[[], bool]] = {
            **{f"quality-{id}": partial(self.charts.can_trade_off, id) for id, _ in AGAINST},
            "loaded": lambda: self.loaded is not None,
            "cell": self._has_cell,
            "figure": self.table.on_figure,
            "rows": lambda: bool(deeds.selected().rows),
            "sides": lambda: 1 <= len(deeds.selected().rows) <= MOST_SIDES,
            "trials": lambda: bool(deeds.selected().trials),
            "configuration": deeds.can_be_baseline,
            "failed": lambda: bool(deeds.selected().failed),
            "ended": lambda: bool(deeds.selected().ended),
            "one-ended": lambda: len(deeds.selected().ended) == 1,
        }
        on = {
            "by-trial": lambda: self.choice.by_trial,
            "differences": lambda: self.choice.differences_first,
            "invalid": lambda: self.include_invalid,
            "texts": lambda: self.texts.open,
        }
        self.services.actions.add(*compare_actions(do, can, on))

    # --- hooks of the window ----------------------------------------------------------------------

    def activated(self) -> None:
        self.loader.list()
        self.card_place.watch(True)

    def deactivated(self) -> None:
        self.card_place.watch(False)
        self._drop_card()

    def _drop_card(self) -> None:
        """Away with the card, unless it is pinned."""
        if not self.card.pinned:
            self.card.dismiss()

    def refresh(self, change: StoreChanged) -> None:
        """Read again only what is shown; the list of experiments is short and always read."""
        if not change.experiments and not change.trials:
            self.loader.again()
            return
        shown = self.loaded.detail if self.loaded is not None else None
        mine = shown is None or shown.experiment.experiment in change.experiments
        mine = mine or (shown is not None and any(t.trial in change.trials for t in shown.trials))
        if mine:
            self.loader.again()
        else:
            self.loader.list()

    def show_target(self, target: object) -> None:
        if isinstance(target, ShowExperiment):
            self.show_experiment(target.experiment)

    def undo(self) -> bool:
        return self.edits.undo()

    def undo_text(self) -> str:
        return self.edits.undo_text

    def shutdown(self) -> None:
        self.card_place.watch(False)
        self.loader.stop()

    def save_layout(self, settings: QSettings) -> None:
        super().save_layout(settings)
        memory.save_choice(settings, self.choice)
        charts = self.charts
        memory.save_layout(settings, self.table.widths, charts.bars_metric, charts.pair, charts.tabs.currentIndex())

    def restore_layout(self, settings: QSettings) -> None:
        super().restore_layout(settings)
        widths, bars, pair, tab = memory.load_layout(settings)
        self.table.set_widths(widths)
        self.charts.bars_metric, self.charts.pair = bars, pair
        self.charts.tabs.setCurrentIndex(tab)

    def reset_layout(self) -> None:
        super().reset_layout()
        self.table.set_widths({})
        self.set_columns(())

    # --- which experiment -------------------------------------------------------------------------

    def show_experiment(self, experiment: str) -> None:
        """By id; chosen by the user or by another page."""
        self._by_user = True
        self._want(experiment)

    def _want(self, experiment: str) -> None:
        if experiment != self.loader.experiment:
            self.card.dismiss()
            self.ask.close_()
            row = next((r for r in self._experiments if r.experiment == experiment), None)
            if self.loaded is None:
                what = f"Reading {row.trials} trials" if row is not None else "Reading the experiment"
                self._show_nothing(what, "")
        self.tools.experiments.show_rows(self._experiments, experiment)
        self.loader.want(experiment, include_invalid=self.include_invalid)

    def _listed(self, rows: tuple[ExperimentRow, ...]) -> None:
        self._experiments = rows
        known = {r.experiment for r in rows}
        current = self.loader.experiment
        newest = rows[0].experiment if rows else ""
        if not rows:
            self.loaded = None
            self.loader.want_nothing()
            self.tools.experiments.show_rows((), "")
            self._show_nothing(
                "Nothing to compare yet",
                "Experiments that were run stand here with their figures, intervals and verdicts. "
                "The demo runs a first one in a few minutes.",
                action=True,
            )
        elif current not in known or (not self._by_user and current != newest and not self._is_being_read()):
            self._by_user = self._by_user and current in known
            self._want(newest)
        else:
            self.tools.experiments.show_rows(rows, current)

    def _is_being_read(self) -> bool:
        """Whether the user is looking at something: then a newer experiment does not take its place."""
        return self.card.card is not None or bool(self.table.chosen())

    def _loaded(self, loaded: Loaded) -> None:
        self.loaded = loaded
        experiment = loaded.detail.experiment.experiment
        known = {r.configuration for r in loaded.comparison.rows}
        hidden = self._closed_eyes.get(experiment, frozenset()) & known
        self.choice = replace(self.choice, hidden=hidden)
        self._pages.setCurrentIndex(2 if self.texts.open else 1)
        self._show()

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, StoreError) and error.code == "not_found":
            # deleted meanwhile: the list says what there is now
            self.loaded = None
            self.loader.want_nothing()
            self._by_user = False
            self.loader.list()
            return
        self.services.toasts.error(error)
        if self.loaded is None:
            self._show_nothing("The experiment could not be read", str(error))

    def _show_nothing(self, title: str, text: str, *, action: bool = False) -> None:
        self.empty.set(title, text)
        self.empty.button.setVisible(action)
        self._pages.setCurrentIndex(0)
        self.deeds.set_loaded(None)
        self.environment.leave()
        self.tools.count.setText("")
        self.tools.show_state(None, self.choice, (), self.include_invalid)
        self.services.actions.update()

    def _to_setup(self) -> None:
        self.services.navigate("setup", None)

    # --- what is shown ----------------------------------------------------------------------------

    @property
    def columns(self) -> tuple[str, ...]:
        """The metrics that are columns now."""
        return shown_metrics(self.loaded.comparison, self.choice.metrics) if self.loaded is not None else ()

    def _show(self) -> None:
        """Everything anew from what was loaded and chosen."""
        loaded = self.loaded
        self.deeds.set_loaded(loaded)
        if loaded is None:
            return
        choice, comparison = self.choice, loaded.comparison
        view = build(loaded, choice)
        self.table.show_view(view, choice.sort, choice.descending)
        self.tools.count.setText(count_text(loaded, view, choice.text))
        self.tools.filter.set_plain(view.plain)
        self.tools.show_state(loaded, choice, self.columns, self.include_invalid)
        same = {n: comparison.constant[n] for n in folded(comparison, replace(choice, show_constant=False))}
        invalid = sum(t.verdict == "invalid" and t.outcome == "completed" for t in loaded.detail.trials)
        notes = notes_of(comparison, self.columns)
        self.notes.show_notes(same, choice.show_constant, notes, invalid, self.include_invalid)
        self.charts.show_comparison(comparison, choice.hidden)
        self.texts.show(loaded)
        self.card_place.renew(loaded)
        self.services.actions.update()

    def _choose(self, **changes: object) -> None:
        self.choice = replace(self.choice, **changes)  # type: ignore[arg-type]
        memory.save_choice(self.services.settings, self.choice)
        self._show()

    def _filter_changed(self, text: str) -> None:
        self._choose(text=text)

    def _set_by_trial(self, by_trial: bool) -> None:
        self.card.dismiss()
        self._choose(by_trial=by_trial)

    def _toggle_by_trial(self) -> None:
        self._set_by_trial(not self.choice.by_trial)

    def toggle_differences(self) -> None:
        self._choose(differences_first=not self.choice.differences_first, show_constant=False)

    def toggle_constant(self) -> None:
        """The columns that are the same for all: shown, or folded into a line."""
        self._choose(show_constant=not self.choice.show_constant)

    def set_columns(self, metrics: tuple[str, ...]) -> None:
        """() for the primary ones."""
        self._choose(metrics=metrics)

    def sort_by(self, key: str) -> None:
        column = self.table.view.column(key)
        if column is not None:
            self.choice = self.choice.sorted_by(column)
            self._choose()

    def _sort_current(self) -> None:
        column = self.table.compare_model.column_at(self.table.currentIndex().column())
        if column is not None:
            self.sort_by(column.key)

    def toggle_invalid(self) -> None:
        """Whether invalid trials count."""
        self.include_invalid = not self.include_invalid
        if self.loader.experiment:
            self.loader.want(self.loader.experiment, include_invalid=self.include_invalid)
        self.services.actions.update()

    def toggle_eye(self, configuration: str) -> None:
        self._set_hidden(self.choice.hidden ^ {configuration})

    def _eye_chosen(self) -> None:
        chosen = frozenset(self.deeds.selected().configurations)
        all_hidden = chosen <= self.choice.hidden
        self._set_hidden(self.choice.hidden - chosen if all_hidden else self.choice.hidden | chosen)

    def _set_hidden(self, hidden: frozenset[str]) -> None:
        self._closed_eyes[self.loader.experiment] = hidden
        self._choose(hidden=hidden)

    # --- texts and trade-offs ---------------------------------------------------------------------

    def _texts_toggled(self, opened: bool) -> None:
        self._drop_card()
        self.tools.texts.setChecked(opened)
        if self.loaded is not None:
            self._pages.setCurrentIndex(2 if opened else 1)
        if opened:
            self.texts.view.prompts.setFocus(Qt.FocusReason.OtherFocusReason)
        self.services.actions.update()

    def _texts_copied(self, what: str) -> None:
        self.services.toasts.show("good", f"{what} {'are' if what == 'The texts' else 'is'} on the clipboard.")

    def _trade_off(self, id: str) -> None:
        if self.texts.open:
            self.texts.toggle()
        self.charts.choose_trade_off(id)

    def _focus_filter(self) -> None:
        if self.texts.open:
            self.texts.view.focus_search()
            return
        if self.environment.isVisible():
            self.environment.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
            return
        self.tools.filter.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.tools.filter.selectAll()

    # --- rows ---------------------------------------------------------------------------------------

    def _has_cell(self) -> bool:
        return self.loaded is not None and self.table.currentIndex().isValid()

    def _current_card(self) -> None:
        self.card_place.open(self.table.currentIndex())

    def _menu_asked(self, at: QPoint) -> None:
        more = {"card": self._current_card, "eye": self._eye_chosen, "environments": self.compare_environments}
        self.deeds.pop_menu(at, more)

    def compare_environments(self) -> None:
        """Where and how the selected rows ran, side by side; of one row what its trials did not share."""
        rows = self.deeds.selected().rows[:MOST_SIDES]
        if self.loaded is not None and rows:
            self._drop_card()
            self.environment.show_sides([side_of_row(self.loaded, row) for row in rows])

    def _card_environment(self, configuration: str, trial: str) -> None:
        if self.loaded is not None:
            self._drop_card()
            self.environment.show_sides([side_of_trials(self.loaded, configuration, trial)])

    # --- out ----------------------------------------------------------------------------------------

    def export(self, formats: tuple[str, ...]) -> None:
        """Charts as they stand, a bar chart for every column, and the table, into a folder."""
        if self.loaded is None:
            return
        comparison, hidden = self.loaded.comparison, self.choice.hidden
        bars = self.charts.shown_bars()
        metrics = dict.fromkeys((*self.columns, *([bars] if bars in comparison.metrics else [])))
        drawn: list[Chart] = [bar_chart(comparison, m, hidden) for m in metrics]
        scatter = self.charts.scatter.view.chart
        drawn += [scatter] if scatter is not None else []
        self.exports.folder(comparison, self.columns, drawn, formats)

    def _export_everything(self) -> None:
        self.export(("png", "svg", "csv", "md"))

    def export_bundle(self) -> None:
        """The experiment with all records, as a folder of Parquet files."""
        if self.loaded is not None:
            row = self.loaded.detail.experiment
            self.bundles.ask_export(row.experiment, file_name(row.name))

    def recompute(self) -> None:
        """Figures of this experiment's trials again, with the formulas and settings of now; a second time stops it."""
        if self.recomputing.running:
            self.recomputing.stop()
        elif self.loaded is not None:
            row = self.loaded.detail.experiment
            self.recomputing.start(row.experiment, f"“{row.name}”")

    def copy_table(self) -> None:
        """All configurations with the shown columns, to the clipboard."""
        if self.loaded is not None:
            QGuiApplication.clipboard().setText(table_text(self.loaded.comparison, self.columns))
            self._copied("The table")

    def _copied(self, what: str) -> None:
        verb = "are" if what.endswith("values") else "is"
        self.services.toasts.show("good", f"{what} {verb} on the clipboard.")

    def _environment_copied(self) -> None:
        self.services.toasts.show("good", "The facts of the environments are on the clipboard.")

    def _card_copied(self) -> None:
        self._copied("The number with its provenance")

    # --- layout -------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        px = self.services.theme.px
        narrow = self.width() + px(_RAIL) < NARROW or self.width() < px(_TWO_CHARTS)
        self.charts.set_narrow(narrow)
        self.tools.set_room(self.width())
        if self.loaded is not None:
            self.tools.show_state(self.loaded, self.choice, self.columns, self.include_invalid)
        self.card_place.follow()
        self.environment.follow()


def count_text(loaded: Loaded, view: TableView, filter_text: str) -> str:
    """ "9 trials", "4 of 9 trials" under a filter, "6 of 9 trials so far" while some have not ended."""
    total, unfinished = view.total, loaded.unfinished
    noun = "trial" if total == 1 else "trials"
    if filter_text.strip():
        return f"{view.trials} of {total} {noun}"
    if unfinished:
        return f"{total - unfinished} of {total} {noun} so far"
    return f"{total} {noun}"
