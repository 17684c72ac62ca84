"""Experiment files of Setup: dialogs, recent files, reading and writing off the main thread.

Created and asked on the main thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, QSettings, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from engines.protocol.problems import Problem
from widgets.shell.services import Services
from workbench.experiment.experiment import Experiment
from workbench.experiment.file import dump, load

_RECENT = 10
_FILTER = "Experiments (*.toml);;All files (*)"

Loaded = tuple[Experiment | None, tuple[Problem, ...]]


class Files(QObject):
    """Reads and writes; the page decides what becomes of it."""

    read = Signal(object, object, object)
    """path, `Experiment` or None, problems"""
    written = Signal(object, object)
    """path, the `Experiment` that it holds now"""

    def __init__(self, services: Services, window: QWidget) -> None:
        super().__init__(window)
        self._services = services
        self._window = window

    def ask_open(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self._window, "Open experiment", str(self._folder()), _FILTER)
        if name:
            self.open(Path(name))

    def open(self, path: Path) -> None:
        self.remember(path)

        def success(result: Loaded) -> None:
            self.read.emit(path, *result)

        self._services.bridge.run(lambda: load(path), success, self._services.toasts.error, receiver=self)

    def ask_save(self, experiment: Experiment) -> None:
        suggested = self._folder() / f"{stem(experiment.name)}.toml"
        name, _ = QFileDialog.getSaveFileName(self._window, "Save experiment", str(suggested), _FILTER)
        if name:
            path = Path(name)
            self.save(experiment, path if path.suffix else path.with_suffix(".toml"))

    def save(self, experiment: Experiment, path: Path) -> None:
        def success(_: None) -> None:
            self.remember(path)
            self.written.emit(path, experiment)

        self._services.bridge.run(lambda: write(experiment, path), success, self._failed, receiver=self)

    def _failed(self, error: BaseException) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        self._services.toasts.show(
            "error",
            f"The experiment was not saved: {reason}.",
            "What was there before is untouched. Save it elsewhere.",
        )

    def ask_folder(self, done: Callable[[Path], None]) -> None:
        name = QFileDialog.getExistingDirectory(self._window, "Look for models in", str(Path.home()))
        if name:
            done(Path(name))

    # --- memory -----------------------------------------------------------------------------------

    def recent(self) -> tuple[Path, ...]:
        """The last files that are still there, the newest first."""
        return tuple(path for path in read_paths(self._services.settings, "setup/recent") if path.is_file())

    def remember(self, path: Path) -> None:
        others = [p for p in read_paths(self._services.settings, "setup/recent") if p != path]
        write_paths(self._services.settings, "setup/recent", [path, *others][:_RECENT])

    def _folder(self) -> Path:
        recent = self.recent()
        return recent[0].parent if recent else Path.home()


def write(experiment: Experiment, path: Path) -> None:
    """The whole file or none of it: written beside and put in its place. Raises `OSError`."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(dump(experiment), encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def stem(name: str) -> str:
    """A file name for an experiment: "precision of SmolLM2" -> "precision-of-smollm2"."""
    words = "".join(c if c.isalnum() else " " for c in name).split()
    return "-".join(words).lower() or "untitled"


def read_paths(settings: QSettings, key: str) -> tuple[Path, ...]:
    """A list of paths of the settings; empty where it is missing or damaged."""
    try:
        saved = json.loads(str(settings.value(key) or "[]"))
    except ValueError:
        return ()
    return tuple(Path(item) for item in saved if isinstance(item, str)) if isinstance(saved, list) else ()


def write_paths(settings: QSettings, key: str, paths: Sequence[Path]) -> None:
    settings.setValue(key, json.dumps([str(path) for path in paths]))
