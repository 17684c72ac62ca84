"""The Workload panel: what is done with the models, how often, and how it is measured. Main thread."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtWidgets import QComboBox, QFrame, QScrollArea, QVBoxLayout, QWidget

from engines.protocol.messages import ProbeResult
from engines.protocol.settings import settings_of
from engines.protocol.tasks import HARNESS
from widgets.parts.components import Panel, SegmentedControl, ToolButton, label, line
from widgets.setup.fields.form import Form
from widgets.setup.fields.value_field import ValueField
from widgets.setup.fields.values import tip
from widgets.setup.workload.engine_group import LABELS, EngineGroup
from widgets.setup.workload.prompt_field import PromptField
from widgets.setup.workload.stop_field import StopField
from widgets.setup.workload.task_list import TaskList, task_rows
from widgets.setup.workload.work_form import WorkForm
from widgets.theme.theme import Theme
from workbench.experiment.experiment import KINDS, Experiment, RunSettings

LEAST = 7
"""`workbench.statistics.stopping.LEAST`, which needs numpy: a test holds them together."""
REPETITIONS = (("Quick", 3), ("Standard", 5), ("Precise", 10))
_RUN = {s.name: s for s in (*settings_of(RunSettings), *settings_of(Experiment))}
TASKS = (
    ("Generate text", "generate", "Windows of a text: the plainest load"),
    ("Answer questions", "answer", "Built-in questions, each brought to the prompt length"),
    ("Summarise", "summarise", "Passages with the request to summarise them"),
)
_TASK_TIP = "What the prompts are. Whatever the task: prefill the prompt, then decode the new tokens greedily"


class _Upright(QScrollArea):
    """Scrolls up and down only, and is never narrower than what is in it: a pane beside it cannot hide its units."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def minimumSizeHint(self) -> QSize:
        least = super().minimumSizeHint()
        inner = self.widget()
        if inner is None:
            return least
        return QSize(inner.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width(), least.height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.widget() and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


class WorkloadPanel(Panel):
    """What is asked for: the kind of work with its settings, repetitions, and the engine."""

    changed = Signal(str, object)
    """key, values"""
    broke = Signal(str, str)
    """key, what is wrong; "" where it is mended"""
    prompts_wanted = Signal(object)
    """`Path` of a prompt file, None for the built-in prompts."""
    tasks_changed = Signal(object)
    """A tuple of task names."""
    install_wanted = Signal(object)
    """A tuple of what the tasks lack."""
    kind_changed = Signal(str)
    """Kind of work."""
    engine_changed = Signal(str, object)
    """key of the [engine] table, values"""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "Workload", parent=parent)
        self._theme = theme
        self._run_fields: dict[str, ValueField] = {}
        self._experiment = Experiment()
        self._ready: tuple[str, ...] | None = None
        self._harness: bool | None = None
        inner = QWidget()
        self._column = column = QVBoxLayout(inner)
        self.kind = SegmentedControl(theme, [kind.capitalize() for kind in KINDS], "Kind of work")
        self.kind.chosen.connect(self._kind_chosen)
        column.addWidget(self.kind)
        special = {"inference": self._inference_widgets()}
        self.forms = {kind: WorkForm(theme, kind, special.get(kind, {}), LABELS) for kind in KINDS}
        for form in self.forms.values():
            form.changed.connect(self.changed)
            form.broke.connect(self.broke)
            column.addWidget(form)
        column.addWidget(line())
        column.addWidget(label("Repetitions", role="body", tone="secondary"))
        self.repetitions = SegmentedControl(theme, [f"{name} {count}" for name, count in REPETITIONS], "Repetitions")
        for button in self.repetitions.findChildren(ToolButton):
            button.setProperty("role", "dense")  # three segments share the narrow panel
            button.setProperty("compact", "true")
        self.repetitions.chosen.connect(self._repetitions_chosen)
        column.addWidget(self.repetitions)
        stopping = Form(theme, LABELS)
        self.stop = StopField(theme)
        self.stop.changed.connect(partial(self._field_changed, "stop_at_ratio"))
        self.stop.broke.connect(partial(self.broke.emit, "stop_at_ratio"))
        stopping.add("Stop early", self.stop, tip(_RUN["stop_at_ratio"]))
        for name, empty in (("trials", ""), ("seed", "drawn")):
            field = self._run_fields[name] = ValueField(theme, _RUN[name], empty=empty)
            field.changed.connect(partial(self._field_changed, name))
            field.broke.connect(partial(self.broke.emit, name))
            stopping.add(_RUN[name].title, field, tip(_RUN[name]))
        column.addWidget(stopping)
        self.order_hint = label("", role="dense", tone="muted", wrap=True)
        column.addWidget(self.order_hint)
        column.addWidget(line())
        self.engine = EngineGroup(theme)
        self.engine.changed.connect(self.engine_changed)
        self.engine.broke.connect(self.broke)
        column.addWidget(self.engine)
        column.addStretch(1)
        self._scroll = _Upright()
        self._scroll.setWidget(inner)
        self.body.addWidget(self._scroll, 1)
        theme.follow(self._restyle)

    def _inference_widgets(self) -> dict[str, QWidget]:
        """What inference has beside plain fields, by the setting it stands for."""
        self.task = QComboBox()
        for place, (title, id, about) in enumerate(TASKS):
            self.task.addItem(title, id)
            self.task.setItemData(place, about, Qt.ItemDataRole.ToolTipRole)
        self.task.setToolTip(_TASK_TIP)
        self.task.setAccessibleName("Task")
        self.task.setMinimumWidth(self._theme.px(60))
        self.task.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.task.setMinimumContentsLength(8)
        self.task.activated.connect(self._task_chosen)
        self.prompts = PromptField(self._theme)
        self.prompts.wanted.connect(self.prompts_wanted)
        self.tasks = TaskList(self._theme)
        self.tasks.changed.connect(self.tasks_changed)
        self.tasks.install_wanted.connect(self.install_wanted)
        return {"task": self.task, "prompt_file": self.prompts, "tasks": self.tasks}

    @property
    def fields(self) -> dict[str, ValueField]:
        """Those of the kind of work that is shown, and of the run, by key of the experiment file."""
        return {**self.forms[self._experiment.workload.kind].fields, **self._run_fields}

    def _kind_chosen(self, index: int) -> None:
        self.kind_changed.emit(tuple(KINDS)[index])

    def _task_chosen(self, index: int) -> None:
        self.changed.emit("task", (str(self.task.itemData(index)),))

    def _restyle(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(12), px(12), px(10), px(12))
        self._column.setSpacing(px(8))

    def show_experiment(self, experiment: Experiment, *, force: bool = False) -> None:
        """`force`: fields take the experiment's values even where a text was being mended (undo, load)."""
        self._experiment, load = experiment, experiment.workload
        self._run_fields["trials"].set_values((experiment.run.trials,), force=force)
        self._run_fields["seed"].set_values(() if experiment.seed is None else (experiment.seed,), force=force)
        self._show_kind(tuple(KINDS).index(load.kind))
        self.forms[load.kind].show_work(load, force=force)
        if load.inference is not None:
            self.task.setCurrentIndex(max(0, self.task.findData(load.inference.task)))
            self.prompts.show_file(load.inference.prompt_file)
        self._show_tasks()
        self.engine.show_settings(experiment.engine, force=force)
        trials = experiment.run.trials
        index = next((i for i, (_, count) in enumerate(REPETITIONS) if count == trials), -1)
        self._show_repetitions(index)
        self.stop.set_value(experiment.run.stop_at_ratio, force=force)
        self.order_hint.setText(order_text(experiment))

    def show_machine(self, probe: ProbeResult) -> None:
        """What the machine has of the tasks."""
        packages = {p.name: p.version for p in probe.packages}
        self._harness = bool(packages[HARNESS]) if HARNESS in packages else None
        self._ready = probe.task_data
        self._show_tasks()

    def _show_tasks(self) -> None:
        load = self._experiment.workload.inference
        if load is None:
            return
        self.tasks.show_rows(task_rows(load.tasks, self._ready, self._harness))
        self.fields["task_samples"].set_enabled(bool(load.tasks), "" if load.tasks else "No task is chosen")

    def _show_kind(self, index: int) -> None:
        self.kind.blockSignals(True)
        self.kind.choose(index)
        self.kind.blockSignals(False)
        for place, form in enumerate(self.forms.values()):
            form.setVisible(place == index)

    def _show_repetitions(self, index: int) -> None:
        self.repetitions.blockSignals(True)
        if index < 0:
            self.repetitions.clear()
        else:
            self.repetitions.choose(index)
        self.repetitions.blockSignals(False)

    def _field_changed(self, key: str, values: object) -> None:
        self.broke.emit(key, "")
        self.changed.emit(key, values)

    def _repetitions_chosen(self, index: int) -> None:
        self.changed.emit("trials", (REPETITIONS[index][1],))


def order_text(experiment: Experiment) -> str:
    """How the trials run, and when they end before the last."""
    seed = "a seed drawn for each run" if experiment.seed is None else f"seed {experiment.seed}"
    order = f"Each trial runs in a fresh process; blocks are shuffled with {seed}, every second one mirrors the first."
    run = experiment.run
    if run.stop_at_ratio is None:
        return order
    what = f"ratios of {run.stop_metric}" if run.stop_metric else "ratios of decode throughput"
    return (
        f"Ends after {LEAST} to {max(run.trials, LEAST)} trials of each, once all {what} are known to "
        f"±{100 * run.stop_at_ratio:g} %. {order}"
        if run.trials >= LEAST
        else f"With under {LEAST} trials of each nothing ends early. {order}"
    )
