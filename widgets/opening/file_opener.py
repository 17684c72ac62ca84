"""Files that come to the window: opened by the menu, dropped on it, or named on the command line. Main thread."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QMimeData, QObject
from PySide6.QtWidgets import QFileDialog, QWidget

from widgets.background.bundles import Bundles
from widgets.opening.database import Database
from widgets.opening.dropped import target_of
from widgets.shell.services import Services
from widgets.shell.targets import ImportFolder


class FileOpener(QObject):
    """Finds out what a file is for and takes it there."""

    def __init__(self, services: Services, database: Database, parent: QWidget) -> None:
        super().__init__(parent)
        self._services, self._database, self._window = services, database, parent
        self.bundles = Bundles(services, parent)

    def ask(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self._window, "Open", "", "Experiments and models (*.toml *.gguf config.json bundle.json);;All files (*)"
        )
        if name:
            self.take(Path(name))

    def take(self, path: Path) -> None:
        """Open an experiment file, choose a model, take a whole experiment in; anything else is explained."""
        target = target_of(path)
        if isinstance(target, str):
            self._services.toasts.show("warning", target, "Nothing was changed.")
        elif isinstance(target, ImportFolder):
            self._database.when_ready(partial(self.bundles.import_, target.path))
        else:
            self._services.navigate("setup", target)

    def take_dropped(self, data: QMimeData) -> None:
        for url in data.urls():
            if url.isLocalFile():
                self.take(Path(url.toLocalFile()))

    @staticmethod
    def takes(data: QMimeData) -> bool:
        """Whether there is a file of this computer among what is dragged."""
        return any(url.isLocalFile() for url in data.urls())
