"""A label that ends in an ellipsis where it does not fit."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from widgets.parts.labels import ElidedLabel
from widgets.theme.theme import Theme

TEXT = "Involuntary context switches"


def test_that_its_margins_take_nothing_from_the_text(qtbot: QtBot, theme: Theme) -> None:
    made = ElidedLabel(TEXT)
    qtbot.addWidget(made)
    made.setContentsMargins(12, 0, 12, 0)
    made.show()
    made.resize(made.sizeHint())
    assert QLabel.text(made) == TEXT
    made.resize(made.width() - 8, made.height())
    shown = QLabel.text(made)
    assert shown.endswith("…")
    assert made.fontMetrics().horizontalAdvance(shown) <= made.contentsRect().width()
    assert made.toolTip() == TEXT
