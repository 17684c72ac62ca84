"""The Workload panel of inference: task and prompts, lengths, quality, repetitions, engine. Main thread."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from engines.protocol.messages import ProbeResult
from engines.protocol.tasks import HARNESS
from widgets.parts.choice import Choice
from widgets.setup.workload.panel import WorkPanel
from widgets.setup.workload.prompt_field import PromptField
from widgets.setup.workload.run_group import RunGroup
from widgets.setup.workload.task_list import TaskList, task_rows
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment

REPETITIONS = (("Quick", 3), ("Standard", 5), ("Precise", 10))
TASKS = (
    ("Generate text", "generate", "Windows of a text: the plainest load"),
    ("Answer questions", "answer", "Built-in questions, each brought to the prompt length"),
    ("Summarise", "summarise", "Passages with the request to summarise them"),
)
_TASK_TIP = "What the prompts are. Whatever the task: prefill the prompt, then decode the new tokens greedily"


class InferencePanel(WorkPanel):
    """What is asked of the models."""

    prompts_wanted = Signal(object)
    """`Path` of a prompt file, None for the built-in prompts."""
    tasks_changed = Signal(object)
    """A tuple of task names."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        self._ready: tuple[str, ...] | None = None
        self._harness: bool | None = None
        self.task = _task_choice(theme)
        self.prompts = PromptField(theme)
        self.tasks = TaskList(theme)
        run = RunGroup(theme, "Repetitions", REPETITIONS, stops_early=True)
        special = {"task": self.task, "prompt_file": self.prompts, "tasks": self.tasks}
        super().__init__(theme, "Workload", "inference", run, special, parent=parent)
        self.task.activated.connect(self._task_chosen)
        self.prompts.wanted.connect(self.prompts_wanted)
        self.tasks.changed.connect(self.tasks_changed)
        self.tasks.install_wanted.connect(self.install_wanted)

    def _task_chosen(self, index: int) -> None:
        self.changed.emit("task", (str(self.task.itemData(index)),))

    def show_experiment(self, experiment: Experiment, *, force: bool = False) -> None:
        super().show_experiment(experiment, force=force)
        load = experiment.workload.inference
        if load is not None:
            self.task.setCurrentIndex(max(0, self.task.findData(load.task)))
            self.prompts.show_file(load.prompt_file)
        self._show_tasks()

    def show_machine(self, probe: ProbeResult) -> None:
        """What the machine has of the tasks."""
        packages = {p.name: p.version for p in probe.packages}
        self._harness = bool(packages[HARNESS]) if HARNESS in packages else None
        self._ready = probe.task_data
        self._show_tasks()

    def _show_tasks(self) -> None:
        load = self.experiment.workload.inference
        if load is None:
            return
        self.tasks.show_rows(task_rows(load.tasks, self._ready, self._harness))
        self.fields["task_samples"].set_enabled(bool(load.tasks), "" if load.tasks else "No task is chosen")


def _task_choice(theme: Theme) -> Choice:
    box = Choice()
    for place, (title, id, about) in enumerate(TASKS):
        box.addItem(title, id)
        box.setItemData(place, about, Qt.ItemDataRole.ToolTipRole)
    box.setToolTip(_TASK_TIP)
    box.setAccessibleName("Task")
    box.setMinimumWidth(theme.px(60))
    return box
