"""The head over a machine's details: name, state, how it is reached, buttons; under it the card of a link that needs a
person. It is changed in place, so that a link that comes and goes rebuilds nothing. Main thread.
"""

from __future__ import annotations

import time

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QBoxLayout, QFormLayout, QFrame, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from widgets.machines.words import KeyWords, LinkWords, countdown
from widgets.parts.components import Chip, IconLabel, label, line, push_button, set_look
from widgets.parts.layout import flush_column, set_ground
from widgets.theme.theme import Theme


class MachineHead(QFrame):
    """Says what the user wants of the machine; the page does it."""

    retry_wanted = Signal()
    trust_wanted = Signal()
    """The host key that is shown is to be trusted."""
    test_wanted = Signal()
    setup_wanted = Signal()
    edit_wanted = Signal()
    removal_wanted = Signal()
    """Asked and answered."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._retry_at: float | None = None
        self._columns = 0
        """Buttons in a row."""
        set_ground(self, "panel")
        self.title = label(role="trial_title")
        self.chip = Chip(theme)
        self.about = label(role="dense", tone="muted", wrap=True)
        self.test = push_button("Test", self.test_wanted.emit)
        self.set_up = push_button("Set up…", self.setup_wanted.emit)
        self.edit = push_button("Edit…", self.edit_wanted.emit)
        self.remove = push_button("Remove…", self._ask, kind="danger")
        self.buttons = (self.test, self.set_up, self.edit, self.remove)
        self.question = label(wrap=True)
        self.yes = push_button("Remove", self._removal_confirmed, kind="danger")
        self.no = push_button("Keep", self._answered)
        self.icon = IconLabel(theme, "error", "status.error", 16)
        self.card_title = label(wrap=True)
        self.card_title.setProperty("strong", 500)
        self.text = label(tone="secondary", wrap=True, selectable=True)
        self.when = label(role="dense", tone="muted")
        self.retry = push_button("Try again now", self.retry_wanted.emit)
        self._key: KeyWords | None = None
        self.offered = label(role="mono", selectable=True)
        self.offered.setAccessibleName("Fingerprint offered now")
        self.expected = label(role="mono", selectable=True)
        self.expected.setAccessibleName("Fingerprints known so far")
        for fingerprint in (self.offered, self.expected):
            fingerprint.setMinimumWidth(1)  # their lines are broken to fit
        self.trust = push_button("Trust this key", self.trust_wanted.emit)
        self._clock = QTimer(self, interval=1000)
        self._clock.timeout.connect(self._count)
        self._build()
        theme.follow(self._restyle)

    def _build(self) -> None:
        column = flush_column(self)
        self._top = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._button_grid = QGridLayout()
        self._arrange(len(self.buttons))
        names = QVBoxLayout()
        names.setSpacing(2)
        first = QHBoxLayout()
        first.addWidget(self.title)
        first.addWidget(self.chip)
        first.addStretch(1)
        self._first = first
        names.addLayout(first)
        names.addWidget(self.about)
        self._names = names
        self._top.addLayout(names, 1)
        self._top.addLayout(self._button_grid)
        column.addLayout(self._top)
        self.asking = QFrame()
        self._asking_row = QHBoxLayout(self.asking)
        self._asking_row.addWidget(self.question, 1)
        self._asking_row.addWidget(self.yes)
        self._asking_row.addWidget(self.no)
        self.asking.hide()
        column.addWidget(self.asking)
        self.card = QFrame()
        set_ground(self.card, "base")
        outer = flush_column(self.card)
        outer.addWidget(line())
        self._card_row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        words = QVBoxLayout()
        self._card_head = QHBoxLayout()
        self._card_head.addWidget(self.icon, 0, Qt.AlignmentFlag.AlignTop)
        self._card_head.addWidget(self.card_title, 1)
        words.addLayout(self._card_head)
        words.addWidget(self.text)
        self._keys = QFormLayout()
        self._keys.addRow(label("Offered now", tone="muted"), self.offered)
        self._keys.addRow(label("Known so far", tone="muted"), self.expected)
        words.addLayout(self._keys)
        words.addWidget(self.when)
        self._words = words
        self._card_row.addLayout(words, 1)
        self._card_row.addWidget(self.trust, 0, Qt.AlignmentFlag.AlignTop)
        self._card_row.addWidget(self.retry, 0, Qt.AlignmentFlag.AlignTop)
        outer.addLayout(self._card_row)
        column.addWidget(self.card)
        column.addWidget(line())

    def _restyle(self) -> None:
        m, s, xs = (self._theme.spacing(name) for name in ("m", "s", "xs"))
        self._top.setContentsMargins(m, m, m, m)
        for row in (self._top, self._first, self._asking_row, self._card_row, self._card_head, self._button_grid):
            row.setSpacing(s)
        self._asking_row.setContentsMargins(m, 0, m, m)
        self._card_row.setContentsMargins(m, m, m, m)
        self._words.setSpacing(xs)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Buttons beside the name where there is room, else under it, two or four in a row."""
        gap = self._theme.spacing("s")
        room = self.width() - 2 * self._theme.spacing("m")
        row = sum(button.sizeHint().width() + gap for button in self.buttons)
        beside = self._first.sizeHint().width() + row <= room
        across, down = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
        self._top.setDirection(across if beside else down)
        self._arrange(len(self.buttons) if beside or row <= room else 2)
        answers = self.trust.sizeHint().width() + self.retry.sizeHint().width()
        self._card_row.setDirection(across if 2 * answers <= room else down)
        self._break_fingerprints(room - (answers if 2 * answers <= room else 0))

    def _break_fingerprints(self, room: int) -> None:
        """A fingerprint is one long word: it is broken where the line ends, so that all of it can be compared."""
        if self._key is None:
            return
        names = self._keys.labelForField(self.offered).sizeHint().width() + 4 * self._theme.spacing("m")
        columns = max(8, (room - names) // max(1, self.offered.fontMetrics().horizontalAdvance("0")))
        self.offered.setText(_broken(self._key.offered, columns))
        self.expected.setText("\n".join(_broken(known, columns) for known in self._key.known))

    def _arrange(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        for place, button in enumerate(self.buttons):
            self._button_grid.addWidget(button, place // columns, place % columns, Qt.AlignmentFlag.AlignTop)

    # --- what is shown ----------------------------------------------------------------------------

    def show_machine(self, title: str, about: str, *, added: bool) -> None:
        """`added`: it can be changed and removed; this computer cannot."""
        if title != self.title.text():
            self._answered()
        self.title.setText(title)
        self.about.setText(about)
        for button in self.buttons:
            button.setVisible(added)
        for button in self.buttons:
            button.setAccessibleName(f"{button.text().rstrip('…')} {title}")

    def show_testing(self, testing: bool) -> None:
        self.test.setEnabled(not testing)
        self.test.setToolTip("The test is running" if testing else "Try each step from the host key to the devices")

    def show_link(self, words: LinkWords, retry_at: float | None) -> None:
        """`retry_at`: on the monotonic clock, when the next try is due."""
        self.chip.set(words.state[:1].upper() + words.state[1:], words.status)
        self.card.setVisible(bool(words.title))
        icon = "error" if words.status == "error" else "warning"
        self.icon.set_icon(icon, f"status.{'error' if words.status == 'error' else 'warn'}")
        self.card_title.setText(words.title)
        self.text.setText(words.text)
        self.text.setVisible(bool(words.text))
        self.retry.setVisible(words.retry)
        self._retry_at = retry_at if words.title else None
        self._count()
        self._keep_time()

    def show_key(self, words: KeyWords | None) -> None:
        """The host key to be decided on, None where there is none to decide on."""
        self.trust.setVisible(words is not None)
        self._keys.setRowVisible(self.offered, words is not None)
        self._keys.setRowVisible(self.expected, words is not None and bool(words.known))
        self._key = words
        if words is None:
            return
        self.card.show()
        self.card_title.setText(words.title)
        self.text.setText(words.text)
        self.text.show()
        self._fit()
        self.trust.setText(words.button)
        set_look(self.trust, kind="danger" if words.changed else "")
        if words.changed:
            self.icon.set_icon("error", "status.error")

    def _count(self) -> None:
        self.when.setVisible(self._retry_at is not None)
        if self._retry_at is not None:
            self.when.setText(countdown(self._retry_at - time.monotonic()))

    def _keep_time(self) -> None:
        """The clock runs only while there is a time to count and someone to see it."""
        wanted = self._retry_at is not None and self.isVisible()
        if wanted != self._clock.isActive():
            self._clock.start() if wanted else self._clock.stop()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._count()
        self._keep_time()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._keep_time()

    # --- the question -----------------------------------------------------------------------------

    def ask(self, question: str) -> None:
        self.question.setText(question)
        self.asking.show()
        self.no.setFocus(Qt.FocusReason.OtherFocusReason)

    def _ask(self) -> None:
        self.ask(
            f"Remove {self.title.text()}? Its stored trials stay. Trials that run or wait there continue; add it again "
            "under the same id to fetch their results."
        )

    def _removal_confirmed(self) -> None:
        self._answered()
        self.removal_wanted.emit()

    def _answered(self) -> None:
        had = self.asking.isVisible() and (self.yes.hasFocus() or self.no.hasFocus())
        self.asking.hide()
        if had:
            self.remove.setFocus(Qt.FocusReason.OtherFocusReason)


def _broken(text: str, columns: int) -> str:
    """In lines of nearly the same length."""
    lines = max(1, -(-len(text) // columns))
    step = max(1, -(-len(text) // lines))
    return "\n".join(text[start : start + step] for start in range(0, len(text), step))
