"""The card of a number: anchored under its cell, closed by Escape, kept by its pin. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from widgets.compare.card.view import Card
from widgets.compare.table.strip import ValueStrip
from widgets.parts.components import Chip, ElidedLabel, label, line, push_button, tool_button
from widgets.theme.swatch import Swatch
from widgets.theme.theme import Theme
from workbench.experiment import MORE_BLOCKS

_LABELS = 70
_GAP = 6


class NumberCard(QFrame):
    """A child of the page. `keep` (the pin) leaves it open when another cell is chosen or the page is clicked."""

    trial_asked = Signal(str)
    environment_asked = Signal(str, str)
    """Configuration, and the trial or "" for all of its trials."""
    blocks_asked = Signal()
    closed = Signal()
    copied = Signal()

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self._card: Card | None = None
        self._anchor = QRect()
        self.setProperty("card", "true")
        self.setProperty("ring", False)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._swatch = Swatch(theme)
        self._title = ElidedLabel(tone="secondary", mode=Qt.TextElideMode.ElideMiddle)
        self.pin = tool_button(theme, "pin", tip="Keep this card open", compact=True, checkable=True)
        self._close = tool_button(theme, "close", tip="Close (Esc)", clicked=self.dismiss, compact=True)
        head = QHBoxLayout()
        head.addWidget(self._swatch)
        head.addWidget(self._title, 1)
        head.addWidget(self.pin)
        head.addWidget(self._close)
        self._metric = label(role="dense", tone="muted")
        self.value = label(role="hero", selectable=True)
        self._unit = label(tone="secondary")
        self.chip = Chip(theme)
        figure = QHBoxLayout()
        figure.addWidget(self.value)
        figure.addWidget(self._unit, 0, Qt.AlignmentFlag.AlignBottom)
        figure.addStretch(1)
        figure.addWidget(self.chip, 0, Qt.AlignmentFlag.AlignVCenter)
        self._strip = ValueStrip(theme)
        self._grid = QGridLayout()
        self._grid.setColumnStretch(1, 1)
        self._fields = QWidget()
        self._fields.setLayout(self._grid)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(self._fields)
        for part in (self._scroll, self._scroll.viewport(), self._fields):
            part.setAutoFillBackground(False)
            part.setProperty("ground", "raised")
        self._open = push_button("Open trials", self._open_trial, kind="link")
        copy = push_button("Copy with provenance", self._copy, kind="link")
        links = QHBoxLayout()
        links.setSpacing(theme.px(16))
        links.addWidget(self._open)
        self._environment = push_button("Environment", self._ask_environment, kind="link")
        links.addWidget(self._environment)
        links.addWidget(copy)
        self.more = push_button(f"Run {MORE_BLOCKS} more blocks", self.blocks_asked.emit, kind="link")
        links.addWidget(self.more)
        links.addStretch(1)
        self._column = QVBoxLayout(self)
        self._column.addLayout(head)
        self._column.addWidget(self._metric)
        self._column.addLayout(figure)
        self._column.addWidget(self._strip)
        self._column.addWidget(self._scroll, 1)
        self._column.addWidget(line(self))
        self._column.addLayout(links)
        self.hide()
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(16), px(8), px(12), px(10))
        self._column.setSpacing(px(4))
        self._grid.setContentsMargins(0, px(4), px(4), px(4))
        self._grid.setVerticalSpacing(px(5))
        self._grid.setHorizontalSpacing(px(8))
        self._grid.setColumnMinimumWidth(0, px(_LABELS))
        self.setFixedWidth(self._theme.width("number_card"))
        if self._card is not None and self.isVisible():
            self._place()

    # --- content ----------------------------------------------------------------------------------

    @property
    def card(self) -> Card | None:
        """What is shown; None while closed."""
        return self._card

    @property
    def pinned(self) -> bool:
        return self.pin.isChecked()

    def show_card(self, card: Card, anchor: QRect | None = None) -> None:
        """Show a card under `anchor` (the page's coordinates); without one it stays where it is."""
        fresh = card != self._card
        self._card = card
        if anchor is not None:
            self._anchor = anchor
        if fresh:
            self._fill(card)
        self._place()
        self.show()
        self.raise_()

    def _fill(self, card: Card) -> None:
        self._swatch.set_run(card.color)
        self._title.setText(card.title)
        self._metric.setText(card.metric)
        self.value.setText(card.value)
        self._unit.setText(card.unit)
        self.chip.setVisible(bool(card.chip))
        self.chip.set(card.chip, card.status)
        self._strip.show_strip(card.strip, card.color, card.unit)
        self._open.setText("Open trial" if card.of_trial else "Open trials")
        self._open.setVisible(bool(card.trial))
        self.more.setVisible(card.offers_blocks)
        self.setAccessibleName(f"{card.title}, {card.metric}: {card.value} {card.unit}".strip())
        self.setAccessibleDescription(" ".join(f"{name}: {text}." for name, text, _ in card.fields))
        while self._grid.count():
            item = self._grid.takeAt(0)
            old = item.widget() if item is not None else None
            if old is not None:
                old.hide()
                old.deleteLater()
        for place, (name, text, tone) in enumerate(card.fields):
            left = label(name, role="dense", tone="muted")
            right = label(text, role="dense", tone=tone or "primary", wrap=True, selectable=True)
            right.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            if name == "Verdict" and tone:
                right.setProperty("strong", "500")
            top = Qt.AlignmentFlag.AlignTop
            self._grid.addWidget(left, place, 0, top)
            self._grid.addWidget(right, place, 1, top)
            for part in (left, right):
                part.show()  # or an open card would only show it, and make room for it, after this
        self._grid.setRowStretch(len(card.fields), 1)

    def _place(self) -> None:
        """Under the cell; above it where there is no room; never outside the page."""
        page = self.parentWidget()
        if page is None:
            return
        room = page.size() - QSize(16, 16)
        self.ensurePolished()
        fields = self._fields_height()
        self._scroll.setMinimumHeight(min(fields, 80))
        self._column.activate()
        rest = self._column.totalMinimumSize().height() - min(fields, 80)
        below = page.height() - self._anchor.bottom() - _GAP - 8
        above = self._anchor.top() - _GAP - 8
        wanted = min(rest + fields, room.height())
        self.setFixedHeight(wanted)
        fits = wanted == rest + fields
        self._scroll.setVerticalScrollBarPolicy(
            Qt.ScrollBarPolicy.ScrollBarAlwaysOff if fits else Qt.ScrollBarPolicy.ScrollBarAsNeeded
        )
        x = min(max(self._anchor.right() - self.width() + 1, 8), page.width() - self.width() - 8)
        if wanted <= below:
            y = self._anchor.bottom() + _GAP
        elif wanted <= above:
            y = self._anchor.top() - _GAP - wanted
        else:
            y = page.height() - wanted - 8
            # beside the cell rather than over it
            left, right = self._anchor.left() - _GAP - self.width(), self._anchor.right() + _GAP
            x = left if left >= 8 else right if right + self.width() <= page.width() - 8 else x
        self.move(x, y)

    def _fields_height(self) -> int:
        px = self._theme.px
        width = self.width() - px(16) - px(12) - 2
        for name in self._fields.findChildren(QLabel):
            name.ensurePolished()
        return self._grid.totalHeightForWidth(width) + px(4)

    # --- what the user does -----------------------------------------------------------------------

    def dismiss(self) -> None:
        """Close; the pin is out again."""
        if self._card is None:
            return
        self._card = None
        self.pin.setChecked(False)
        self.hide()
        self.closed.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.dismiss()
        elif event.matches(QKeySequence.StandardKey.Copy):
            self._copy()
        else:
            super().keyPressEvent(event)

    def _open_trial(self) -> None:
        if self._card is not None:
            self.trial_asked.emit(self._card.trial)

    def _ask_environment(self) -> None:
        if self._card is not None:
            self.environment_asked.emit(self._card.configuration, self._card.trial if self._card.of_trial else "")

    def _copy(self) -> None:
        if self._card is not None:
            QGuiApplication.clipboard().setText(self._card.provenance)
            self.copied.emit()
