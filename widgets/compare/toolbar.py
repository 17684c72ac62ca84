"""The Compare page's toolbar: experiment, filter, rows, columns, baseline, export. Main thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from PySide6.QtCore import QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QComboBox, QLineEdit, QMenu, QStyle, QStyleOptionComboBox, QStylePainter, QWidget

from widgets.theme.icons import pixmap
from widgets.theme.theme import Theme
from workbench.store.operations import ExperimentRow
from workbench.units import counted

_FILTER_MS = 180


def calling(function: Callable[..., None], *values: object) -> Callable[..., None]:
    """A slot that calls `function` with these values, whatever the signal carries."""

    def call(*_: object) -> None:
        function(*values)

    return call


class ExperimentChooser(QComboBox):
    """Experiments, newest first: name, number, date and counts in the list; the name alone while it is closed."""

    chosen = Signal(str)
    """Experiment id, by the user."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._rows: tuple[ExperimentRow, ...] = ()
        self.setAccessibleName("Experiment")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.setMaxVisibleItems(16)
        self.activated.connect(self._activated)

    def wished_width(self) -> int:
        """At which the whole name is read."""
        row = self.current()
        name = row.name if row is not None else "No experiment"
        return self.fontMetrics().horizontalAdvance(name) + self._theme.px(44)

    @property
    def rows(self) -> tuple[ExperimentRow, ...]:
        return self._rows

    def show_rows(self, rows: Sequence[ExperimentRow], current: str) -> None:
        """Fill the list and choose without a signal."""
        texts = [experiment_text(r) for r in rows]
        if [r.experiment for r in rows] == [r.experiment for r in self._rows] and self.count() == len(rows):
            for place, text in enumerate(texts):
                self.setItemText(place, text)
        else:
            self.clear()
            self.addItems(texts)
        self._rows = tuple(rows)
        self.setCurrentIndex(next((i for i, r in enumerate(rows) if r.experiment == current), -1))
        row = self.current()
        self.setToolTip(experiment_text(row) if row is not None else "")
        widest = max((self.fontMetrics().horizontalAdvance(t) for t in texts), default=0)
        self.view().setMinimumWidth(min(widest + self._theme.px(40), 900))
        self.update()

    def current(self) -> ExperimentRow | None:
        place = self.currentIndex()
        return self._rows[place] if 0 <= place < len(self._rows) else None

    def _activated(self, place: int) -> None:
        if 0 <= place < len(self._rows):
            self.chosen.emit(self._rows[place].experiment)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        row = self.current()
        room = self.width() - self._theme.px(40)
        name = row.name if row is not None else "No experiment"
        option.currentText = self.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, room)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()


def experiment_text(row: ExperimentRow) -> str:
    """ "precision of SmolLM2 · number 12 · 1 Oct 2026, 14:00 · 19 of 20 trials completed, 1 failed"."""
    done = f"{row.completed} of {row.trials} trials completed"
    if row.completed == row.trials:
        done = counted(row.trials, "trials")
    more = [f"{n} {word}" for n, word in ((row.failed, "failed"), (row.running, "running")) if n]
    return f"{row.name}  ·  number {row.number}  ·  {local_time(row.created_at)}  ·  {', '.join([done, *more])}"


def local_time(stamp: str) -> str:
    """An ISO 8601 UTC time as "1 Oct 2026, 14:00" in local time; the text itself where it is none."""
    try:
        at = datetime.fromisoformat(stamp).astimezone()
    except ValueError:
        return stamp
    return f"{at.day} {at:%b %Y, %H:%M}"


class FilterField(QLineEdit):
    """Text or regular expressions over labels; `changed` follows the typing after a moment."""

    changed = Signal(str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setAccessibleName("Filter of the table")
        self.setPlaceholderText("Filter rows")
        self.setClearButtonEnabled(True)
        self._timer = QTimer(self, interval=_FILTER_MS, singleShot=True)
        self._timer.timeout.connect(self._tell)
        self.textChanged.connect(self._timer.start)
        self.set_plain(())
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self.setTextMargins(self._theme.px(22), 0, 0, 0)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        picture = pixmap(self._theme, "filter", "text.secondary", 16, self.devicePixelRatioF())
        edge = picture.deviceIndependentSize().height()
        place = QRectF(self._theme.px(8), (self.height() - edge) / 2, edge, edge)
        painter.drawPixmap(place, picture, QRectF(picture.rect()))
        painter.end()

    def _tell(self) -> None:
        self.changed.emit(self.text())

    def set_plain(self, plain: Sequence[str]) -> None:
        """Words that are no regular expression: they are looked for letter by letter, and the tooltip says so."""
        tip = "Words and regular expressions, all must match; precision:int8 looks into labels called precision."
        if plain:
            tip = f"Not a regular expression, searched for literally: {', '.join(plain)}"
        self.setToolTip(tip)
        self.setAccessibleDescription(tip)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._timer.stop()
            self._tell()
        else:
            super().keyPressEvent(event)


class StayOpenMenu(QMenu):
    """A menu of check boxes: checking one does not close it.

    The release of the press that opens a menu comes here too, and the menu may lie under the pointer: no click.
    """

    _pressed = False

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._pressed = self.rect().contains(event.position().toPoint())
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        clicked, self._pressed = self._pressed, False
        action = self.actionAt(event.position().toPoint())
        if action is None or not action.isEnabled() or not action.isCheckable():
            super().mouseReleaseEvent(event)
        elif clicked:
            action.trigger()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        action = self.activeAction()
        toggles = event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if toggles and action is not None and action.isEnabled() and action.isCheckable():
            action.trigger()
        else:
            super().keyPressEvent(event)
