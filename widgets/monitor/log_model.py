"""A trial's log as an item model: filtered by level and text, grown without being rebuilt. Main thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from engines.protocol.records import Cue, Log
from widgets.theme.theme import Theme

Index = QModelIndex | QPersistentModelIndex
LEVELS = ("debug", "info", "warning", "error")
_SHOWN = {"warning": "warn"}
COLUMNS = ("Time", "Level", "Source", "Text")


class LogModel(QAbstractTableModel):
    """Time, level, source, text. `clock` turns a record's monotonic nanoseconds into what the time column says."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._lines: Sequence[Log] = ()
        self._cues: Sequence[Cue] = ()
        self._taken = [0, 0]
        self._log: list[Log] = []
        self._rows: list[int] = []
        self._level = "info"
        self._pattern: re.Pattern[str] | None = None
        self._clock: Callable[[int], str] = str

    def set_log(self, lines: Sequence[Log], cues: Sequence[Cue], clock: Callable[[int], str]) -> None:
        """Another trial's log, and its cues, which it shows as warnings. Both may grow; `update` takes in what was
        added."""
        self._lines, self._cues, self._clock = lines, cues, clock
        self._taken, self._log = [0, 0], []
        self._gather()
        self._again()

    def _gather(self) -> int:
        """Take new lines and cues in order of time. -> how many there were before"""
        before = len(self._log)
        new = list(self._lines[self._taken[0] :])
        new += [
            Log(t_ns=c.t_ns, level="error" if c.code.startswith("failure:") else "warning", source=c.code, text=c.text)
            for c in self._cues[self._taken[1] :]
        ]
        self._taken = [len(self._lines), len(self._cues)]
        self._log += sorted(new, key=lambda line: line.t_ns)
        return before

    def set_level(self, level: str) -> None:
        """The lowest level that is shown."""
        self._level = level
        self._again()

    def set_filter(self, text: str) -> str:
        """Show only lines that match, a regular expression without regard to case. -> what is wrong with it, "" if
        nothing (a wrong one is taken as plain text)."""
        wrong = ""
        try:
            self._pattern = re.compile(text, re.IGNORECASE) if text else None
        except re.error as error:
            wrong = f"not a regular expression ({error}); searched as plain text"
            self._pattern = re.compile(re.escape(text), re.IGNORECASE)
        self._again()
        return wrong

    def update(self) -> bool:
        """Take in lines added since. -> whether any is shown"""
        new = [i for i in range(self._gather(), len(self._log)) if self._passes(self._log[i])]
        if not new:
            return False
        self.beginInsertRows(QModelIndex(), len(self._rows), len(self._rows) + len(new) - 1)
        self._rows += new
        self.endInsertRows()
        return True

    @property
    def hidden(self) -> int:
        """Lines the filters leave out."""
        return len(self._log) - len(self._rows)

    def _again(self) -> None:
        self.beginResetModel()
        self._rows = [i for i, line in enumerate(self._log) if self._passes(line)]
        self.endResetModel()

    def _passes(self, line: Log) -> bool:
        if LEVELS.index(line.level) < LEVELS.index(self._level):
            return False
        return self._pattern is None or bool(self._pattern.search(f"{line.source} {line.text}"))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(COLUMNS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        line = self._log[self._rows[index.row()]]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._cells(line)[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole and index.column() == 3:
            return line.text
        if role == Qt.ItemDataRole.BackgroundRole and line.level in ("warning", "error"):
            return self._theme.color(f"status.{_SHOWN.get(line.level, line.level)}_soft")
        if role == Qt.ItemDataRole.ForegroundRole:
            if index.column() == 1 and line.level in ("warning", "error"):
                return self._theme.color(f"status.{_SHOWN.get(line.level, line.level)}")
            return self._theme.color("text.primary" if index.column() == 3 else "text.muted")
        if role == Qt.ItemDataRole.FontRole:
            return self._theme.font("mono")
        return None

    def _cells(self, line: Log) -> tuple[str, str, str, str]:
        text = " ".join(line.text.splitlines()) if "\n" in line.text else line.text
        return self._clock(line.t_ns), _SHOWN.get(line.level, line.level), line.source, text

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return COLUMNS[section] if 0 <= section < len(COLUMNS) else None
        return None

    def text_of(self, rows: Sequence[int]) -> str:
        """The given rows as tab-separated lines."""
        return "".join("\t".join(self._cells(self._log[self._rows[r]])) + "\n" for r in rows)


def wall_clock(wall_ns: int, mono_ns: int) -> Callable[[int], str]:
    """Monotonic nanoseconds -> local time of day with milliseconds, from one pair read together."""

    def text(t_ns: int) -> str:
        return datetime.fromtimestamp((wall_ns + t_ns - mono_ns) / 1e9).strftime("%H:%M:%S.%f")[:-3]

    return text


def since_start(start_ns: int) -> Callable[[int], str]:
    """Monotonic nanoseconds -> seconds since the trial's start."""

    def text(t_ns: int) -> str:
        return f"{(t_ns - start_ns) / 1e9:.3f} s"

    return text
