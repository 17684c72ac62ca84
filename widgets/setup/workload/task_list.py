"""Tasks whose accuracy is measured, as a list to tick; what cannot run is grey and says why. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QLineEdit, QPushButton, QVBoxLayout, QWidget

from engines.protocol.tasks import HARNESS, LOCAL_TASKS, QUESTIONS, harness_name, harness_task, local_task
from widgets.parts.components import label, push_button, set_look
from widgets.theme.theme import Theme


@dataclass(frozen=True)
class TaskRow:
    id: str
    title: str
    tip: str
    checked: bool
    reason: str = ""
    """Why it cannot run here."""
    lacking: str = ""
    """What Machines would install or fetch so that it can."""


def task_rows(chosen: Sequence[str], ready: Sequence[str] | None, harness: bool | None) -> tuple[TaskRow, ...]:
    """The samples, then tasks of the harness that the experiment names. `ready` are the samples whose questions are
    here, `harness` whether the package that scores is; None where nobody has looked yet."""
    rows: list[TaskRow] = []
    missing = f"Accuracy is scored by {HARNESS}, which is not installed." if harness is False else ""
    for task in LOCAL_TASKS:
        reason, lacking = missing, HARNESS if missing else ""
        if not reason and ready is not None and task.id not in ready:
            reason, lacking = "The samples' questions are not on this computer.", QUESTIONS
        tip = f"{task.sentence} {task.cases} questions; guessing gets {task.chance_text}. {task.source}."
        rows.append(TaskRow(task.id, task.title, tip, task.id in chosen, reason, lacking))
    for name in chosen:
        if local_task(name) is not None:
            continue
        theirs = harness_name(name)
        known = harness_task(theirs)
        reason = missing if theirs else "Nobody knows a task of this name."
        lacking = HARNESS if theirs and missing else ""
        rows.append(
            TaskRow(name, known.title if known else theirs or name, _tip(theirs or name), True, reason, lacking)
        )
    return tuple(rows)


def _tip(theirs: str) -> str:
    """Of a task of the harness, by its own name."""
    known = harness_task(theirs)
    text = f"{theirs}: a task of {HARNESS}; its questions come from the hub where they are not here."
    if known is not None:
        parts = f" in {known.parts} parts" if known.parts > 1 else ""
        text = f"{known.sentence} {known.questions:,} questions{parts}.\n{text}"
        text += " The hub gives them to people with an account." if known.account else ""
        text += f" It needs {HARNESS}[{known.extra}]." if known.extra else ""
    return text


class TaskList(QWidget):
    """Ticks, and a field for a task of the harness. Says which tasks are wished for, in order."""

    changed = Signal(object)
    """A tuple of task names."""
    install_wanted = Signal(object)
    """A tuple of packages, as `widgets.shell.targets.InstallPackages` names them."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._rows: tuple[TaskRow, ...] | None = None
        self.boxes: dict[str, QCheckBox] = {}
        self.buttons: dict[str, QPushButton] = {}
        """By what they install or fetch."""
        self._column = QVBoxLayout(self)
        self._list = QVBoxLayout()
        self._column.addLayout(self._list)
        self.other = QLineEdit()
        self.other.setPlaceholderText(f"{HARNESS}:arc_easy")
        self.other.setAccessibleName(f"Add a task of {HARNESS} by name")
        self.other.setToolTip(f"A task of {HARNESS} by its name; Enter adds it")
        self.other.returnPressed.connect(self._add)
        self.other.textEdited.connect(self._mended)
        self._column.addWidget(self.other)
        self.setAccessibleName("Tasks")
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        # the first tick stands at the height of the row's label
        self._column.setContentsMargins(0, self._theme.px(5), 0, 0)
        self._column.setSpacing(self._theme.px(6))
        self._list.setSpacing(self._theme.px(4))

    def show_rows(self, rows: tuple[TaskRow, ...]) -> None:
        """Ticks are made anew only where other tasks stand there or other reasons."""
        if self._rows is not None and [_words(r) for r in rows] == [_words(r) for r in self._rows]:
            for row in rows:
                self.boxes[row.id].setChecked(row.checked)
            self._rows = rows
            return
        focused = next((id for id, box in self.boxes.items() if box.hasFocus()), "")
        while (item := self._list.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self.boxes, self.buttons = {}, {}
        self._rows = rows
        for row in rows:
            box = QCheckBox(row.title)
            box.setChecked(row.checked)
            box.setEnabled(row.checked or not row.reason)  # what is chosen can always be taken out
            box.setToolTip(f"{row.tip}\n{row.reason}".strip())
            box.setAccessibleDescription(row.reason or row.tip)
            box.clicked.connect(self._clicked)
            self.boxes[row.id] = box
            self._list.addWidget(box)
        for reason, lacking in dict.fromkeys((r.reason, r.lacking) for r in rows if r.reason):
            self._list.addWidget(label(reason, role="dense", tone="muted", wrap=True, selectable=True))
            if lacking:
                text = "Fetch them, 3 MB" if lacking == QUESTIONS else f"Install {lacking}"
                button = push_button(text, partial(self.install_wanted.emit, (lacking,)))
                button.setToolTip("Shows the command on the Machines page; nothing is run before you say so there")
                self.buttons[lacking] = button
                self._list.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
        if focused in self.boxes:
            self.boxes[focused].setFocus()

    def _chosen(self) -> tuple[str, ...]:
        return tuple(id for id, box in self.boxes.items() if box.isChecked())

    def _clicked(self) -> None:
        self.changed.emit(self._chosen())

    def _mended(self) -> None:
        set_look(self.other, invalid="false")

    def _add(self) -> None:
        text = self.other.text().strip()
        name = text if local_task(text) is not None or harness_name(text) else f"{HARNESS}:{text}"
        if not text or any(c.isspace() or c in ",;" for c in name):
            set_look(self.other, invalid="true" if text else "false")
            return
        self.other.clear()
        if name not in self._chosen():
            self.changed.emit((*self._chosen(), name))


def _words(row: TaskRow) -> tuple[str, str, str, bool]:
    """What a tick is made of; whether it is ticked matters only where it cannot be otherwise."""
    return row.id, row.title, row.reason, row.checked or not row.reason
