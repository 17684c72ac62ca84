"""Under the table: what is the same for all rows, what is not available, and the cautions. Main thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from widgets.parts.components import ElidedLabel, label, push_button
from widgets.parts.layout import set_ground
from widgets.theme.theme import Theme
from workbench.comparison.comparison import worth_listing
from workbench.comparison.results import Comparison
from workbench.metrics.registry import find
from workbench.plan.labels import OF_ENGINE, named_value
from workbench.store.operations import TrialRow


class NotesBar(QFrame):
    """Two lines of text, each with one link; the second unfolds to all notes."""

    constant_toggled = Signal()
    invalid_toggled = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._open = False
        self._notes: tuple[str, ...] = ()
        set_ground(self, "panel", "top")
        self._same = ElidedLabel(role="dense", tone="muted")
        self._show = push_button("Show", self.constant_toggled.emit, kind="link")
        self._said = ElidedLabel(role="dense", tone="muted")
        self._all = label(role="dense", tone="muted", wrap=True, selectable=True)
        self._all.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._more = push_button("All notes", self._toggle, kind="link")
        self._invalid = push_button("Include invalid trials", self.invalid_toggled.emit, kind="link")
        self._first, self._second = QHBoxLayout(), QHBoxLayout()
        middle = Qt.AlignmentFlag.AlignVCenter
        self._first.addWidget(self._same, 0, middle)
        self._first.addWidget(self._show, 0, middle)
        self._first.addStretch(1)
        self._second.addWidget(self._said, 0, middle)
        self._second.addWidget(self._all, 1)
        self._second.addWidget(self._more, 0, Qt.AlignmentFlag.AlignTop)
        self._second.addWidget(self._invalid, 0, Qt.AlignmentFlag.AlignTop)
        self._second.addStretch(0)
        self._column = QVBoxLayout(self)
        self._column.addLayout(self._first)
        self._column.addLayout(self._second)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(12), px(4), px(12), px(4))
        self._column.setSpacing(px(1))
        for row in (self._first, self._second):
            row.setSpacing(px(10))
        for link in (self._show, self._more, self._invalid):
            link.setFixedHeight(px(18))
            link.setStyleSheet(f"min-height: {px(18)}px; font-size: {px(12)}px;")

    def show_notes(
        self, same: Mapping[str, str], shown: bool, notes: Sequence[str], invalid: int, include_invalid: bool
    ) -> None:
        """`same` are the folded labels (all constant ones while they are `shown` as columns)."""
        text = same_text(same)
        self._same.setText(f"The same for all: {text}" if not shown else "The same for all: shown as columns")
        count = len(same)
        what = "constant column" if count == 1 else "constant columns"
        self._show.setText(f"Fold {count} {what}" if shown else f"Show {count} {what}")
        for part in (self._same, self._show):
            part.setVisible(bool(same))
        self._notes = tuple(notes)
        self._said.setText("  ·  ".join(notes))
        self._all.setText("\n".join(notes))
        self._invalid.setVisible(invalid > 0)
        what = "invalid trial" if invalid == 1 else "invalid trials"
        self._invalid.setText(f"Leave {what} out" if include_invalid else f"Include {invalid} {what}")
        self.setVisible(bool(same) or bool(notes))
        self._unfold()

    def _toggle(self) -> None:
        self._open = not self._open
        self._unfold()

    def _unfold(self) -> None:
        count = len(self._notes)
        self._open = self._open and count > 0
        self._said.setVisible(count > 0 and not self._open)
        self._all.setVisible(self._open)
        self._more.setVisible(count > 0)
        self._more.setText("Less" if self._open else f"All {count} notes" if count > 1 else "Whole note")


def same_text(same: Mapping[str, str]) -> str:
    """ "SmolLM2-135M, 128 prompt tokens, batch 1": plain numbers carry their label, and so does what is a setting of
    an engine ("attention sdpa (transformers)")."""
    parts = []
    for name, value in same.items():
        if name == "threads" or name in OF_ENGINE:
            parts.append(f"{name} {value}")
        elif value:
            parts.append(named_value(name, value))
    return ", ".join(parts)


def notes_of(comparison: Comparison, shown: Sequence[str], trials: Sequence[TrialRow] = ()) -> tuple[str, ...]:
    """The comparison's cautions, where to see which trials carry a warning, and the primary metrics that nothing could
    measure."""
    missing: dict[str, list[str]] = {}
    for metric, reason in comparison.unavailable.items():
        known = find(metric)
        if known is not None and (worth_listing(known, comparison) or metric in shown):
            missing.setdefault(reason, []).append(known.title)
    missing_lines = [f"Not available: {', '.join(titles)}. {reason}" for reason, titles in missing.items()]
    warned = any(t.verdict == "warning" for t in trials)
    hint = ("The trial count of a row says which carry a warning, and why.",) if warned else ()
    return (*comparison.footnotes, *hint, *missing_lines)
