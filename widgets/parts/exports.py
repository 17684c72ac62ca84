"""Charts and tables into files, off the main thread. Main thread but for `write_*`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QWidget

from widgets.parts.last_folder import LastFolder, open_folder
from widgets.shell.services import Services
from workbench.charts.stored import Chart
from workbench.comparison.courses import Read
from workbench.comparison.results import Comparison
from workbench.export.bundle import export_comparison, file_name
from workbench.export.spreadsheet import tab_separated
from workbench.export.tables import comparison_table

CHART_FORMATS = ("png", "svg", "pdf")
EVERYTHING = ("png", "svg", "csv", "md")
"""What "Charts and table" writes."""


class Exports(QObject):
    """Asks where to, writes on a thread of the bridge, says where it went."""

    def __init__(self, services: Services, parent: QWidget) -> None:
        super().__init__(parent)
        self._services = services
        self._window = parent
        self._folder = LastFolder(services.settings, "compare/export-folder")

    # --- asking -----------------------------------------------------------------------------------

    def chart(self, chart: Chart, format: str) -> None:
        """One chart as one file whose name the user may change."""
        proposed = self._folder.path / f"{file_name(f'{chart.title} {chart.subtitle}')}.{format}"
        name, _ = QFileDialog.getSaveFileName(
            self._window, f"Export {chart.title}", str(proposed), f"{format.upper()} (*.{format})"
        )
        if not name:
            return
        path = Path(name)
        if path.suffix.lower() != f".{format}":
            path = path.with_name(f"{path.name}.{format}")
        self._folder.remember(path.parent)
        self._run(partial(write_chart, chart, path))

    def folder(
        self,
        comparison: Comparison,
        metrics: Sequence[str],
        charts: Sequence[Chart],
        formats: Sequence[str],
        read: Read | None = None,
    ) -> None:
        """Tables and charts into a folder; files of the same names are replaced. `read`: of training, the courses."""
        title = "Choose the folder for the export; files of the same names are replaced"
        name = QFileDialog.getExistingDirectory(self._window, title, str(self._folder.path))
        if name:
            self._folder.remember(Path(name))
            self._run(partial(write_all, comparison, tuple(metrics), tuple(charts), tuple(formats), Path(name), read))

    def charts(self, charts: Sequence[Chart], name: str, format: str) -> None:
        """Charts into a folder, each as one file whose name begins with `name`; empty ones are left out."""
        title = "Choose the folder for the charts; files of the same names are replaced"
        chosen = QFileDialog.getExistingDirectory(self._window, title, str(self._folder.path))
        if chosen:
            self._folder.remember(Path(chosen))
            self._run(partial(write_charts, tuple(charts), name, (format,), Path(chosen)))

    # --- working ----------------------------------------------------------------------------------

    def _run(self, work: partial[tuple[Path, ...]]) -> None:
        self._services.bridge.run(work, self._written, self._failed)

    def _written(self, files: tuple[Path, ...]) -> None:
        if not files:
            self._services.toasts.show("info", "Nothing to export.", "There are no figures yet.")
            return
        what = files[0].name if len(files) == 1 else f"{len(files)} files"
        self._services.toasts.show(
            "good",
            f"Exported {what}.",
            str(files[0].parent),
            action="Open folder",
            handler=partial(open_folder, files[0].parent),
        )

    def _failed(self, error: BaseException) -> None:
        self._services.toasts.show(
            "error",
            f"The export could not be written: {error}",
            "The stored figures are not touched. Choose another folder, or free some space.",
        )


def write_chart(chart: Chart, path: Path) -> tuple[Path, ...]:
    """Any thread. Raises `OSError`."""
    from workbench.export import figures

    return (figures.save(chart, path),)


def write_all(
    comparison: Comparison,
    metrics: tuple[str, ...],
    charts: tuple[Chart, ...],
    formats: tuple[str, ...],
    folder: Path,
    read: Read | None = None,
) -> tuple[Path, ...]:
    """Tables by `workbench.export.bundle`, charts as the window shows them, in light colours. Any thread."""
    tables = tuple(f for f in formats if f not in CHART_FORMATS)
    written = list(export_comparison(comparison, folder, formats=tables, metrics=metrics, read=read)) if tables else []
    return (*written, *write_charts(charts, comparison.name, [f for f in formats if f in CHART_FORMATS], folder))


def write_charts(charts: Sequence[Chart], name: str, formats: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """Every chart that has something to draw in every format. Any thread. Raises `OSError`."""
    written: list[Path] = []
    for chart in charts:
        if chart.empty or not chart.series:
            continue
        for format in formats:
            written += write_chart(chart, folder / f"{file_name(name)}-{file_name(chart.title)}.{format}")
    return tuple(written)


def table_text(comparison: Comparison, metrics: Sequence[str]) -> str:
    """The table as tab-separated text, two lines of a cell joined."""
    header, rows = comparison_table(comparison, metrics)
    return tab_separated((header, *rows))
