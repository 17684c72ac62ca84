"""The log of the trial that is shown: level, text or regular expression, follow, copy, open as a file. Main thread."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, QTimer, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QAbstractItemView, QComboBox, QHeaderView, QLineEdit, QWidget

from engines.protocol.private import private_folder, write_private
from widgets.messages.toasts import Toasts
from widgets.monitor.log_model import LogModel, since_start, wall_clock
from widgets.parts.components import EmptyState, Panel, set_look, tool_button
from widgets.parts.layout import plain_table, stacked
from widgets.theme.theme import Theme
from workbench.charts.series import TrialData

_LEVELS = (("Debug and up", "debug"), ("Info and up", "info"), ("Warnings and up", "warning"), ("Errors", "error"))
_TYPING_MS = 150


class LogPanel(Panel):
    """Grows with the trial; follows the end until the user scrolls away."""

    def __init__(self, theme: Theme, toasts: Toasts, folder: Path, parent: QWidget | None = None) -> None:
        """`folder` is where a log is written when it is opened as a file."""
        super().__init__(theme, "Log", ground="base", parent=parent)
        self._theme, self._toasts, self._folder = theme, toasts, folder
        self._data: TrialData | None = None
        self._on_wall_clock = False
        self.model = LogModel(theme, self)
        self.level = QComboBox()
        self.level.setProperty("compact", "true")
        self.level.setAccessibleName("Lowest level shown")
        for text, _ in _LEVELS:
            self.level.addItem(text)
        self.level.setCurrentIndex(1)
        self.level.currentIndexChanged.connect(self._level_chosen)
        self.filter = QLineEdit()
        self.filter.setProperty("compact", "true")
        self.filter.setPlaceholderText("Filter: text or regular expression")
        self.filter.setAccessibleName("Filter of the log")
        self.filter.setClearButtonEnabled(True)
        self._typed = QTimer(self, interval=_TYPING_MS, singleShot=True)
        self._typed.timeout.connect(self._filter_now)
        self.filter.textChanged.connect(self._typing)
        self.follow = tool_button(
            theme, "arrow-down", "Follow", "Keep the newest line in view", compact=True, checkable=True
        )
        self.follow.setChecked(True)
        self.follow.clicked.connect(self._follow_toggled)
        copy = tool_button(
            theme, "copy", "Copy", "Copy the chosen lines, or all that are shown", self.copy, compact=True
        )
        opened = tool_button(
            theme, "folder", "Open file", "Write the log to a file and open it", self.open_file, compact=True
        )
        row = self.header.row
        row.insertWidget(1, self.level)
        row.insertWidget(2, self.filter)
        for button in (self.follow, copy, opened):
            self.header.add_tool(button)
        self.view = plain_table(self.model, "Log", self.copy)
        self.view.setWordWrap(False)
        self.view.horizontalHeader().hide()
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.verticalScrollBar().valueChanged.connect(self._scrolled)
        self.empty = EmptyState(theme, "Nothing logged yet", "Output of the engine and its libraries appears here.")
        self._pages = stacked(self.empty, self.view)
        self.body.addWidget(self._pages)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        theme = self._theme
        self.level.setFixedWidth(theme.px(136))
        self.filter.setMaximumWidth(theme.px(280))
        self.filter.setMinimumWidth(theme.px(96))
        rows = self.view.verticalHeader()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(1)
        rows.setDefaultSectionSize(theme.height("log_line"))
        self.view.setIconSize(QSize(theme.icon_size(), theme.icon_size()))
        columns = self.view.horizontalHeader()
        for column, width in enumerate((112, 56, 112)):
            columns.resizeSection(column, theme.px(width))
        columns.setStretchLastSection(True)
        # the lines begin where the panel's title does; a cell has 3 px of its own
        self.view.setStyleSheet(f"QTableView {{ padding-left: {theme.px(12) - 3}px; }}")

    def set_trial(self, data: TrialData | None) -> None:
        """Show another trial's log, or none."""
        self._data = data
        self._on_wall_clock = data is not None and data.started is not None
        if data is None:
            self.model.set_log((), (), str)
        elif data.started is not None:
            clock = data.started.clock
            self.model.set_log(data.log, data.cues, wall_clock(clock.wall_ns, clock.mono_ns))
        else:
            self.model.set_log(data.log, data.cues, since_start(data.start_ns or 0))
        self.follow.setChecked(True)
        self._settle()

    def update_lines(self) -> None:
        """Take in what the trial has logged since."""
        if self._data is not None and self._data.started is not None and not self._on_wall_clock:
            self.set_trial(self._data)  # its first record has come: lines can now say the time of day
        elif self.model.update():
            self._settle()

    def _settle(self) -> None:
        lines = self.model.rowCount()
        hidden = self.model.hidden
        self.header.set_count("")
        self._pages.setCurrentIndex(1 if lines else 0)
        if not lines and hidden:
            self.empty.set("No line passes the filters", f"{hidden} lines are hidden by level or text.")
        elif not lines:
            self.empty.set("Nothing logged yet", "Output of the engine and its libraries appears here.")
        if self.follow.isChecked():
            self.view.scrollToBottom()

    def _follow_toggled(self, on: bool) -> None:
        if on:
            self.view.scrollToBottom()

    def _scrolled(self, value: int) -> None:
        bar = self.view.verticalScrollBar()
        if bar.isSliderDown() or self.view.hasFocus():
            self.follow.setChecked(value >= bar.maximum())

    def _level_chosen(self, index: int) -> None:
        self.model.set_level(_LEVELS[index][1])
        self._settle()

    def _typing(self) -> None:
        self._typed.start()

    def _filter_now(self) -> None:
        wrong = self.model.set_filter(self.filter.text())
        set_look(self.filter, invalid="true" if wrong else "false")
        self.filter.setToolTip(wrong)
        self._settle()

    def copy(self) -> None:
        """The chosen lines, or all that are shown, to the clipboard."""
        chosen = sorted({index.row() for index in self.view.selectionModel().selectedRows()})
        QGuiApplication.clipboard().setText(self.model.text_of(chosen or range(self.model.rowCount())))

    def write_file(self) -> Path | None:
        """Write what is shown to a file. -> its path; None and a toast where the disk refuses."""
        if self._data is None:
            return None
        path = self._folder / f"{self._data.trial}.log"
        try:
            private_folder(self._folder)
            write_private(path, self.model.text_of(range(self.model.rowCount())).encode())
        except OSError as error:
            self._toasts.show("error", f"The log could not be written: {error.strerror}.", "The stored log is safe.")
            return None
        return path

    def open_file(self) -> None:
        """Write the log to a file and open it with the system's program for text."""
        path = self.write_file()
        if path is not None and not QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
            self._toasts.show("info", f"The log was written to {path}.", "No program opened it.")
