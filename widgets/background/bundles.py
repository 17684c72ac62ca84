"""Whole experiments out of the database and into it, as folders of Parquet files. Main thread; works elsewhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QWidget

from widgets.parts.last_folder import LastFolder, open_folder
from widgets.shell.services import Services
from widgets.shell.targets import ShowExperiment
from workbench.store.operations import Bundled, ExperimentRow, GetExperiment
from workbench.units import counted


class Bundles(QObject):
    """Asks where, writes or reads, says what came of it."""

    def __init__(self, services: Services, parent: QWidget) -> None:
        super().__init__(parent)
        self._services = services
        self._window = parent
        self._folder = LastFolder(services.settings, "stored/bundle-folder")

    # --- out ----------------------------------------------------------------------------------------

    def ask_export(self, experiment: str, proposed: str) -> None:
        """Where to: the name of a new folder, or of one with an older bundle. `experiment` by id."""
        title = "Name a new folder for the experiment, or one with an older bundle of it"
        name, _ = QFileDialog.getSaveFileName(
            self._window,
            title,
            str(self._folder.path / proposed),
            "Folders (*)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if name:
            self._folder.remember(Path(name).parent)
            self.export(experiment, Path(name))

    def export(self, experiment: str, folder: Path) -> None:
        workbench = self._services.workbench
        if workbench is None:
            return

        def written(done: Bundled) -> None:
            left = f" {counted(done.left_out, 'trials')} had not ended and are left out." if done.left_out else ""
            self._services.toasts.show(
                "good",
                f"Exported {counted(done.trials, 'trials')} with all records to {folder.name}.{left}",
                str(folder),
                action="Open folder",
                handler=partial(open_folder, folder),
            )

        work = partial(workbench.stored.export_bundle, experiment, folder)
        self._services.bridge.run(work, written, self._services.toasts.error, receiver=self)

    # --- in -----------------------------------------------------------------------------------------

    def ask_import(self) -> None:
        """Which folder."""
        title = "Choose the folder of an exported experiment (it holds bundle.json)"
        name = QFileDialog.getExistingDirectory(self._window, title, str(self._folder.path))
        if name:
            self._folder.remember(Path(name).parent)
            self.import_(Path(name))

    def import_(self, folder: Path) -> None:
        """Take a bundle in; its experiment can be shown from the message."""
        workbench = self._services.workbench
        if workbench is None:
            return

        def work() -> tuple[Bundled, ExperimentRow]:
            done = workbench.stored.import_bundle(folder)
            return done, workbench.store.execute(GetExperiment(experiment=done.experiment)).experiment

        self._services.bridge.run(work, self._imported, self._services.toasts.error, receiver=self)

    def _imported(self, answer: tuple[Bundled, ExperimentRow]) -> None:
        done, row = answer
        show = partial(self._services.navigate, "compare", ShowExperiment(row.experiment))
        if done.trials:
            known = f" {counted(done.left_out, 'trials')} were stored already." if done.left_out else ""
            text = f"Imported {counted(done.trials, 'trials')} of “{row.name}”.{known}"
            self._services.toasts.show("good", text, action="Compare", handler=show)
        else:
            text = f"Nothing to import: all {counted(done.left_out, 'trials')} of “{row.name}” are stored already."
            self._services.toasts.show("info", text, action="Compare", handler=show)
