"""The Training panel: the settings of the loop, which are the same for all methods. Main thread."""

from __future__ import annotations

from PySide6.QtWidgets import QWidget

from widgets.setup.training.data_panel import GROUP
from widgets.setup.workload.panel import WorkPanel
from widgets.setup.workload.run_group import RunGroup
from widgets.theme.theme import Theme

SEEDS = (("", 3), ("", 5), ("", 10), ("", 20))


class TrainingPanel(WorkPanel):
    """How every method is trained."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        run = RunGroup(theme, "Seeds", SEEDS, stops_early=False)
        super().__init__(theme, "Training", "training", run, {}, elsewhere=GROUP, parent=parent)
        self.header.set_count("the same for all methods")
