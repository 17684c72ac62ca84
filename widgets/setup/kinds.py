"""The kinds of work: what each has beside models and machine. Built when a kind is first shown. Main thread."""

from __future__ import annotations

from widgets.setup.models.rows import Resolved
from widgets.setup.panels import KindPanels, Pair
from widgets.setup.techniques.panel import TechniquesPanel
from widgets.setup.training.data_panel import DataPanel
from widgets.setup.training.panel import TrainingPanel
from widgets.setup.workload.inference import InferencePanel
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment


class InferencePanels(KindPanels):
    """Techniques and Workload. Techniques take what is left over."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "inference")
        self.techniques = TechniquesPanel(theme, "Techniques")
        self.work = InferencePanel(theme)
        self.addWidget(self.techniques)
        self.addWidget(self.work)
        self.setStretchFactor(0, 1)

    def show_experiment(self, experiment: Experiment, resolved: Resolved, *, force: bool) -> None:
        self.techniques.show_experiment(experiment, resolved, force=force)
        self.work.show_experiment(experiment, force=force)

    def arrange(self) -> None:
        self.give(self._theme.px(256 if self.narrow else 288), first=False)


class TrainingPanels(KindPanels):
    """Methods, Data and Training; the last two as tabs in a narrow window. Methods take what is left over."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "training")
        self.techniques = TechniquesPanel(theme, "Methods", across=False)
        self.data = DataPanel(theme)
        self.work = TrainingPanel(theme)
        self.pair = Pair(theme, self.data, self.work, (400, 304))
        self.addWidget(self.techniques)
        self.addWidget(self.pair)
        self.setStretchFactor(0, 1)

    def show_experiment(self, experiment: Experiment, resolved: Resolved, *, force: bool) -> None:
        self.techniques.show_experiment(experiment, resolved, force=force)
        self.data.show_experiment(experiment, force=force)
        self.work.show_experiment(experiment, force=force)

    def set_narrow(self, narrow: bool) -> None:
        super().set_narrow(narrow)
        self.pair.set_narrow(narrow)

    def arrange(self) -> None:
        self.give(self._theme.px(400 if self.narrow else 705), first=False)


PANELS: dict[str, type[InferencePanels] | type[TrainingPanels]] = {
    "inference": InferencePanels,
    "training": TrainingPanels,
}
