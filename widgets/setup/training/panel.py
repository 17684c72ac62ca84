"""The panels of work that trains: the settings of the loop, which are the same for all methods; of pretraining with its
text. Main thread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QWidget

from engines.protocol.settings import Setting
from widgets.parts.components import SegmentedControl, ToolButton, label, tool_button
from widgets.parts.layout import flush_column
from widgets.setup.fields.group import FieldGroup
from widgets.setup.fields.value_field import ValueField
from widgets.setup.fields.values import tip
from widgets.setup.training.data_field import TEXT_TIP, TEXTS, DataField
from widgets.setup.training.data_panel import GROUP
from widgets.setup.workload.panel import WorkPanel, own_settings
from widgets.setup.workload.run_group import RunGroup
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment, WorkloadChoice

SEEDS = (("", 3), ("", 5), ("", 10), ("", 20))
_SETTINGS = {s.name: s for s in own_settings("training")}
_STOPS = _SETTINGS["stop_at"].choices
_FIRST_TIME_S = 600.0
_BUDGETS = {"tokens": "token_budget", "time": "time_budget_s"}
"""The setting that says how much, where that is not `steps` or `target_loss`, which always have an effect."""


class TrainingPanel(WorkPanel):
    """How every method is trained."""

    values_wanted = Signal(object)
    """Several settings at once, by name."""
    train_first_wanted = Signal()
    """Use what is trained as models of another experiment."""

    def __init__(
        self,
        theme: Theme,
        title: str = "Training",
        kind: str = "training",
        of_data: Mapping[str, QWidget] = MappingProxyType({}),
        parent: QWidget | None = None,
    ) -> None:
        """`of_data`: widgets for settings of the data; without any, those settings stand in a panel of their own."""
        run = RunGroup(theme, "Seeds, one trial each", SEEDS, stops_early=False)
        self.stop_at = SegmentedControl(theme, [choice.capitalize() for choice in _STOPS], "Stop at equal")
        for button in self.stop_at.findChildren(ToolButton):
            button.setProperty("compact", "true")
        self.batch = BatchField(theme)
        special = {"stop_at": self.stop_at, "batch_size": self.batch, **of_data}
        elsewhere = ("accumulation",) if of_data else (GROUP, "accumulation")
        super().__init__(theme, title, kind, run, special, elsewhere=elsewhere, parent=parent)
        self.header.set_count("the same for all methods")
        self.train_first = tool_button(
            theme,
            "bars",
            "",
            "Train these models first, then compare them in use: quality and speed, merged and in any precision",
            self.train_first_wanted.emit,
            compact=True,
        )
        self.header.add_tool(self.train_first)
        self.stop_at.chosen.connect(self._stop_chosen)
        self.batch.changed.connect(self.changed)
        self.batch.broke.connect(self.broke)

    @property
    def fields(self) -> dict[str, ValueField]:
        return {**super().fields, **self.batch.fields}

    def show_experiment(self, experiment: Experiment, *, force: bool = False) -> None:
        super().show_experiment(experiment, force=force)
        load = experiment.workload
        stop = str(load.values("stop_at")[0])
        self.stop_at.blockSignals(True)
        self.stop_at.choose(_STOPS.index(stop))
        self.stop_at.blockSignals(False)
        for choice, name in _BUDGETS.items():
            self.form.show_row(name, choice == stop)
        self.form.fields["steps"].set_suffix("steps" if stop == "steps" else "steps, at most")
        evaluated = bool(load.whole("evaluation_tokens")[0])
        self.more.fields["evaluate_every"].set_enabled(evaluated, "" if evaluated else "No tokens are evaluated")
        self.batch.show_work(load, force=force)

    def _stop_chosen(self, index: int) -> None:
        """A budget that was never set begins as what the steps amount to."""
        wanted: dict[str, object] = {"stop_at": _STOPS[index]}
        load = self.experiment.workload
        if _STOPS[index] == "tokens" and not load.whole("token_budget")[0]:
            wanted["token_budget"] = load.whole("steps")[0] * tokens_a_step(load)
        if _STOPS[index] == "time" and not load.values("time_budget_s")[0]:
            wanted["time_budget_s"] = _FIRST_TIME_S
        self.values_wanted.emit(wanted)


class PretrainingPanel(TrainingPanel):
    """How every shape is trained, and on which text."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        self.data = DataField(theme, TEXTS, "Text", TEXT_TIP)
        super().__init__(theme, "Pretraining", "pretraining", {"data": self.data}, parent)
        self.header.set_count("the same for all")
        self.train_first.hide()
        self.data.wanted.connect(self._data_chosen)

    def _data_chosen(self, data: str) -> None:
        self.changed.emit("data", (data,))

    def show_experiment(self, experiment: Experiment, *, force: bool = False) -> None:
        super().show_experiment(experiment, force=force)
        self.data.show_data(str(experiment.workload.values("data")[0]))


class BatchField(FieldGroup):
    """Micro-batch x accumulation, with the tokens of a step under it."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        row = QHBoxLayout()
        row.setSpacing(theme.px(6))
        row.addWidget(self._part(_SETTINGS["batch_size"], "micro"))
        row.addWidget(label("×", tone="secondary"))
        row.addWidget(self._part(_SETTINGS["accumulation"], "accum."))
        column = flush_column(self, theme.px(4))
        column.addLayout(row)
        self.hint = label("", role="dense", tone="muted", wrap=True)
        column.addWidget(self.hint)
        self.setFocusProxy(self.fields["batch_size"])

    def _part(self, setting: Setting, suffix: str) -> ValueField:
        field = self._field(setting)
        field.set_suffix(suffix)
        field.line.setToolTip(tip(setting))
        return field

    def show_work(self, load: WorkloadChoice, *, force: bool = False) -> None:
        for name, field in self.fields.items():
            field.set_values(load.values(name), force=force)
        self.hint.setText(step_text(load))


def tokens_a_step(load: WorkloadChoice) -> int:
    """Of a sweep the first."""
    return math.prod(load.whole(name)[0] for name in ("batch_size", "accumulation", "sequence_tokens"))


def step_text(load: WorkloadChoice) -> str:
    """ "16 × 512 = 8,192 tokens a step", and a budget of tokens in steps: "244 steps". Of a sweep the first."""
    batch = load.whole("batch_size")[0] * load.whole("accumulation")[0]
    said = f"{batch:,} × {load.whole('sequence_tokens')[0]:,} = {tokens_a_step(load):,} tokens a step"
    budget = load.whole("token_budget")[0]
    if load.values("stop_at") == ("tokens",) and budget:
        said += f", {math.ceil(budget / tokens_a_step(load)):,} steps"
    swept = [name for name in ("batch_size", "accumulation", "sequence_tokens") if name in load.sweeps]
    return f"{said}; first of the sweep" if swept else said
