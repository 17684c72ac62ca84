"""What each kind of work has beside models and machine. Built when a kind is first shown. Main thread."""

from __future__ import annotations

from widgets.background.bridge import Bridge
from widgets.setup.models.rows import Resolved
from widgets.setup.panels import KindPanels, Pair
from widgets.setup.techniques.panel import TechniquesPanel
from widgets.setup.training.data_panel import DataPanel
from widgets.setup.training.panel import PretrainingPanel, TrainingPanel
from widgets.setup.training.preview import PreviewSource
from widgets.setup.workload.inference import InferencePanel
from widgets.setup.workload.panel import WorkPanel
from widgets.setup.workload.run_group import RunGroup
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment

FROM_SHAPES = "pretraining"
"""The kind of work that begins with a shape and needs no model."""
REPETITIONS = (("", 3), ("", 5), ("", 10))


class WorkPanels(KindPanels):
    """Techniques and the work's own panel. Techniques take what is left over."""

    def __init__(self, theme: Theme, kind: str, techniques: TechniquesPanel, work: WorkPanel) -> None:
        super().__init__(theme, kind)
        self.techniques = techniques
        self.work = work
        self.addWidget(techniques)
        self.addWidget(self.right())
        self.setStretchFactor(0, 1)

    def right(self) -> WorkPanel | Pair:
        """What stands beside the techniques."""
        return self.work

    def show_experiment(self, experiment: Experiment, resolved: Resolved, *, force: bool) -> None:
        self.work.show_experiment(experiment, force=force)
        self.show_resolved(experiment, resolved, force=force)

    def show_resolved(self, experiment: Experiment, resolved: Resolved, *, force: bool) -> None:
        """What depends on the models and the machine."""
        self.techniques.show_experiment(experiment, resolved, force=force)

    def arrange(self) -> None:
        self.give(self._theme.px(256 if self.narrow else 288), first=False)


class TrainingPanels(WorkPanels):
    """Methods, Data and Training; the last two as tabs in a narrow window."""

    def __init__(self, theme: Theme, bridge: Bridge) -> None:
        self.data = DataPanel(theme, PreviewSource(bridge))
        self.training = TrainingPanel(theme)
        self.pair = Pair(theme, self.data, self.training, (400, 304))
        super().__init__(theme, "training", TechniquesPanel(theme, "Methods", across=False), self.training)

    def right(self) -> Pair:
        return self.pair

    def set_narrow(self, narrow: bool) -> None:
        super().set_narrow(narrow)
        self.pair.set_narrow(narrow)

    def show_resolved(self, experiment: Experiment, resolved: Resolved, *, force: bool) -> None:
        super().show_resolved(experiment, resolved, force=force)
        self.data.show_experiment(experiment, resolved, force=force)

    def arrange(self) -> None:
        self.give(self._theme.px(400 if self.narrow else 705), first=False)


def make_panels(theme: Theme, kind: str, bridge: Bridge) -> WorkPanels:
    """Those of a kind of work; one of another package has its form and nothing of its own."""
    if kind == "training":
        return TrainingPanels(theme, bridge)
    if kind == FROM_SHAPES:
        return WorkPanels(theme, kind, TechniquesPanel(theme, "Techniques"), PretrainingPanel(theme))
    if kind == "inference":
        return WorkPanels(theme, kind, TechniquesPanel(theme, "Techniques"), InferencePanel(theme))
    run = RunGroup(theme, "Repetitions", REPETITIONS, stops_early=False)
    return WorkPanels(theme, kind, TechniquesPanel(theme, "Techniques"), WorkPanel(theme, "Workload", kind, run, {}))
