"""The Data panel of fine-tuning: what is trained on, and which of it. Main thread."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets.parts.components import Panel
from widgets.setup.workload.engine_group import LABELS
from widgets.setup.workload.panel import Upright, own_settings
from widgets.setup.workload.work_form import WorkForm
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment

GROUP = "Data"
"""The group of settings that this panel has."""


class DataPanel(Panel):
    changed = Signal(str, object)
    """key, values"""
    broke = Signal(str, str)
    """key, what is wrong; "" where it is mended"""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "Data", parent=parent)
        self._theme = theme
        inner = QWidget()
        self._column = column = QVBoxLayout(inner)
        self.form = WorkForm(theme, [s for s in own_settings("training") if s.group == GROUP], {}, LABELS)
        self.form.changed.connect(self.changed)
        self.form.broke.connect(self.broke)
        column.addWidget(self.form)
        column.addStretch(1)
        self._scroll = Upright()
        self._scroll.setWidget(inner)
        self.body.addWidget(self._scroll, 1)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(12), px(12), px(10), px(12))
        self._column.setSpacing(px(8))

    def show_experiment(self, experiment: Experiment, *, force: bool = False) -> None:
        self.form.show_work(experiment.workload, force=force)
