"""The queue's machines, where there are others than this computer: what each has to do, and its own pause. Main thread.

`lanes` makes the values, without Qt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from engines.protocol.messages import QueueState
from widgets.parts.components import ElidedLabel, ToolButton, label, line
from widgets.parts.link_state import LAST_KNOWN
from widgets.queue.allocations import jobs_text
from widgets.queue.rows import heading
from widgets.theme.theme import Theme
from workbench.machines.machine import THIS
from workbench.running.events import RunnerLink


@dataclass(frozen=True)
class Lane:
    machine: str
    title: str
    text: str
    paused: bool
    note: str = ""
    """Of a cluster, its jobs; of any, why no trial starts."""


def lanes(
    queues: Mapping[str, QueueState], links: Mapping[str, RunnerLink], title_of: Callable[[str], str], now_s: float
) -> tuple[Lane, ...]:
    """One a machine with something to do or a pause; none where that is this computer alone."""
    busy = {m: q for m, q in queues.items() if q.paused or q.in_state("waiting") or q.in_state("running")}
    if not busy.keys() - {THIS}:
        return ()
    return tuple(Lane(m, title_of(m), _text(q, links.get(m), now_s), q.paused, _note(q)) for m, q in busy.items())


def _text(state: QueueState, link: RunnerLink | None, now_s: float) -> str:
    running = len(state.in_state("running"))
    parts = [f"{running} running"] if running else []
    parts += [heading(state, now_s)] if heading(state, now_s) else []
    if link is not None and link.state == "lost":
        parts.insert(0, LAST_KNOWN)
    return ", ".join(parts)


def _note(state: QueueState) -> str:
    jobs = jobs_text(state.allocations)
    return jobs if jobs or state.paused or state.in_state("running") else state.nothing_starts


class QueueLanes(QWidget):
    """A row a lane; hidden where there is none."""

    pause_wanted = Signal(str, bool)
    """Machine, whether it is to pause."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._shown: tuple[Lane, ...] = ()
        self.buttons: dict[str, ToolButton] = {}
        self._texts: dict[str, ElidedLabel] = {}
        self.notes: dict[str, QLabel] = {}
        self.setAccessibleName("Queue by machine")
        self._grid = QGridLayout(self)
        self._grid.setColumnStretch(1, 1)
        self._grid.setVerticalSpacing(0)
        theme.follow(self._restyle)
        self.hide()

    def _restyle(self) -> None:
        px = self._theme.px
        self._grid.setContentsMargins(px(12), px(2), px(8), 0)
        self._grid.setHorizontalSpacing(px(8))

    def show_lanes(self, shown: Sequence[Lane]) -> None:
        """Rows of machines that stay are changed in place, so that the focus stays on their button."""
        new = tuple(shown)
        if [(v.machine, v.title) for v in new] != [(v.machine, v.title) for v in self._shown]:
            self._build(new)
        self._shown = new
        for lane in new:
            button = self.buttons[lane.machine]
            button.set_icon("play" if lane.paused else "pause")
            name = f"Resume {lane.title}" if lane.paused else f"Pause {lane.title}"
            button.setAccessibleName(name)
            button.set_tip(name)
            self._texts[lane.machine].setText(lane.text)
            note = self.notes[lane.machine]
            note.setText(lane.note)
            note.setVisible(bool(lane.note))
        self.setVisible(bool(new))

    def _build(self, new: tuple[Lane, ...]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self.buttons, self._texts, self.notes = {}, {}, {}
        for row, lane in enumerate(new):
            title = label(lane.title, role="dense")
            title.setProperty("strong", "500")
            self._texts[lane.machine] = text = ElidedLabel(role="dense", tone="secondary")
            self.buttons[lane.machine] = button = ToolButton(self._theme, "pause", compact=True, tip="Pause")
            button.clicked.connect(partial(self._toggle, lane.machine))
            for column, widget in enumerate((title, text, button)):
                self._grid.addWidget(widget, 2 * row, column)
            self.notes[lane.machine] = note = label(role="dense", tone="muted", wrap=True)
            self._grid.addWidget(note, 2 * row + 1, 0, 1, 3)
        self._grid.addWidget(line(), 2 * len(new), 0, 1, 3)

    def _toggle(self, machine: str) -> None:
        lane = next(lane for lane in self._shown if lane.machine == machine)
        self.pause_wanted.emit(machine, not lane.paused)
