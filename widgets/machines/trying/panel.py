"""The last test of a machine, a row a step, and under it the room that things take there. Main thread.

Built anew with the page's details, and at every step.
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from widgets.machines.trying.run import Tested
from widgets.parts.components import Chip, IconLabel, Panel, label, line
from widgets.parts.layout import flush_column, set_ground
from widgets.theme.theme import Theme
from workbench.machines.trying import Tried
from workbench.units import format_bytes

_ICONS = {"ok": ("check", "status.good"), "note": ("info", "status.info"), "failed": ("error", "status.error")}
_WORDS = {"ok": "passed", "note": "worth knowing", "failed": "failed"}
_FOLDERS = {
    "engines": "Engines",
    "models": "Models copied there",
    "artifacts": "Trained models",
    "records": "Records not fetched yet",
    "hub cache": "Hugging Face cache",
}

_DECIDE = "Decide above whether it is to be trusted."
"""In the place of an option of the command."""


def tried_panel(theme: Theme, result: Tested) -> Panel:
    """ "Last test": chips with how many passed; while it runs, those that were tried."""
    running = result.ended_at is None
    panel = Panel(theme, "Test" if running else "Last test", "running" if running else f"{result.ended_at:%H:%M}")
    failed = sum(step.state == "failed" for step in result.steps)
    if not running:
        passed = len(result.steps) - failed
        if failed:
            panel.header.add_tool(Chip(theme, f"{failed} failed", "error"))
        panel.header.add_tool(Chip(theme, f"{passed} passed", "good" if not failed else "neutral"))
    edge = theme.spacing("m")
    for step in result.steps:
        panel.body.addWidget(_step(theme, step))
        panel.body.addWidget(line())
    if running:
        waiting = label("Each step needs the one before.", role="dense", tone="muted", wrap=True)
        waiting.setContentsMargins(edge, theme.spacing("s"), edge, theme.spacing("s"))
        panel.body.addWidget(waiting)
    return panel


def _step(theme: Theme, step: Tried) -> QWidget:
    icon, color = _ICONS[step.state]
    title = label(step.title)
    title.setProperty("strong", 500)
    said = label(step.said, tone="error" if step.state == "failed" else "secondary", wrap=True, selectable=True)
    grid, row = _row(theme)
    grid.addWidget(IconLabel(theme, icon, color, 14, _WORDS[step.state]), 0, 0, Qt.AlignmentFlag.AlignTop)
    grid.addWidget(title, 0, 1, Qt.AlignmentFlag.AlignTop)
    grid.addWidget(said, 0, 2)
    advice = _DECIDE if step.key is not None else step.advice
    if advice:
        grid.addWidget(label(advice, role="dense", tone="muted", wrap=True, selectable=True), 1, 2)
    return row


def sizes_panel(theme: Theme, result: Tested) -> Panel:
    """What disk and caches take on the machine; only where `result.sizes` is known."""
    assert result.sizes is not None
    panel = Panel(theme, "Disk", f"{format_bytes(result.sizes.free_bytes)} free")
    for folder in result.sizes.folders:
        grid, row = _row(theme)
        name = label(_FOLDERS.get(folder.name, folder.name))
        name.setProperty("strong", 500)
        size = "none yet" if folder.size_bytes is None else format_bytes(folder.size_bytes)
        grid.addWidget(name, 0, 1)
        grid.addWidget(label(folder.path, role="dense", tone="muted", wrap=True, selectable=True), 1, 1, 1, 2)
        grid.addWidget(label(size, tone="secondary"), 0, 2, Qt.AlignmentFlag.AlignRight)
        panel.body.addWidget(row)
        panel.body.addWidget(line())
    return panel


def _row(theme: Theme) -> tuple[QGridLayout, QWidget]:
    row = QWidget()
    set_ground(row, "base")
    grid = QGridLayout(row)
    edge, gap = theme.spacing("m"), theme.spacing("xs")
    grid.setContentsMargins(edge, gap, edge, gap)
    grid.setHorizontalSpacing(theme.spacing("s"))
    grid.setVerticalSpacing(0)
    grid.setColumnMinimumWidth(1, theme.px(84))
    grid.setColumnStretch(2, 1)
    return grid, row


def panels_of(theme: Theme, result: Tested | None) -> tuple[QWidget, ...]:
    """Those there are something for."""
    if result is None:
        return ()
    more = (sizes_panel(theme, result),) if result.sizes is not None else ()
    return (tried_panel(theme, result), *more)


def alone(theme: Theme, result: Tested) -> QWidget:
    """The same where nothing else is known of the machine."""
    holder = QWidget()
    column = flush_column(holder)
    for panel in panels_of(theme, result):
        column.addWidget(panel)
        column.addWidget(line())
    column.addStretch(1)
    return holder
