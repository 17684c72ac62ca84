"""The first start: shown in place of Setup until something has been measured. Main thread.

Facts come from `widgets.first_start.facts`; the demo is run by `widgets.background.demo_run`.
"""

from __future__ import annotations

from msgspec import structs
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from engines.protocol.messages import ProbeResult
from engines.protocol.problems import advice_of
from widgets.background.demo_run import DemoRun, starter_is_here
from widgets.first_start.facts import DemoOutlook, Fact, computer_summary, demo_cost, demo_facts, measurable
from widgets.parts.action_row import ActionRow
from widgets.parts.components import IconLabel, label, line, push_button
from widgets.shell.page import Page
from widgets.shell.services import Services
from widgets.theme.theme import Theme

CONTENT = 960
SIDE_BY_SIDE = 860
DROP = "Drop a model folder, a GGUF file or an experiment file anywhere in this window"


class FirstStart(Page):
    """Demo card, what this computer can measure, three actions, drop zone."""

    name = "setup"
    title = "Setup"
    icon = "sliders"

    def __init__(self, services: Services, demo: DemoRun, parent: QWidget | None = None) -> None:
        super().__init__(services, parent)
        self._demo = demo
        self._asked = False
        theme = services.theme
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setProperty("ring", False)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget()
        self._scroll.setWidget(inner)
        self.body.addWidget(self._scroll)
        centre = QHBoxLayout(inner)
        centre.setContentsMargins(theme.px(24), 0, theme.px(24), 0)
        centre.addStretch(1)
        self._content = QWidget()
        self._content.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        centre.addWidget(self._content, 100)
        centre.addStretch(1)
        column = QVBoxLayout(self._content)
        column.setContentsMargins(0, theme.px(52), 0, theme.px(24))
        column.setSpacing(theme.px(16))
        column.addWidget(label("Nothing measured yet", role="hero"))
        self._lead = label(tone="secondary", wrap=True)
        column.addWidget(self._lead)
        self._cards = cards = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        cards.setSpacing(theme.px(16))
        self.demo_card = DemoCard(theme, demo)
        self.computer_card = ComputerCard(theme)
        cards.addWidget(self.demo_card, 1)
        cards.addWidget(self.computer_card, 1)
        column.addSpacing(theme.px(8))
        column.addLayout(cards)
        column.addWidget(self._actions_card())
        column.addWidget(DropZone(theme))
        column.addWidget(
            label(
                "Nothing is sent or fetched unless you ask for it: the demo's model and models of a hub are the only "
                "uses of the network.",
                tone="muted",
                wrap=True,
            )
        )
        column.addStretch(1)
        theme.follow(self._resize)
        services.bridge.probe_finished.connect(self.computer_card.set_probe)
        services.bridge.opened.connect(self._ask)

    def _actions_card(self) -> QFrame:
        card = QFrame()
        card.setProperty("card", "true")
        column = QVBoxLayout(card)
        column.setContentsMargins(1, 1, 1, 1)
        column.setSpacing(0)
        rows = (
            ("file.new", "Set up an experiment", "Inference, fine-tuning or pretraining: choose models and techniques"),
            ("file.open", "Open an experiment file", "Run it again, here or after changing it"),
            ("page.machines", "See what this computer has", "Devices, sensors and engines, and what is missing"),
        )
        for index, (action, title, text) in enumerate(rows):
            if index:
                column.addWidget(line(card))
            column.addWidget(ActionRow(self.services, action, title, text))
        return card

    def activated(self) -> None:
        self._ask()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._ask()

    def _ask(self) -> None:
        """Ask for the facts once the workbench is open; only while the page is shown."""
        workbench = self.services.workbench
        if self._asked or workbench is None or not self.isVisible():
            return
        self._asked = True
        self.services.bridge.run(self._read_demo, self._show_demo, self.demo_card.set_error)
        self.services.bridge.run(workbench.probe, self.computer_card.set_probe, self.computer_card.set_error)

    def _read_demo(self) -> DemoOutlook:
        """On a thread of the bridge."""
        from engines.models.lookup.catalogue import find_entry
        from workbench.running.demo import demo_experiment

        experiment = demo_experiment()
        here = starter_is_here(self.services.places.starter_model)
        workbench = self.services.workbench
        plan = workbench.plan(experiment) if workbench is not None else None
        if workbench is not None and not here:
            alike = structs.replace(experiment, models=tuple(f"random:{m}" for m in experiment.models))
            plan = workbench.plan(alike)
        entries = [find_entry(model) for model in experiment.models]
        titles = [f"{e.title} (from Q4_1)" if e.starter else e.title for e in entries if e is not None]
        model = ", ".join(titles or experiment.models)
        return DemoOutlook(experiment, model, plan if plan is not None and plan.order else None, here)

    def _show_demo(self, outlook: DemoOutlook) -> None:
        self._lead.setText(
            f"Run the demo: {outlook.trials} short trials on this computer that fill the Monitor and Compare pages "
            "with real measurements."
        )
        self.demo_card.set_facts(demo_facts(outlook), demo_cost(outlook))

    def _resize(self) -> None:
        self._content.setMaximumWidth(self.services.theme.px(CONTENT))
        self._turn_cards()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._turn_cards()

    def _turn_cards(self) -> None:
        """Side by side where both have room, one above the other otherwise (large text, small window)."""
        direction = QBoxLayout.Direction
        wide = self.width() >= self.services.theme.px(SIDE_BY_SIDE)
        self._cards.setDirection(direction.LeftToRight if wide else direction.TopToBottom)


