"""The plan over the full width: count, filter, legend, columns, problems of the whole, the table. Main thread."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSettings, QSize
from PySide6.QtGui import QAction, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QToolButton, QWidget

from widgets.parts.components import EmptyState, Panel, SegmentedControl, ToolButton, label, line
from widgets.parts.layout import stacked
from widgets.setup.plan.problem_list import ProblemList
from widgets.setup.plan.rows import FILTERS, PlanView, filtered
from widgets.setup.plan.table import PlanTable
from widgets.theme.theme import Theme

LEGEND = (
    ("weights", "Weights"),
    ("gradients", "Gradients"),
    ("optimiser", "Optimiser"),
    ("cache_or_activations", "Cache and activations"),
    ("overhead", "Overhead"),
    ("in_use", "In use by others"),
)
_ALWAYS = ("check", "model", "problems")


class PlanPanel(Panel):
    """Shows a `PlanView`; what the user wants of a row comes out of `table`."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "Plan", parent=parent)
        self._theme = theme
        self._view = PlanView()
        self.filter = SegmentedControl(theme, [f"{name} 0" for name in FILTERS], "Show configurations")
        self.filter.chosen.connect(self._show_rows)
        self.header.row.insertWidget(2, self.filter)
        self.legend = Legend(theme)
        self.header.add_tool(self.legend)
        self._legend_line = line(vertical=True, short=True)
        self.header.add_tool(self._legend_line)
        self.columns = ToolButton(theme, "columns", "Columns", "Choose columns", compact=True)
        self.columns.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.columns.setMenu(QMenu(self.columns))
        self.columns.menu().aboutToShow.connect(self._fill_columns)
        self.header.add_tool(self.columns)
        self.problems = ProblemList(theme, "Problems of the experiment")
        self.body.addWidget(self.problems)
        self.table = PlanTable(theme)
        self.empty = EmptyState(theme, "The plan appears here", icon_name="table", action=" ")
        self.nothing = EmptyState(theme, "No configuration of this kind")
        self._stack = stacked(self.empty, self.table, self.nothing)
        self.body.addWidget(self._stack, 1)
        theme.follow(self._restyle)
        self.show_view(PlanView())

    def _restyle(self) -> None:
        self.setMinimumHeight(self._theme.px(32 + 24 + 3 * 28))

    def show_view(self, view: PlanView) -> None:
        self._view = view
        self.header.set_count(view.count)
        for index, (name, count) in enumerate(zip(FILTERS, view.by_filter, strict=True)):
            self.filter.set_text(index, f"{name} {count}")
            reason = "" if count or index == 0 else "No configuration of this kind"
            self.filter.set_enabled(index, bool(count) or index == 0, reason)
        if not view.by_filter[self.filter.index]:
            self.filter.choose(0)
        trains = [bool(r.memory.optimiser or r.memory.gradients) for r in view.rows]
        self.legend.show_training(any(trains), alone=all(trains))
        self._show_rows()

    def _show_rows(self, _index: int = 0) -> None:
        rows = filtered(self._view.rows, self.filter.index)
        self.table.show_rows(self._view.columns or self.table.model_.columns, rows)
        self._stack.setCurrentWidget(self.table if rows else self.nothing if self._view.rows else self.empty)
        has_rows = bool(self._view.rows)
        self.filter.setVisible(has_rows)
        self.columns.setVisible(has_rows)
        self._fit_legend()

    # --- columns ----------------------------------------------------------------------------------

    def _fill_columns(self) -> None:
        menu = self.columns.menu()
        menu.clear()
        for column in self.table.model_.columns:
            if column.key in _ALWAYS:
                continue
            action = QAction(column.title, menu)
            action.setCheckable(True)
            action.setChecked(column.key not in self.table.hidden_columns)
            action.toggled.connect(partial(self._show_column, column.key))
            menu.addAction(action)

    def _show_column(self, key: str, shown: bool) -> None:
        hidden = self.table.hidden_columns
        self.table.hide_columns(hidden - {key} if shown else hidden | {key})

    def save(self, settings: QSettings) -> None:
        settings.setValue("setup/hidden_columns", ",".join(sorted(self.table.hidden_columns)))

    def restore(self, settings: QSettings) -> None:
        saved = settings.value("setup/hidden_columns")
        if isinstance(saved, str):
            self.table.hide_columns({key for key in saved.split(",") if key})

    def reset(self) -> None:
        self.table.hide_columns(set())

    # --- legend -----------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_legend()

    def _fit_legend(self) -> None:
        """The legend gives way where the header is too narrow; the bars' tooltips say the same."""
        others = (self.header.title, self.header.count, self.filter, self.columns)
        taken = sum(w.sizeHint().width() for w in others) + self._theme.px(80)
        room = self.width() - taken >= self.legend.sizeHint().width()
        self.legend.setVisible(room and bool(self._view.rows))
        self._legend_line.setVisible(room and bool(self._view.rows))


class Legend(QWidget):
    """What the colours of the memory bars mean."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, theme.px(4), 0)
        row.setSpacing(theme.px(6))
        self._parts: dict[str, tuple[Swatch, QLabel]] = {}
        for key, title in LEGEND:
            swatch, text = Swatch(theme, key), label(title, role="dense", tone="secondary")
            self._parts[key] = (swatch, text)
            row.addWidget(swatch)
            row.addWidget(text)
            row.addSpacing(theme.px(6))
        self.setAccessibleName("Colours of the memory bars")

    def show_training(self, trains: bool, *, alone: bool) -> None:
        """Only training has gradients and an optimiser; it has no cache, so that where it is `alone` none is named."""
        for key in ("gradients", "optimiser"):
            for part in self._parts[key]:
                part.setVisible(trains)
        self._parts["cache_or_activations"][1].setText("Activations" if trains and alone else "Cache and activations")


class Swatch(QWidget):
    """A square of a memory bar's colour; "in_use" is drawn as the tick and the grey beyond it."""

    def __init__(self, theme: Theme, part: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._part = part
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self.setFixedSize(self.sizeHint())

    def sizeHint(self) -> QSize:
        return QSize(self._theme.px(10), self._theme.px(12))

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self)
        square = self.rect().adjusted(0, theme.px(1), 0, -theme.px(1))
        if self._part == "in_use":
            painter.fillRect(square, theme.color("border.default"))
            painter.fillRect(0, 0, 1, self.height(), theme.color("text.primary"))
        else:
            painter.fillRect(square, theme.color(f"memory.{self._part}"))
        painter.end()
