"""Reads the data as the model sees them, in a process of its own: debounced, one at a time, the newest wins.

Created, asked and answered on the main thread; `read` runs on a thread of the bridge and waits for the process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PySide6.QtCore import QFileSystemWatcher, QObject, QTimer, Signal

from engines.data.training.preview import Preview
from engines.protocol.orders import Training
from engines.protocol.places import Places
from engines.protocol.problems import advice_of
from engines.protocol.text_file import own_path
from widgets.background.bridge import Bridge
from workbench.running.data_preview import read_preview

DELAY_MS = 300
ROWS = 50
"""Rows that are read at a time."""


@dataclass(frozen=True)
class Asked:
    """What a preview is of."""

    workload: Training
    model: str
    """Folder of the model whose tokenizer cuts the rows; "" shows none cut."""
    base: str
    first: int = 0


Read = Callable[[Asked], Preview]


class PreviewSource(QObject):
    """`ask` after every change; nothing is said about what was asked before."""

    reading = Signal()
    read = Signal(object)
    """`Preview`"""
    failed = Signal(str, str)
    """What is wrong, what to do."""
    file_changed = Signal()
    """The data on the disk are others; they are read again. A plan names data by their hash: it is of the old ones."""

    def __init__(self, bridge: Bridge, reader: Read | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._reader = reader
        self._asked: Asked | None = None
        self._busy = False
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._start)
        self._path: Path | None = None
        self._stamp: tuple[int, ...] = ()
        self._watcher = QFileSystemWatcher(self)
        self._watcher.fileChanged.connect(self._look)
        self._watcher.directoryChanged.connect(self._look)
        bridge.opened.connect(self._start)

    def ask(self, asked: Asked | None) -> None:
        """None: there is nothing to show; what is on its way is dropped."""
        if asked == self._asked:
            return
        self._asked = asked
        self._watch(None if asked is None else own_path(asked.workload.data, Path(asked.base)))
        if asked is None:
            self._timer.stop()
        else:
            self.reading.emit()
            self._timer.start(DELAY_MS)

    def twin(self) -> PreviewSource:
        """One that reads in the same way, for another view of the same data."""
        return PreviewSource(self._bridge, self._reader)

    def again(self) -> None:
        """The same once more, after it failed."""
        asked, self._asked = self._asked, None
        self.ask(asked)

    def _watch(self, path: Path | None) -> None:
        """The file, and its folder: programs save a file by putting another in its place."""
        if path == self._path:
            return
        self._path, self._stamp = path, _stamp(path)
        watched = [*self._watcher.files(), *self._watcher.directories()]
        if watched:
            self._watcher.removePaths(watched)
        if path is not None and self._stamp:
            self._watcher.addPaths([str(path), str(path.parent)])

    def _look(self, _changed: str) -> None:
        path, stamp = self._path, _stamp(self._path)
        if stamp == self._stamp:
            return
        self._path = None  # the watched file may be gone, with another in its place
        self._watch(path)
        if path is not None and not stamp:
            self._watcher.addPath(str(path.parent))  # until it is there again
        self.file_changed.emit()
        self.again()

    def _start(self) -> None:
        self._timer.stop()  # the workbench opened before it was due
        workbench, asked = self._bridge.workbench, self._asked
        if self._busy or asked is None or workbench is None:
            return
        self._busy = True
        reader = self._reader or partial(read, workbench.places)
        self._bridge.run(lambda: reader(asked), partial(self._done, asked), partial(self._failed, asked), receiver=self)

    def _done(self, asked: Asked, preview: Preview) -> None:
        self._busy = False
        if asked == self._asked:
            self.read.emit(preview)
        else:
            self._start()

    def _failed(self, asked: Asked, error: BaseException) -> None:
        self._busy = False
        if asked == self._asked:
            self.failed.emit(str(error), advice_of(error))
        else:
            self._start()


def _stamp(path: Path | None) -> tuple[int, ...]:
    """What changes with a file's contents; () where there is none."""
    try:
        found = path.stat() if path is not None else None
    except (OSError, ValueError):
        return ()
    return () if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)


def read(places: Places, asked: Asked) -> Preview:
    """Raises `PreviewFailed`."""
    rows = range(asked.first, asked.first + ROWS)
    return read_preview(places, asked.workload, base=Path(asked.base), rows=rows, model=asked.model)
