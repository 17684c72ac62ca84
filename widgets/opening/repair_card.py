"""A damaged database: what happened, what is safe, Repair with its progress, and what it found. Main thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QProgressBar, QWidget

from widgets.opening.card import Card
from widgets.opening.repair_words import READ, REPAIR, SAFE, UNREADABLE, Rows, found_rows
from widgets.parts.components import label, push_button
from widgets.theme.theme import Theme

if TYPE_CHECKING:
    from workbench.store.salvage import Salvaged


class RepairCard(Card):
    """It asks; the database does."""

    repair_wanted = Signal()
    stop_wanted = Signal()
    read_wanted = Signal()
    """Open it read-only."""
    open_wanted = Signal()
    """Of what is whole now."""
    other_wanted = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.message = label(wrap=True, selectable=True)
        self.body.addWidget(self.message)
        self._rows = QWidget()
        self.body.addWidget(self._rows)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress of the repair")
        self.doing = label(tone="muted")
        self.body.addWidget(self.bar)
        self.body.addWidget(self.doing)
        self.open = self.add_button(push_button("Open the database", self.open_wanted.emit, kind="main"))
        self.repair = self.add_button(push_button("Repair", self.repair_wanted.emit, kind="main"))
        self.stop = self.add_button(push_button("Stop", self.stop_wanted.emit))
        self.read = self.add_button(push_button("Open read-only", self.read_wanted.emit))
        self.other = self.add_button(push_button("Choose another database", self.other_wanted.emit))

    # --- states -----------------------------------------------------------------------------------

    def show_damage(self, error: BaseException, *, readable: bool) -> None:
        """`readable`: whether DuckDB may still open it to read."""
        self._show("error", "The database is damaged", str(error), (SAFE, REPAIR, READ if readable else UNREADABLE))
        self._offer(self.repair, *((self.read,) if readable else ()), self.other)

    def show_repairing(self, database: Path) -> None:
        self._show("info", "Repairing the database", "The damaged file is only read.", (("File", str(database)),))
        self.show_progress(None, "Reading the file")
        self._offer(self.stop)

    def show_progress(self, share: float | None, text: str) -> None:
        """`share` 0..1 of the step that `text` names, None where that is not known."""
        self.bar.setRange(0, 0 if share is None else 1000)
        self.bar.setValue(round((share or 0.0) * 1000))
        self.bar.show()
        self.doing.setText(text)
        self.doing.show()

    def show_result(self, done: Salvaged) -> None:
        self._show("good", "The database is repaired", "", found_rows(done))
        self._offer(self.open)

    def show_failure(self, error: BaseException) -> None:
        """The damaged file is as it was; or it was not damaged at all."""
        advice = str(getattr(error, "advice", ""))
        if getattr(error, "code", "") == "healthy":
            self._show("good", "The database is not damaged", advice, ())
            self._offer(self.open, self.other)
            return
        said = f"{error} {advice}".strip() or type(error).__name__
        self._show("error", "The database could not be repaired", said, (SAFE,))
        self._offer(self.repair, self.other)

    # --- parts ------------------------------------------------------------------------------------

    def _show(self, status: str, title: str, message: str, rows: Rows) -> None:
        icon = {"error": "error", "good": "check"}.get(status, "info")
        self.icon.set_icon(icon, f"status.{status}", {"error": "Error", "good": "Done"}.get(status, ""))
        self.title.setText(title)
        self.message.setText(message)
        self.message.setVisible(bool(message))
        self._fill(rows)
        self.bar.hide()
        self.doing.hide()

    def _fill(self, rows: Rows) -> None:
        old, self._rows = self._rows, QWidget()
        self.body.replaceWidget(old, self._rows)
        old.hide()
        old.deleteLater()
        grid = QGridLayout(self._rows)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(self._theme.px(16))
        grid.setVerticalSpacing(self._theme.px(6))
        grid.setColumnStretch(1, 1)
        for place, (name, text) in enumerate(rows):
            grid.addWidget(label(name, tone="muted"), place, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(label(text, wrap=True, selectable=True), place, 1)
        self._rows.show()

    def _offer(self, *buttons: QWidget) -> None:
        """The first has the focus."""
        for button in (self.open, self.repair, self.stop, self.read, self.other):
            button.setVisible(button in buttons)
        buttons[0].setFocus(Qt.FocusReason.OtherFocusReason)
