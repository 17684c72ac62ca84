"""The tools of the live charts: X axis, window length, follow, freeze, zoom history, fit, cursors, phases, table."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QAction, QFontMetricsF, QResizeEvent
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QMenu, QSizePolicy, QToolButton, QWidget

from widgets.charts.stack import ChartStack
from widgets.charts.strips import PhaseLegend
from widgets.parts.components import SegmentedControl, label, line, tool_button
from widgets.parts.exports import CHART_FORMATS
from widgets.parts.layout import flush_column, set_ground
from widgets.theme.theme import Theme
from workbench.charts.x_axis import X_AXES, XAxis, position_text

_X_TITLES: dict[XAxis, str] = {"time": "Time", "step": "Step", "tokens": "Tokens", "energy": "Energy"}
_X_HELP: dict[XAxis, str] = {
    "time": "Against seconds since the trial's start",
    "step": "Against training steps",
    "tokens": "Against the tokens trained on",
    "energy": "Against the energy of the steps, without loading and evaluating",
}
WINDOWS: tuple[tuple[str, float | None], ...] = (("60 s", 60.0), ("5 min", 300.0), ("Whole trial", None))


class ChartToolbar(QFrame):
    """Acts on a `ChartStack` and shows its state; `table_toggled` asks for the table twin, `side_toggled` for the
    right column on a narrow window."""

    table_toggled = Signal(bool)
    export_wanted = Signal(str)
    """Format: one of `widgets.parts.exports.CHART_FORMATS`."""
    side_toggled = Signal(bool)

    def __init__(self, theme: Theme, stack: ChartStack, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._stack = theme, stack
        set_ground(self, "panel")
        self.x_title = label("X axis", tone="muted", role="dense")
        self.x_axis = SegmentedControl(theme, [_X_TITLES[x] for x in X_AXES], "X axis")
        self.x_axis.chosen.connect(self._x_chosen)
        self.window_length = QComboBox()
        self.window_length.setProperty("compact", "true")
        self.window_length.setAccessibleName("Length of the visible window")
        self.window_length.setToolTip("Length of the visible window")
        for text, _ in WINDOWS:
            self.window_length.addItem(text)
        self.window_length.activated.connect(self._window_chosen)

        self.follow = tool_button(
            theme, "arrow-right", "Follow", "Keep the newest samples in view", compact=True, checkable=True
        )
        self.follow.clicked.connect(stack.set_follow)
        self.freeze = tool_button(
            theme,
            "pause",
            "",
            "Freeze drawing; no data is lost (Space)",
            compact=True,
            checkable=True,
        )
        self.freeze.clicked.connect(stack.set_frozen)
        self.back = tool_button(theme, "arrow-left", "", "The range before (Alt+Left)", stack.back, compact=True)
        self.forward = tool_button(theme, "arrow-right", "", "The range after (Alt+Right)", stack.forward, compact=True)
        self.fit = tool_button(theme, "expand", "", "Fit: show the whole trial (Home)", stack.fit, compact=True)
        self.cursors = tool_button(
            theme,
            "",
            "A/B cursors",
            "Two cursors and the mean between them; arrow keys move them",
            compact=True,
            checkable=True,
        )
        self.cursors.clicked.connect(stack.set_cursors_shown)
        self.phases = tool_button(theme, "", "Phases", "Colour the plots by phase", compact=True, checkable=True)
        self.phases.setChecked(True)
        self.phases.clicked.connect(stack.set_phases_shown)
        self.table = tool_button(
            theme,
            "table",
            "",
            "As table: the visible samples as a table, to read or to copy",
            compact=True,
            checkable=True,
        )
        self.table.clicked.connect(self.table_toggled)
        self.export = tool_button(theme, "export", "", "Export these charts as files", compact=True)
        self.export.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        formats = QMenu(self.export)
        for format in CHART_FORMATS:
            formats.addAction(f"As {format.upper()}…").setData(format)
        formats.triggered.connect(self._format_chosen)
        self.export.setMenu(formats)
        self.legend = PhaseLegend(theme)
        stack.legend_left.connect(self.legend.show_phases)
        self.between = label(tone="muted", role="dense")
        self.moment = label(role="dense", tone="muted")
        self.moment.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.moment.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.moment.setToolTip("Where the cursor is, or the newest step, on every axis")
        self.side = tool_button(theme, "panel-right", "", "Show sensors and queue", compact=True, checkable=True)
        self.side.clicked.connect(self.side_toggled)
        outer = flush_column(self)
        self._row = QHBoxLayout()
        for widget in (
            self.x_title,
            self.x_axis,
            self.window_length,
            self.follow,
            self.freeze,
            self.back,
            self.forward,
            self.fit,
            self.cursors,
            self.phases,
            self.table,
            self.export,
        ):
            self._row.addWidget(widget)
        self._row.addWidget(self.legend)
        self._row.addWidget(self.between)
        self._row.addWidget(self.moment, 1)
        self._row.addWidget(self.side)
        outer.addLayout(self._row, 1)
        outer.addWidget(line(self))
        stack.view_changed.connect(self.refresh)
        stack.cursors_changed.connect(self.refresh)
        stack.cursor_moved.connect(self._say_moment)
        theme.follow(self._restyle)
        self.refresh()

    def _restyle(self) -> None:
        self.setFixedHeight(self._theme.height("chart_toolbar"))
        self._row.setContentsMargins(self._theme.px(12), 0, self._theme.px(12), 0)
        self._row.setSpacing(self._theme.px(4))
        self.window_length.setFixedWidth(self._theme.px(108))

    def _x_chosen(self, index: int) -> None:
        self._stack.set_x_axis(X_AXES[index])
        self.refresh()

    def _say_moment(self) -> None:
        """On as many axes as there is room for: the step first."""
        parts, metrics = self._stack.moment_texts(), QFontMetricsF(self.moment.font())
        while len(parts) > 1 and metrics.horizontalAdvance(" · ".join(parts)) > self.moment.width():
            parts = parts[:-1]
        self.moment.setText(" · ".join(parts))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._say_moment()

    def _show_axes(self) -> None:
        """Which axes the trial has, and which is drawn against."""
        stack = self._stack
        trains = stack.data is not None and stack.data.trains
        for index, x in enumerate(X_AXES):
            why = stack.why_not(x) if trains else ""
            self.x_axis.set_enabled(index, not why, f"{_X_TITLES[x]}: not available. {why}" if why else _X_HELP[x])
        self.x_axis.show_choice(X_AXES.index(stack.x_axis))
        self.x_title.setVisible(trains)
        self.x_axis.setVisible(trains)
        self.window_length.setVisible(stack.x_axis == "time")

    def _window_chosen(self, index: int) -> None:
        self._stack.set_window(WINDOWS[index][1])

    def open_export(self) -> None:
        """The formats under their button; a keyboard chooses among them."""
        self.export.menu().popup(self.export.mapToGlobal(QPoint(0, self.export.height())))

    def _format_chosen(self, action: QAction) -> None:
        self.export_wanted.emit(action.data())

    def set_side(self, shown: bool, offered: bool) -> None:
        """The button of the right column: on while that is shown, there where it is needed."""
        self.side.setChecked(shown)
        self.side.setVisible(offered)

    def refresh(self) -> None:
        """Take the stack's state."""
        stack = self._stack
        self.follow.setChecked(stack.following)
        self.freeze.setChecked(stack.frozen)
        self.back.setEnabled(stack.can_back)
        self.forward.setEnabled(stack.can_forward)
        self.cursors.setChecked(stack.cursors_shown)
        self._show_axes()
        self._say_moment()
        self.between.setText(self._between())
        live = stack.data is not None and stack.data.ended is None
        if stack.data is None:
            self.legend.show_phases(())
        self.follow.setVisible(live)
        self.freeze.setVisible(live)
        self.window_length.setEnabled(live)
        for tool in (self.fit, self.cursors, self.phases, self.table, self.export):
            tool.setEnabled(stack.data is not None)

    def _between(self) -> str:
        stack = self._stack
        if not stack.cursors_shown:
            return ""
        a, b = stack.cursors
        if stack.x_axis == "time":
            return f"A {a:.1f} s · B {b:.1f} s · {abs(b - a):.1f} s apart"
        return f"A {position_text(stack.x_axis, a)} · B {position_text(stack.x_axis, b)}"
