"""The Self-check panel: what it does and its button; progress while it runs; then each figure with its interval.

Main thread. Built anew with the page's right side; the state is `widgets.machines.selfcheck`'s.
"""

from __future__ import annotations

from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from widgets.machines.selfcheck import SelfChecks
from widgets.machines.selfcheck_rows import PanelFacts, PanelRow, panel_facts
from widgets.parts.components import Chip, ElidedLabel, IconLabel, Panel, label, line, push_button
from widgets.parts.layout import flush_column, set_ground
from widgets.theme.theme import Theme
from workbench.selfcheck.words import WHAT_IT_DOES
from workbench.units import format_duration

HOW_LONG = "Takes up to 20 minutes, the quick one about 5."
ALONE = "Do not use the computer meanwhile: any other work widens every interval."
_STEPS = 1000


class SelfCheckPanel(Panel):
    def __init__(self, theme: Theme, checks: SelfChecks, parent: QWidget | None = None) -> None:
        super().__init__(theme, "Self-check", parent=parent)
        self._theme = theme
        self._checks = checks
        facts = None if checks.result is None else panel_facts(checks.result)
        self.header.set_count(facts.when if facts is not None else "never run")
        if facts is not None and facts.chip is not None:
            self.header.add_tool(Chip(theme, *facts.chip))
        self.body.addWidget(self._make_progress())
        if facts is None:
            self.body.addWidget(self._text(f"{WHAT_IT_DOES} {HOW_LONG}"))
        else:
            self.body.addWidget(self._make_rows(facts))
        self.body.addWidget(self._make_buttons())
        self.body.addStretch(1)
        checks.run.progressed.connect(self._show_progress)
        checks.run.running_changed.connect(self._show_running)
        self._show_running(checks.run.running)

    # --- while it runs ----------------------------------------------------------------------------

    def _make_progress(self) -> QWidget:
        theme = self._theme
        self.progress = QFrame()
        column = QVBoxLayout(self.progress)
        column.setContentsMargins(theme.spacing("m"), theme.spacing("s"), theme.spacing("m"), theme.spacing("s"))
        column.setSpacing(theme.spacing("xs"))
        row = QHBoxLayout()
        row.setSpacing(theme.spacing("m"))
        self.doing = ElidedLabel("")
        self.stop_button = push_button("Stop", self._checks.stop)
        row.addWidget(self.doing, 1)
        row.addWidget(self.stop_button)
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(theme.height("progress"))
        self.bar.setAccessibleName("Progress of the self-check")
        column.addLayout(row)
        column.addWidget(self.bar)
        self.left = label("", role="dense", tone="muted", wrap=True)
        column.addWidget(self.left)
        return self.progress

    def _show_running(self, running: bool) -> None:
        self.progress.setVisible(running)
        self.buttons.setVisible(not running)
        run = self._checks.run
        if running:
            self._show_progress(run.fraction, run.text, run.left_s)

    def _show_progress(self, fraction: float, text: str, left_s: float | None) -> None:
        self.bar.setValue(round(_STEPS * fraction))
        self.doing.setText(text)
        left = "" if left_s is None else f"At most {format_duration(left_s)} left. "
        self.left.setText(left + ALONE)
        self.stop_button.setEnabled(not self._checks.run.stopping)

    # --- what was found ---------------------------------------------------------------------------

    def _make_rows(self, facts: PanelFacts) -> QWidget:
        theme = self._theme
        holder = QFrame()
        set_ground(holder, "base")
        holder.setAccessibleName("Results of the self-check")
        column = flush_column(holder)
        for row in facts.rows:
            column.addWidget(self._make_row(row))
            column.addWidget(line())
        for said in (facts.extent, *facts.cautions):
            text = label(said, role="dense", tone="muted", wrap=True, selectable=True)
            text.setContentsMargins(theme.spacing("m"), theme.spacing("s"), theme.spacing("m"), 0)
            column.addWidget(text)
        column.addSpacing(theme.spacing("s"))
        column.addWidget(line())
        return holder

    def _make_row(self, row: PanelRow) -> QWidget:
        theme = self._theme
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(theme.spacing("m"), theme.spacing("xs"), theme.spacing("m"), theme.spacing("xs"))
        column.setSpacing(0)
        first = QHBoxLayout()
        first.setSpacing(theme.spacing("s"))
        edge = 14
        mark: QWidget
        if row.icon:
            mark = IconLabel(theme, row.icon, row.color, edge, row.state)
        else:
            mark = QWidget()
        mark.setFixedWidth(theme.px(edge))
        title = ElidedLabel(row.title)
        title.setProperty("strong", 500)
        value = label(row.value, selectable=True)
        value.setToolTip("95 % interval in brackets")
        first.addWidget(mark)
        first.addWidget(title, 1)
        first.addWidget(value)
        column.addLayout(first)
        text = f"{row.meaning} {row.state.capitalize()}." if row.state else row.meaning
        meaning = label(text, role="dense", tone="muted", wrap=True, selectable=True)
        meaning.setContentsMargins(theme.px(edge) + theme.spacing("s"), 0, 0, 0)
        column.addWidget(meaning)
        return holder

    # --- buttons ----------------------------------------------------------------------------------

    def _make_buttons(self) -> QWidget:
        theme = self._theme
        self.buttons = QWidget()
        row = QHBoxLayout(self.buttons)
        row.setContentsMargins(theme.spacing("m"), theme.spacing("s"), theme.spacing("m"), theme.spacing("m"))
        row.setSpacing(theme.spacing("s"))
        self.run_button = push_button("Run self-check", self._checks.start)
        self.run_button.setToolTip("As many blocks as the answer takes, 20 minutes at most")
        self.quick_button = push_button("Quick run", self._checks.start_quick)
        self.quick_button.setToolTip("About 5 minutes: fewer blocks, wider intervals")
        row.addWidget(self.run_button)
        row.addWidget(self.quick_button)
        row.addStretch(1)
        if self._checks.result is not None and self._checks.result.experiment:
            self.trials_button = push_button("Its trials in Compare", self._checks.show_trials, kind="link")
            row.addWidget(self.trials_button)
        return self.buttons

    def _text(self, text: str) -> QWidget:
        theme = self._theme
        made = label(text, tone="muted", wrap=True)
        made.setContentsMargins(theme.spacing("m"), theme.spacing("m"), theme.spacing("m"), 0)
        return made