class _Card(QFrame):
    """A bordered card with a title row and a grid of facts."""

    def __init__(self, theme: Theme, title: str) -> None:
        super().__init__()
        self.theme = theme
        self.setProperty("card", "true")
        self.setAccessibleName(title)
        self.column = QVBoxLayout(self)
        pad = theme.px(16)
        self.column.setContentsMargins(pad, pad, pad, pad)
        self.column.setSpacing(theme.px(8))
        self.head = QHBoxLayout()
        self.head.addWidget(label(title, role="page_title"))
        self.head.addStretch(1)
        self.column.addLayout(self.head)
        self.grid_holder = QWidget()
        self.column.addWidget(self.grid_holder)

    def new_grid(self) -> QGridLayout:
        """An empty grid in place of the last one."""
        old = self.grid_holder
        self.grid_holder = QWidget()
        self.column.replaceWidget(old, self.grid_holder)
        old.deleteLater()
        grid = QGridLayout(self.grid_holder)
        grid.setContentsMargins(0, 0, 0, 0)
        return grid


class DemoCard(_Card):
    """What the demo does, its button, and how far it is."""

    def __init__(self, theme: Theme, demo: DemoRun) -> None:
        super().__init__(theme, "Demo")
        self._demo = demo
        self.new_grid().addWidget(label("Reading the demo", tone="muted"))
        self.column.addStretch(1)
        row = QHBoxLayout()
        row.setSpacing(theme.px(12))
        self.button: QPushButton = push_button("Run the demo", demo.start, kind="main")
        self.button.setEnabled(False)
        self.button.setToolTip("The database is being opened")
        self.cost = label(tone="muted", wrap=True)
        row.addWidget(self.button, alignment=Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.cost, 1)
        self.column.addSpacing(theme.px(8))
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Progress of preparing the demo")
        self.bar.hide()
        self.column.addWidget(self.bar)
        self.column.addLayout(row)
        demo.progressed.connect(self._progressed)
        demo.started.connect(self._started)
        demo.failed.connect(self._failed)

    def set_facts(self, facts: tuple[Fact, ...], cost: str) -> None:
        grid = self.new_grid()
        grid.setVerticalSpacing(self.theme.px(8))
        grid.setHorizontalSpacing(self.theme.px(12))
        grid.setColumnMinimumWidth(0, self.theme.px(84))
        grid.setColumnStretch(1, 1)
        for row, fact in enumerate(facts):
            grid.addWidget(label(fact.name, tone="muted"), row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(label(fact.text, wrap=True, tone="primary" if fact.available else "error"), row, 1)
        if self._demo.state == "idle":
            self.cost.setText(cost)
            self._offer()

    def set_error(self, error: BaseException) -> None:
        """The demo cannot be offered, and why."""
        grid = self.new_grid()
        text = f"The demo is not available: {error} {advice_of(error)}".strip()
        grid.addWidget(label(text, tone="error", wrap=True))
        self.button.setToolTip(text)

    def _offer(self) -> None:
        self.button.setEnabled(True)
        self.button.setToolTip("")
        focused = self.window().focusWidget()
        if self.isVisible() and (focused is None or focused.property("ring") is False):
            self.button.setFocus(Qt.FocusReason.OtherFocusReason)

    def _progressed(self, fraction: float | None, text: str) -> None:
        self.button.setEnabled(False)
        self.button.setToolTip("The demo is being prepared")
        self.cost.setProperty("tone", "muted")
        self.cost.setText(text)
        self.bar.setVisible(fraction is not None)
        self.bar.setValue(round((fraction or 0.0) * 1000))

    def _started(self, _experiment: str) -> None:
        self.bar.hide()
        self.cost.setText("The demo is running: see Monitor.")
        self._offer()

    def _failed(self, message: str, advice: str) -> None:
        self.bar.hide()
        self.cost.setText(f"{message} {advice}".strip())
        self._offer()


class ComputerCard(_Card):
    """What this computer can measure, from the runner's probe."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "What this computer can measure")
        self.summary = label(tone="muted")
        self.head.addWidget(self.summary)
        self.new_grid().addWidget(label("Asking the runner", tone="muted"))
        self._hint_link = push_button("How to make more of it available", self._show_hints, kind="link")
        self._hint_link.hide()
        self._hints = label(tone="muted", wrap=True, selectable=True)
        self._hints.hide()
        self.column.addWidget(self._hint_link, alignment=Qt.AlignmentFlag.AlignLeft)
        self.column.addWidget(self._hints)
        self.column.addStretch(1)

    def set_probe(self, probe: ProbeResult) -> None:
        self.summary.setText(computer_summary(probe))
        grid = self.new_grid()
        grid.setVerticalSpacing(self.theme.px(4))
        grid.setHorizontalSpacing(self.theme.px(8))
        grid.setColumnMinimumWidth(1, self.theme.px(84))
        grid.setColumnStretch(2, 1)
        facts = measurable(probe)
        top = Qt.AlignmentFlag.AlignTop
        for index, fact in enumerate(facts):
            row = 2 * index
            mark = ("check", "status.good", "available") if fact.available else ("info", "text.muted", "not available")
            grid.addWidget(IconLabel(self.theme, mark[0], mark[1], meaning=mark[2]), row, 0, top)
            name = label(fact.name)
            name.setProperty("strong", "500")
            grid.addWidget(name, row, 1, top)
            text = label(fact.text, tone="secondary", wrap=True)
            text.setToolTip(fact.details)
            grid.addWidget(text, row, 2)
            grid.addWidget(line(), row + 1, 0, 1, 3)
        hints = "\n".join(f"{f.name}: {f.hint}" for f in facts if f.hint)
        self._hints.setText(hints)
        self._hint_link.setVisible(bool(hints) and self._hints.isHidden())

    def set_error(self, error: BaseException) -> None:
        grid = self.new_grid()
        grid.addWidget(label(f"{error} {advice_of(error)}".strip(), tone="error", wrap=True))

    def _show_hints(self) -> None:
        self._hint_link.hide()
        self._hints.show()


class DropZone(QWidget):
    """Says what can be dropped; the window itself takes it."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        row = QHBoxLayout(self)
        row.addStretch(1)
        row.addWidget(IconLabel(theme, "drop"))
        row.addWidget(label(DROP, tone="secondary"))
        row.addStretch(1)
        theme.follow(self._resize)

    def _resize(self) -> None:
        self.setMinimumHeight(self._theme.px(56))

    def minimumSizeHint(self) -> QSize:
        return QSize(self._theme.px(200), self._theme.px(56))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._theme.color("border.control"), 1, Qt.PenStyle.DashLine))
        radius = float(self._theme.radius("card"))
        painter.drawRoundedRect(self.rect().toRectF().adjusted(0.5, 0.5, -0.5, -0.5), radius, radius)
        painter.end()
