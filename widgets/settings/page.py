"""The settings: look, what estimates rest on, database, what is kept on disk. Main thread; sizes are measured on the
bridge's threads.
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from widgets.background.disk_use import DiskUse, clear_folder, measure
from widgets.background.recomputing import Recomputing
from widgets.parts.components import SegmentedControl, label, line, push_button
from widgets.parts.layout import flush_column
from widgets.settings.estimates import EstimatesGroup
from widgets.settings.rows import Rows
from widgets.shell.page import Page
from widgets.shell.services import Services
from widgets.theme.design import MODES, SCALES
from workbench.units import format_bytes

CONTENT = 760


class SettingsPage(Page):
    """Changes take effect at once; there is no OK."""

    name = "settings"
    title = "Settings"
    icon = "gear"

    database_asked = Signal()
    """Choose another database."""
    look_changed = Signal()

    def __init__(self, services: Services, database: Path, parent: QWidget | None = None) -> None:
        super().__init__(services, parent)
        self._confirming = False
        theme = services.theme
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setProperty("ring", False)
        inner = QWidget()
        scroll.setWidget(inner)
        self.body.addWidget(scroll)
        outer = QHBoxLayout(inner)
        pad = theme.px(24)
        outer.setContentsMargins(pad, pad, pad, pad)
        self._content = QWidget()
        outer.addWidget(self._content, 100)
        outer.addStretch(1)
        column = flush_column(self._content, theme.px(12))

        column.addWidget(label("Look", role="panel_title"))
        self.mode = SegmentedControl(theme, ("Light", "Dark", "As the system"), "Theme")
        self.mode.choose(MODES.index(theme.mode))
        self.mode.chosen.connect(self._choose_mode)
        self.scale = SegmentedControl(theme, tuple(f"{s:.0%}" for s in SCALES), "Text size")
        self._sync_scale()
        self.scale.chosen.connect(self._choose_scale)
        look = self._rows(column)
        look.add("Theme", self.mode)
        look.add("Text size", self.scale)
        column.addWidget(line(inner))

        self.recomputing = Recomputing(services, self)
        self.estimates = EstimatesGroup(services, self.recomputing)
        column.addWidget(self.estimates)
        column.addWidget(line(inner))

        column.addWidget(label("Database", role="panel_title"))
        stored = self._rows(column)
        self.database = label(str(database), role="mono", wrap=True, selectable=True)
        choose = push_button("Choose another", self.database_asked.emit)
        stored.add("File", self.database, "", choose)
        column.addWidget(line(inner))

        column.addWidget(label("Disk", role="panel_title"))
        disk = self._rows(column)
        self.database_size = label("measuring", tone="secondary")
        self.models_size = label("measuring", tone="secondary")
        self.spools_size = label("measuring", tone="secondary")
        self.crashes_size = label("measuring", tone="secondary")
        self.clear_models = push_button("Delete converted models", self._ask_clear)
        self.clear_crashes = push_button("Delete crash reports", self._clear_crashes)
        self.show_crashes = push_button("Open folder", self._open_crashes)
        disk.add("Database", self.database_size, "All experiments, trials and samples.")
        disk.add(
            "Models in the cache",
            self.models_size,
            "Fetched and converted by the application; they can be recreated. Your own model folders are not included.",
            self.clear_models,
        )
        disk.add(
            "Spools",
            self.spools_size,
            "What trials wrote while they ran. The runner deletes a spool once the database has all of it.",
        )
        disk.add("Crash reports", self.crashes_size, "", self.show_crashes, self.clear_crashes)
        column.addStretch(1)
        theme.follow(self._resize)

    def set_database(self, database: Path) -> None:
        self.database.setText(str(database))
        if self.isVisible():
            self._measure()

    def activated(self) -> None:
        self._measure()
        self.estimates.activated()

    def deactivated(self) -> None:
        self.estimates.settle()

    def shutdown(self) -> None:
        self.estimates.settle()

    # --- look ---------------------------------------------------------------------------------------

    def _choose_mode(self, index: int) -> None:
        self.services.theme.choose(mode=MODES[index])
        self.look_changed.emit()

    def _choose_scale(self, index: int) -> None:
        self.services.theme.choose(scale=SCALES[index])
        self.look_changed.emit()

    def sync(self) -> None:
        """The look was changed elsewhere (menu, corner button)."""
        for control, index in ((self.mode, MODES.index(self.services.theme.mode)), (self.scale, self._scale_index())):
            control.blockSignals(True)
            control.choose(index)
            control.blockSignals(False)

    def _sync_scale(self) -> None:
        self.scale.choose(self._scale_index())

    def _scale_index(self) -> int:
        return min(range(len(SCALES)), key=lambda i: abs(SCALES[i] - self.services.theme.scale))

    # --- disk ---------------------------------------------------------------------------------------

    def _measure(self) -> None:
        self.services.bridge.run(self._measure_now, self._measured, self.services.toasts.error, receiver=self)

    def _measure_now(self) -> DiskUse:
        workbench = self.services.workbench
        database = workbench.database if workbench is not None else Path(self.database.text())
        return measure(self.services.places, database)

    def _measured(self, use: DiskUse) -> None:
        self.database_size.setText(format_bytes(use.database_bytes))
        self.models_size.setText(format_bytes(use.models_bytes))
        self.spools_size.setText(f"{format_bytes(use.spools_bytes)} in {use.spools} files")
        self.crashes_size.setText(f"{use.crashes} files, {format_bytes(use.crashes_bytes)}")
        self.clear_models.setEnabled(use.models_bytes > 0)
        self.clear_models.setToolTip("" if use.models_bytes else "Nothing to delete")
        self.clear_crashes.setEnabled(use.crashes > 0)
        self.clear_crashes.setToolTip("" if use.crashes else "Nothing to delete")

    def _ask_clear(self) -> None:
        """Asks once, in place: the second press deletes."""
        if not self._confirming:
            self._confirming = True
            self.clear_models.setText("Really delete them?")
            return
        self._confirming = False
        self.clear_models.setText("Delete converted models")
        queue = self.services.bridge.queue
        if queue is not None and (queue.in_state("running") or queue.in_state("waiting")):
            self.services.toasts.show(
                "warning",
                "The models were not deleted: trials that run or wait may need them.",
                "Delete them when the queue is empty.",
            )
            return
        self.services.bridge.run(self._clear_models_now, self._cleared, self.services.toasts.error, receiver=self)

    def _clear_models_now(self) -> int:
        return clear_folder(self.services.places.models)

    def _clear_crashes(self) -> None:
        self.services.bridge.run(self._clear_crashes_now, self._cleared, self.services.toasts.error, receiver=self)

    def _clear_crashes_now(self) -> int:
        return clear_folder(self.services.places.crashes, only="*.txt", keep_open=True)

    def _cleared(self, freed: int) -> None:
        self.services.toasts.show("good", f"{format_bytes(freed)} freed.")
        self._measure()

    def _open_crashes(self) -> None:
        self.services.places.crashes.mkdir(parents=True, exist_ok=True)
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.services.places.crashes)))

    # --- layout -------------------------------------------------------------------------------------

    def _rows(self, column: QVBoxLayout) -> Rows:
        made = Rows(self.services.theme)
        column.addWidget(made)
        return made

    def _resize(self) -> None:
        self._content.setMaximumWidth(self.services.theme.px(CONTENT))
