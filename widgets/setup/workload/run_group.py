"""How often each configuration runs, and in which order. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtWidgets import QVBoxLayout, QWidget

from engines.protocol.settings import settings_of
from widgets.parts.components import SegmentedControl, ToolButton, label
from widgets.setup.fields.form import Form
from widgets.setup.fields.group import FieldGroup
from widgets.setup.fields.values import tip
from widgets.setup.workload.engine_group import LABELS
from widgets.setup.workload.stop_field import StopField
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment, RunSettings

LEAST = 7
"""`workbench.statistics.stopping.LEAST`, which needs numpy: a test holds them together."""
_RUN = {s.name: s for s in (*settings_of(RunSettings), *settings_of(Experiment))}


class RunGroup(FieldGroup):
    """Choices of a count as segments, and the count itself; early stop where the work has it; the seed."""

    def __init__(
        self,
        theme: Theme,
        title: str,
        choices: Sequence[tuple[str, int]],
        *,
        stops_early: bool,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(theme, parent)
        self._counts = [count for _, count in choices]
        self._column = column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(label(title, role="body", tone="secondary"))
        self.repetitions = SegmentedControl(theme, [f"{name} {count}".strip() for name, count in choices], title)
        for button in self.repetitions.findChildren(ToolButton):
            button.setProperty("role", "dense")  # the segments share a narrow panel
            button.setProperty("compact", "true")
        self.repetitions.chosen.connect(self._chosen)
        column.addWidget(self.repetitions)
        form = Form(theme, LABELS)
        self.stop = StopField(theme)
        self.stop.changed.connect(partial(self._field_changed, "stop_at_ratio"))
        self.stop.broke.connect(partial(self.broke.emit, "stop_at_ratio"))
        if stops_early:
            form.add("Stop early", self.stop, tip(_RUN["stop_at_ratio"]))
        else:
            self.stop.setParent(self)
            self.stop.hide()
        for name, empty in (("trials", ""), ("seed", "drawn")):
            form.add(_RUN[name].title, self._field(_RUN[name], empty), tip(_RUN[name]))
        column.addWidget(form)
        self.order_hint = label("", role="dense", tone="muted", wrap=True)
        column.addWidget(self.order_hint)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self._column.setSpacing(self._theme.px(8))

    def show_experiment(self, experiment: Experiment, *, force: bool = False) -> None:
        run = experiment.run
        self.fields["trials"].set_values((run.trials,), force=force)
        self.fields["seed"].set_values(() if experiment.seed is None else (experiment.seed,), force=force)
        self.stop.set_value(run.stop_at_ratio, force=force)
        self.repetitions.blockSignals(True)
        if run.trials in self._counts:
            self.repetitions.choose(self._counts.index(run.trials))
        else:
            self.repetitions.clear()
        self.repetitions.blockSignals(False)
        self.order_hint.setText(order_text(experiment))

    def _chosen(self, index: int) -> None:
        self.changed.emit("trials", (self._counts[index],))


def order_text(experiment: Experiment) -> str:
    """How the trials run, and when they end before the last."""
    seed = "a seed drawn for each run" if experiment.seed is None else f"seed {experiment.seed}"
    order = f"Each trial runs in a fresh process; blocks are shuffled with {seed}, every second one mirrors the first."
    run = experiment.run
    if run.stop_at_ratio is None:
        return order
    if run.trials < LEAST:
        return f"With under {LEAST} trials of each nothing ends early. {order}"
    if not run.stop_metric and experiment.workload.kind != "inference":
        return f"Nothing ends early: no stop_metric says whose ratios decide. {order}"
    what = run.stop_metric.replace("_", " ") if run.stop_metric else "decode throughput"
    return (
        f"Ends after {LEAST} to {run.trials} trials of each, once all ratios of {what} are known to "
        f"±{100 * run.stop_at_ratio:g} %. {order}"
    )
