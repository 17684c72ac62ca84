"""Exports what the Compare page shows: files, bundles, the clipboard. Main thread."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from widgets.background.bundles import Bundles
from widgets.compare.charts_area import ChartsArea
from widgets.compare.table.views import Loaded
from widgets.compare.viewing import Viewing
from widgets.parts.exports import EVERYTHING, Exports, table_text
from widgets.shell.services import Services
from workbench.charts.stored import Chart, bar_chart
from workbench.export.bundle import file_name


class Exporting(QObject):
    """`set_loaded` tells it what is shown; nothing goes out while nothing is."""

    def __init__(
        self,
        services: Services,
        page: QWidget,
        charts: ChartsArea,
        viewing: Viewing,
        columns: Callable[[], tuple[str, ...]],
    ) -> None:
        super().__init__(page)
        self._toasts = services.toasts
        self._charts, self._viewing, self._columns = charts, viewing, columns
        self._loaded: Loaded | None = None
        self.exports = Exports(services, page)
        self.bundles = Bundles(services, page)
        for panel in (charts.course, charts.scatter, charts.bars):
            panel.export_asked.connect(self.exports.chart)
            panel.copied.connect(self.say_copied)

    def set_loaded(self, loaded: Loaded | None) -> None:
        self._loaded = loaded

    def export(self, formats: tuple[str, ...]) -> None:
        """Charts as they stand, a bar chart for every column, and the table, into a folder."""
        if self._loaded is None:
            return
        comparison, hidden, columns = self._loaded.comparison, self._viewing.choice.hidden, self._columns()
        bars = self._charts.shown_bars()
        metrics = dict.fromkeys((*columns, *([bars] if bars in comparison.metrics else [])))
        drawn: list[Chart] = [bar_chart(comparison, m, hidden) for m in metrics]
        scatter = self._charts.scatter.view.chart
        drawn += [scatter] if scatter is not None else []
        drawn += self._charts.course.charts() if self._charts.trains else ()
        read = self._charts.course.read if self._charts.trains else None
        self.exports.folder(comparison, columns, drawn, formats, read)

    def export_everything(self) -> None:
        self.export(EVERYTHING)

    def export_bundle(self) -> None:
        """The experiment with all records, as a folder of Parquet files."""
        if self._loaded is not None:
            row = self._loaded.detail.experiment
            self.bundles.ask_export(row.experiment, file_name(row.name))

    def copy_table(self) -> None:
        """All configurations with the shown columns, to the clipboard."""
        if self._loaded is not None:
            QGuiApplication.clipboard().setText(table_text(self._loaded.comparison, self._columns()))
            self.say_copied("The table")

    # --- said -------------------------------------------------------------------------------------

    def say_copied(self, what: str) -> None:
        """`what` begins a sentence: "The table", "The chart's values", "The texts"."""
        verb = "are" if what == "The texts" or what.endswith("values") else "is"
        self._toasts.show("good", f"{what} {verb} on the clipboard.")

    def say_environment_copied(self) -> None:
        self._toasts.show("good", "The facts of the environments are on the clipboard.")

    def say_card_copied(self) -> None:
        self.say_copied("The number with its provenance")
