"""What every kind of work has: the form of its settings, how often it runs, and the engine. Main thread."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from engines.protocol.messages import ProbeResult
from engines.protocol.settings import Setting
from widgets.parts.components import Panel, line
from widgets.setup.fields.value_field import ValueField
from widgets.setup.workload.engine_group import LABELS, EngineGroup
from widgets.setup.workload.run_group import RunGroup
from widgets.setup.workload.work_form import WorkForm
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment, WorkloadChoice


def own_settings(kind: str) -> tuple[Setting, ...]:
    """Those of a kind of work that have a value of their own: what the machine decides is left to the file."""
    return tuple(s for s in WorkloadChoice.of(kind).settings if s.default is not None)


class Upright(QScrollArea):
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


class WorkPanel(Panel):
    """The settings of one kind of work. `show_experiment` is only asked for experiments of that kind."""

    changed = Signal(str, object)
    """key, values"""
    broke = Signal(str, str)
    """key, what is wrong; "" where it is mended"""
    install_wanted = Signal(object)
    """A tuple of what is lacking."""
    engine_changed = Signal(str, object)
    """key of the [engine] table, values"""

    def __init__(
        self,
        theme: Theme,
        title: str,
        kind: str,
        run: RunGroup,
        special: Mapping[str, QWidget],
        *,
        elsewhere: tuple[str, ...] = (),
        parent: QWidget | None = None,
    ) -> None:
        """`special`: widgets made by hand, in the place of a setting's field. `elsewhere`: settings, and groups of
        them, that have no row of their own here."""
        super().__init__(theme, title, parent=parent)
        self._theme = theme
        self.experiment = Experiment()
        inner = QWidget()
        self._column = column = QVBoxLayout(inner)
        settings = [s for s in own_settings(kind) if s.name not in elsewhere and s.group not in elsewhere]
        self.form = WorkForm(theme, [s for s in settings if not s.group], special, LABELS)
        self.more = WorkForm(theme, [s for s in settings if s.group], special, LABELS)
        for form in (self.form, self.more):
            form.changed.connect(self.changed)
            form.broke.connect(self.broke)
        column.addWidget(self.form)
        column.addWidget(line())
        self.run = run
        self.run.changed.connect(self.changed)
        self.run.broke.connect(self.broke)
        column.addWidget(self.run)
        column.addWidget(line())
        column.addWidget(self.more)
        if self.more.fields:
            column.addWidget(line())
        else:
            self.more.hide()
        self.engine = EngineGroup(theme, kind)
        self.engine.changed.connect(self.engine_changed)
        self.engine.broke.connect(self.broke)
        column.addWidget(self.engine)
        column.addStretch(1)
        self._scroll = Upright()
        self._scroll.setWidget(inner)
        self.body.addWidget(self._scroll, 1)
        theme.follow(self._restyle)

    @property
    def fields(self) -> dict[str, ValueField]:
        """Those of the work and of the run, by key of the experiment file."""
        return {**self.form.fields, **self.more.fields, **self.run.fields}

    def _restyle(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(12), px(12), px(10), px(12))
        self._column.setSpacing(px(8))

    def show_experiment(self, experiment: Experiment, *, force: bool = False) -> None:
        """`force`: fields take the experiment's values even where a text was being mended (undo, load)."""
        self.experiment = experiment
        self.form.show_work(experiment.workload, force=force)
        self.more.show_work(experiment.workload, force=force)
        self.run.show_experiment(experiment, force=force)
        self.engine.show_settings(experiment.engine, force=force)

    def show_machine(self, probe: ProbeResult) -> None:
        """What the machine has that the work can use."""
