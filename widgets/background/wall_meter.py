"""A wall meter's readings for a stored trial, from a CSV file the user names. Main thread; the work is elsewhere."""

from __future__ import annotations

from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from engines.protocol.problems import advice_of
from widgets.shell.services import Services

_FOLDER = "stored/meter-folder"


class WallMeterImport(QObject):
    """Asks for the file, imports it, says what came of it."""

    done = Signal(str)
    """The trial whose figures were made again."""

    def __init__(self, services: Services, parent: QWidget) -> None:
        super().__init__(parent)
        self._services = services
        self._window = parent

    def ask(self, trial: str) -> None:
        """Which file the readings of a trial (by id) are in."""
        saved = self._services.settings.value(_FOLDER)
        folder = saved if isinstance(saved, str) and Path(saved).is_dir() else str(Path.home())
        name, _ = QFileDialog.getOpenFileName(
            self._window,
            "Wall meter readings: a CSV with times and watts",
            folder,
            "Readings (*.csv *.tsv *.txt);;All files (*)",
        )
        if name:
            self._services.settings.setValue(_FOLDER, str(Path(name).parent))
            self.take(trial, Path(name))

    def take(self, trial: str, path: Path, zone: tzinfo | None = None) -> None:
        """Import a file. `zone` is that of times without one, None this computer's."""
        workbench = self._services.workbench
        if workbench is None:
            return

        def stored(readings: int) -> None:
            self._services.toasts.show(
                "good",
                f"{readings:,} readings of {path.name} are stored with the trial.",
                "Energy at the wall is among its figures, if enough of them fell into the measured window.",
            )
            self.done.emit(trial)

        def failed(error: BaseException) -> None:
            message = f"{error} Nothing was stored."
            advice = advice_of(error)
            if getattr(error, "is_other_time", False) and zone is None:
                again = partial(self.take, trial, path, UTC)
                self._services.toasts.show("error", message, advice, action="Read its times as UTC", handler=again)
            else:
                self._services.toasts.show("error", message, advice)

        work = partial(workbench.stored.import_wall_meter, trial, path, zone)
        self._services.bridge.run(work, stored, failed, receiver=self)
