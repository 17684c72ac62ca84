"""The sheet that sets a machine up: which engines, every command before it is run, a start button, the output. Main
thread.
"""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QGuiApplication, QTextCursor
from PySide6.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from widgets.machines.setup.run import SetUps
from widgets.messages.overlay import Overlay
from widgets.parts.components import PanelHeader, label, line, push_button, set_look, tool_button
from widgets.parts.layout import flush_column, scroll_area
from widgets.theme.theme import Theme
from workbench.machines.machine import Machine
from workbench.machines.setup.lock import engines_to_tick

_WIDTH, _HEIGHT, _ROOM = 860, 620, 48
_MOST_LINES = 50_000
ABOUT = (
    "The engines of this version and the packages that run here go into a folder of their own there. No root is "
    "needed, and nothing else is changed."
)
_TONES = {"done": "good", "failed": "error", "refused": "error"}


class SetUpSheet(Overlay):
    """Opened for a machine: it is looked at, and nothing is changed before the button is pressed. Closing the sheet
    leaves what runs alone."""

    copied = Signal(str)
    """What was copied."""

    def __init__(self, theme: Theme, setups: SetUps, host: QWidget) -> None:
        super().__init__(theme, host, "Set up")
        self.setups = setups
        self._asked = ("", "")
        """Interpreter and index of the last look."""
        self.header = PanelHeader(theme, "Set up")
        self.header.add_tool(tool_button(theme, "close", tip="Close (Esc)", clicked=self.leave, compact=True))
        self.about = label(ABOUT, role="dense", tone="muted", wrap=True)
        self.engines = {engine.id: QCheckBox(engine.title) for engine in engines_to_tick()}
        self.python = QLineEdit()
        self.python.setPlaceholderText("/usr/bin/python3; empty finds one")
        self.python.setAccessibleName("Interpreter there")
        self.index = QLineEdit()
        self.index.setPlaceholderText("Empty for the machine's own index alone")
        self.index.setAccessibleName("Further package index")
        self.notes = label(role="dense", tone="secondary", wrap=True)
        self.start = push_button("Set up", setups.start, kind="main")
        self.again = push_button("Look again", self._look)
        self.stop = push_button("Stop", setups.stop, kind="danger")
        self.said = label(tone="secondary", wrap=True, selectable=True)
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setAccessibleName("Commands and their output")
        self.log.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.log.setMaximumBlockCount(_MOST_LINES)
        self.output = PanelHeader(theme, "What is run")
        self.copy = tool_button(theme, "copy", "Copy", "Commands and output, as text", self._copy, compact=True)
        self.output.add_tool(self.copy)
        self._build()
        for check in self.engines.values():
            check.clicked.connect(self._look)
        for field in (self.python, self.index):
            field.editingFinished.connect(self._look_if_changed)
        setups.changed.connect(self._show)
        setups.printed.connect(self._append)
        theme.follow(self._restyle)
        self._show()

    def _build(self) -> None:
        self._upper = QVBoxLayout()
        self._upper.addWidget(self.about)
        ticks = QHBoxLayout()
        ticks.addWidget(label("Engines", tone="muted"))
        for check in self.engines.values():
            ticks.addWidget(check)
        ticks.addStretch(1)
        self._ticks = ticks
        self._upper.addLayout(ticks)
        more = QFormLayout()
        more.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)  # large text in a small window
        for name, field in (("Interpreter there (--python)", self.python), ("Package index (--index)", self.index)):
            more.addRow(label(name, tone="muted"), field)
        self._more = more
        self._upper.addLayout(more)
        self._upper.addWidget(self.notes)
        buttons = QHBoxLayout()
        for button in (self.start, self.again, self.stop):
            buttons.addWidget(button)
        buttons.addWidget(self.said, 1)
        self._buttons = buttons
        self._upper.addLayout(buttons)
        inner = QWidget()
        below = flush_column(inner)
        below.addLayout(self._upper)
        below.addWidget(line())
        below.addWidget(self.output)
        below.addWidget(self.log, 1)
        scroll = scroll_area(inner)  # large text in a small window
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 1)
        column.setSpacing(0)
        column.addWidget(self.header)
        column.addWidget(scroll, 1)

    def _restyle(self) -> None:
        px = self.theme.px
        self._upper.setContentsMargins(px(12), px(10), px(12), px(12))
        self._upper.setSpacing(px(8))
        for row in (self._buttons, self._ticks, self._more):
            row.setSpacing(px(12))
        self.log.setMinimumHeight(px(120))
        self.log.setFont(self.theme.font("mono"))
        self.log.setStyleSheet(f"QPlainTextEdit {{ border: none; border-radius: 0; padding: {px(4)}px {px(8)}px; }}")
        self.place()

    def place(self) -> None:
        px, host = self.theme.px, self.host
        self.resize(min(px(_WIDTH), host.width() - _ROOM), min(px(_HEIGHT), host.height() - _ROOM))
        self.centre()

    def open_for(self, machine: Machine, engines: tuple[str, ...]) -> None:
        """`engines`: ticked at first. What runs already is shown as it is."""
        if not self.setups.busy:
            for id, check in self.engines.items():
                check.setChecked(id in engines)
            for field in (self.python, self.index):
                field.clear()
            self._look_at(machine)
        self.place()
        self.appear(self.stop if self.setups.busy else None)

    def _look(self) -> None:
        if self.setups.machine is not None:
            self._look_at(self.setups.machine)

    def _look_at(self, machine: Machine) -> None:
        self._asked = (self.python.text().strip(), self.index.text().strip())
        ticked = tuple(id for id, check in self.engines.items() if check.isChecked())
        self.setups.prepare(machine, ticked, *self._asked)

    def _look_if_changed(self) -> None:
        if self.isVisible() and self._asked != (self.python.text().strip(), self.index.text().strip()):
            self._look()

    # --- what is shown ----------------------------------------------------------------------------

    def _show(self) -> None:
        setups, state = self.setups, self.setups.state
        title = setups.machine.title if setups.machine is not None else ""
        self.header.set_title(f"Set up {title}")
        self.start.setVisible(state in ("ready", "failed"))
        self.start.setText("Try again" if state == "failed" else "Set up")
        self.again.setVisible(state == "refused")
        self.stop.setVisible(state == "running")
        for check in self.engines.values():
            check.setEnabled(state != "running")
        for field in (self.python, self.index):
            field.setEnabled(state != "running")
        notes = [f"{p.message} {p.hint}".strip() for p in setups.problems]
        if setups.plan is not None and state != "done":
            notes += setups.plan.cautions
        self.notes.setText("\n".join(notes))
        self.notes.setVisible(bool(notes))
        set_look(self.notes, tone="error" if setups.problems else "secondary")
        self.said.setText(self._sentence())
        set_look(self.said, tone=_TONES.get(state, "secondary"))
        steps = len(setups.plan.steps) if setups.plan is not None else 0
        self.output.set_count(f"{steps} steps" if steps else "")
        self.copy.setEnabled(bool(setups.lines))
        if state != "running" or not setups.lines:
            self._fill()

    def _sentence(self) -> str:
        setups = self.setups
        if setups.state == "looking":
            return "Looking at the machine; nothing is changed there."
        if setups.state == "ready":
            return "This is run, and nothing else, when you press Set up."
        if setups.state == "running":
            return f"{setups.step}. It continues when you close this; closing the window stops it."
        return setups.outcome

    def _fill(self) -> None:
        text = "\n".join(self.setups.lines)
        if text != self.log.toPlainText():
            self.log.setPlainText(text)
            if self.setups.state in ("done", "failed"):
                self._to_end()

    def _append(self, lines: list[str]) -> None:
        self.log.appendPlainText("\n".join(lines))
        self._to_end()

    def _to_end(self) -> None:
        self.log.moveCursor(QTextCursor.MoveOperation.End)
        self.log.moveCursor(QTextCursor.MoveOperation.StartOfLine)
        bar = self.log.verticalScrollBar()
        bar.setValue(bar.maximum())

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText("\n".join([*self.setups.lines, self.setups.outcome]).strip() + "\n")
        self.copied.emit("What is run")
