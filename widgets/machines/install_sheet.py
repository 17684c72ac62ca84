"""The sheet that installs what an engine lacks, or fetches what tasks lack: the command, what it needs, a start button,
the output. Main thread.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QTextCursor
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QProgressBar, QVBoxLayout, QWidget

from engines.protocol.problems import Problem
from widgets.machines.install_run import Installs
from widgets.messages.overlay import Overlay
from widgets.parts.components import IconLabel, PanelHeader, label, line, push_button, set_look, tool_button
from widgets.parts.layout import flush_row
from widgets.theme.theme import Theme
from workbench.units import format_duration

_WIDTH, _HEIGHT, _ROOM = 820, 600, 48
_MOST_LINES = 50_000
_TONES = {"installed": "good", "failed": "error", "stopped": "warn"}


class InstallSheet(Overlay):
    """Opened for packages; closing it leaves a running installation alone."""

    copied = Signal(str)
    """What was copied."""

    def __init__(self, theme: Theme, installs: Installs, host: QWidget) -> None:
        super().__init__(theme, host, "Install")
        self.installs = installs
        self.header = PanelHeader(theme, "Install")
        self.header.add_tool(tool_button(theme, "close", tip="Close (Esc)", clicked=self.leave, compact=True))
        self.what = label(role="dense", tone="muted")
        self.command = label(role="mono", wrap=True, selectable=True)
        self.command.setAccessibleName("The command that is run")
        self.copy_command = tool_button(theme, "copy", tip="Copy the command", clicked=self._copy_command, compact=True)
        self._notes = QVBoxLayout()
        self._notes_holder = QWidget()
        self._notes_holder.setLayout(self._notes)
        self.queue = label(tone="warn", role="dense", wrap=True)
        self.start = push_button("Install", installs.start, kind="main")
        self.stop = push_button("Stop", installs.stop, kind="danger")
        self.said = label(tone="secondary", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("How far it is")
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setAccessibleName("Output")
        self.log.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.log.setMaximumBlockCount(_MOST_LINES)
        self.log.setPlaceholderText("The command's output appears here.")
        self.log.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.follow = tool_button(
            theme, "arrow-down", "Follow", "Keep the newest line in view", compact=True, checkable=True
        )
        self.follow.setChecked(True)
        self.follow.toggled.connect(self._follow)
        self.copy_log = tool_button(
            theme, "copy", "Copy output", "The whole output, for an issue or a search", self._copy_log, compact=True
        )
        self._output = PanelHeader(theme, "Output")
        self._output.add_tool(self.follow)
        self._output.add_tool(self.copy_log)
        self._build()
        installs.changed.connect(self._show)
        installs.printed.connect(self._append)
        theme.follow(self._restyle)
        self._show()

    def _build(self) -> None:
        self._upper = QVBoxLayout()
        command = QHBoxLayout()
        command.addWidget(self.command, 1)
        command.addWidget(self.copy_command, 0, Qt.AlignmentFlag.AlignTop)
        self._command_row = command
        self._upper.addWidget(self.what)
        self._upper.addLayout(command)
        self._upper.addWidget(self._notes_holder)
        self._upper.addWidget(self.queue)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start)
        buttons.addWidget(self.stop)
        buttons.addWidget(self.said, 1)
        self._buttons = buttons
        self._upper.addLayout(buttons)
        self._upper.addWidget(self.bar)
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 1)
        column.setSpacing(0)
        column.addWidget(self.header)
        column.addLayout(self._upper)
        column.addWidget(line())
        column.addWidget(self._output)
        column.addWidget(self.log, 1)

    def _restyle(self) -> None:
        px = self.theme.px
        self._upper.setContentsMargins(px(12), px(10), px(12), px(12))
        self._upper.setSpacing(px(8))
        self._notes.setContentsMargins(0, 0, 0, 0)
        self._notes.setSpacing(px(4))
        for row in (self._buttons, self._command_row):
            row.setSpacing(px(12))
        self.log.setFont(self.theme.font("mono"))
        self.log.setStyleSheet(f"QPlainTextEdit {{ border: none; border-radius: 0; padding: {px(4)}px {px(8)}px; }}")
        self.follow_host()

    def follow_host(self) -> None:
        """Take the size that the page has room for."""
        px, host = self.theme.px, self.host
        self.resize(min(px(_WIDTH), host.width() - _ROOM), min(px(_HEIGHT), host.height() - _ROOM))
        self.centre()

    def open(self) -> None:
        """Show what is prepared or under way; the first button that can be pressed has the focus."""
        self._fill()
        self.follow_host()
        usable = self.stop if self.installs.busy else self.start if self.start.isEnabled() else self.copy_command
        self.appear(usable)

    def tell_queue(self, running: int) -> None:
        """How many trials run now: their figures would suffer."""
        one = "A trial is" if running == 1 else f"{running} trials are"
        plan = self.installs.plan
        busy = "Compiling keeps every core busy:" if plan is not None and plan.compiles else "Unpacking disturbs it:"
        self.queue.setText(
            f"{one} running. {busy} figures measured meanwhile would be wrong. Pause the queue and let it finish first."
            if running
            else ""
        )
        self.queue.setVisible(bool(running) and not self.installs.busy)

    # --- what is shown ----------------------------------------------------------------------------

    def _fill(self) -> None:
        """Everything that belongs to the plan."""
        plan = self.installs.plan
        if plan is None:
            return
        self.header.set_title(f"{plan.verb} {plan.title}")
        self.what.setText(f"This is run, and nothing else, when you press {plan.verb}:")
        self.command.setText(plan.command)
        while (item := self._notes.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for text in plan.cautions:
            self._notes.addWidget(self._note("info", "status.info", text))
        for problem in plan.problems:
            self._notes.addWidget(self._problem(problem))
        self._notes_holder.setVisible(self._notes.count() > 0)
        self.log.setPlainText("\n".join(self.installs.lines))
        self._show()
        self._to_end()

    def _note(self, icon: str, color: str, text: str, command: str = "") -> QWidget:
        holder = QWidget()
        row = flush_row(holder, self.theme.px(6))
        row.addWidget(IconLabel(self.theme, icon, color, 14), 0, Qt.AlignmentFlag.AlignTop)
        words = QVBoxLayout()
        words.setSpacing(self.theme.px(2))
        words.addWidget(label(text, role="dense", tone="secondary", wrap=True))
        if command:
            words.addWidget(label(command, role="mono", selectable=True))
        row.addLayout(words, 1)
        return holder

    def _problem(self, problem: Problem) -> QWidget:
        wrong = problem.severity == "error"
        text = f"{problem.message} {'Install it first' if wrong else 'To have it from the system'}:"
        return self._note("error" if wrong else "warning", f"status.{'error' if wrong else 'warn'}", text, problem.hint)

    def _show(self) -> None:
        """The state: buttons, sentence, bar."""
        installs, plan = self.installs, self.installs.plan
        busy, state = installs.busy, installs.state
        self.start.setVisible(not busy and state != "installed")
        verb = plan.verb if plan is not None else "Install"
        self.start.setText("Try again" if state in ("failed", "stopped") else verb)
        can = plan is not None and plan.can_start
        self.start.setEnabled(can)
        self.start.setToolTip("" if can else "Something it needs is missing: see above")
        self.stop.setVisible(state == "running")
        text = installs.outcome
        if state == "running":
            text = f"Running for {format_duration(max(1, round(installs.seconds)))}"
            if installs.progress is not None:
                text += f", {100 * installs.progress:.0f} %"
                text += " of the compiler's steps" if verb == "Install" else ""
            text += ". It continues when you close this; closing the window ends it."
        elif state == "looking":
            text = f"{plan.done if plan is not None else 'Installed'}. Looking at this computer again."
        self.said.setText(text)
        set_look(self.said, tone=_TONES.get(state, "secondary"))
        self.bar.setVisible(state == "running" and installs.progress is not None)
        if installs.progress is not None:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * installs.progress))
        if not busy and state != "idle":
            self.queue.hide()
        self._output.set_count(f"{len(installs.lines):,} lines" if installs.lines else "")
        self.copy_log.setEnabled(bool(installs.lines))
        if state == "running" and not installs.lines and self.log.toPlainText():
            self.log.clear()

    def _append(self, lines: list[str]) -> None:
        if self.isVisible():
            self.log.appendPlainText("\n".join(lines))
            self._to_end()

    def _to_end(self) -> None:
        if self.follow.isChecked():
            self.log.moveCursor(QTextCursor.MoveOperation.End)
            self.log.moveCursor(QTextCursor.MoveOperation.StartOfLine)
            bar = self.log.verticalScrollBar()
            bar.setValue(bar.maximum())

    def _follow(self, _on: bool) -> None:
        self._to_end()

    def _copy_command(self) -> None:
        QGuiApplication.clipboard().setText(self.command.text())
        self.copied.emit("The command")

    def _copy_log(self) -> None:
        plan = self.installs.plan
        head = [f"$ {plan.command}"] if plan is not None else []
        QGuiApplication.clipboard().setText(
            "\n".join([*head, *self.installs.lines, self.installs.outcome]).strip() + "\n"
        )
        self.copied.emit("The output")
