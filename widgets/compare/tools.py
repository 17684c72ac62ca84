"""The Compare page's toolbar put together: fields, buttons and their menus. Says what is wanted; the page does it.
Main thread."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QLabel, QMenu, QSizePolicy, QToolButton

from widgets.compare.table.columns_menu import fill_columns
from widgets.compare.table.views import Choice, Loaded
from widgets.compare.toolbar import ExperimentChooser, FilterField, StayOpenMenu, calling
from widgets.parts.components import ToolButton, label, tool_button
from widgets.parts.exports import CHART_FORMATS, EVERYTHING
from widgets.shell.page import PageToolbar
from widgets.theme.theme import Theme
from workbench.plan.labels import short_title

_TABLES = (("csv", "CSV"), ("md", "Markdown"), ("tex", "LaTeX"), ("parquet", "Parquet"), ("json", "JSON"))
_BASELINE, _FILTER, _LONGEST = 130, 150, 420
"""Least of the baseline's name, what the filter has before the experiment's name grows, and that name's most."""
_LEAST = 420
_WIDE, _SHORT, _SHORTER, _TIGHT = 1400, 1260, 1040, 940
_GAPS = 120
"""Margins, separators and the space between the toolbar's parts."""


class CompareTools(QObject):
    """Fills a `PageToolbar`."""

    rows_chosen = Signal(bool)
    """By trial?"""
    differences_toggled = Signal()
    columns_chosen = Signal(tuple)
    invalid_toggled = Signal()
    baseline_chosen = Signal(str)
    """Configuration id; "" for the first with results."""
    export_asked = Signal(tuple)
    """Formats."""
    bundle_asked = Signal()
    copy_asked = Signal()
    texts_toggled = Signal()

    def __init__(self, theme: Theme, toolbar: PageToolbar, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._loaded: Loaded | None = None
        self._shown: tuple[str, ...] = ()
        self._toolbar = toolbar
        self._width = 0
        """Of the page; 0 until it is laid out."""
        self.experiments = ExperimentChooser(theme)
        self.filter = FilterField(theme)
        self.count: QLabel = label(tone="muted")
        self.rows = self._menu_button("table", "By configuration", "What a row is", QMenu())
        self.differences = tool_button(
            theme,
            text="Differences first",
            tip="Columns of what differs; what is the same for all is folded into a line",
            checkable=True,
        )
        self.differences.clicked.connect(calling(self.differences_toggled.emit))
        self._columns_menu = StayOpenMenu()
        self.columns = self._menu_button("columns", "Columns", "Which metrics are columns", self._columns_menu)
        self.baseline = self._menu_button("pin", "Baseline", "What every configuration is compared with", QMenu())
        self.baseline.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.texts = tool_button(
            theme, "file", "Texts", "What each configuration wrote for the same prompts, side by side", checkable=True
        )
        self.texts.clicked.connect(calling(self.texts_toggled.emit))
        self.export = self._menu_button("export", "Export", "Charts and table as files", self._export_menu())
        self.export.setProperty("kind", "box")
        self._by_configuration = self._rows_action("By configuration", False)
        self._by_trial = self._rows_action("By trial", True)
        self.rows.menu().addSeparator()
        self._fold = self.rows.menu().addAction("Differences first", calling(self.differences_toggled.emit))
        self._fold.setCheckable(True)
        self._invalid = self.rows.menu().addAction("Include invalid trials", calling(self.invalid_toggled.emit))
        self._invalid.setCheckable(True)
        toolbar.add(self.experiments)
        toolbar.add(self.filter)
        toolbar.add(self.count)
        toolbar.add_separator()
        for widget in (self.rows, self.differences, self.columns):
            toolbar.add(widget)
        toolbar.add_separator()
        toolbar.add(self.baseline)
        toolbar.add(self.texts)
        toolbar.add_right(self.export)
        # what the wide toolbar needs must not keep the window from becoming narrow
        toolbar.setMinimumWidth(theme.px(_LEAST))
        self._columns_menu.aboutToShow.connect(self._fill_columns)
        self.baseline.menu().aboutToShow.connect(self._fill_baseline)
        theme.changed.connect(self._restyle)

    def _menu_button(self, icon: str, text: str, tip: str, menu: QMenu) -> ToolButton:
        button = tool_button(self._theme, icon, text, tip)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu.setParent(button, menu.windowFlags())
        button.setMenu(menu)
        return button

    def _rows_action(self, text: str, by_trial: bool) -> QAction:
        action = self.rows.menu().addAction(text, calling(self.rows_chosen.emit, by_trial))
        action.setCheckable(True)
        return action

    def _export_menu(self) -> QMenu:
        menu = QMenu()
        menu.addAction("Charts and table…", calling(self.export_asked.emit, EVERYTHING))
        menu.addSeparator()
        for format in CHART_FORMATS:
            menu.addAction(f"Charts as {format.upper()}…", calling(self.export_asked.emit, (format,)))
        menu.addSeparator()
        for format, title in _TABLES:
            menu.addAction(f"Table as {title}…", calling(self.export_asked.emit, (format,)))
        menu.addSeparator()
        menu.addAction("Whole experiment (Parquet bundle)…", calling(self.bundle_asked.emit))
        menu.addSeparator()
        menu.addAction("Copy the table", calling(self.copy_asked.emit))
        return menu

    def _restyle(self) -> None:
        self._toolbar.setMinimumWidth(self._theme.px(_LEAST))
        self.set_room(self._width)

    # --- state ------------------------------------------------------------------------------------

    def show_state(self, loaded: Loaded | None, choice: Choice, shown: tuple[str, ...], include_invalid: bool) -> None:
        """What is chosen, on the buttons."""
        self._loaded, self._shown = loaded, shown
        self.rows.setText("By trial" if choice.by_trial else "By configuration")
        self._by_configuration.setChecked(not choice.by_trial)
        self._by_trial.setChecked(choice.by_trial)
        self._invalid.setChecked(include_invalid)
        for part in (self.differences, self._fold):
            part.setChecked(choice.differences_first)
        name = self._baseline_name()
        text = f"Baseline: {name}" if name else "Baseline"
        self.baseline.setToolTip(f"{text}. Every configuration is compared with it")
        self.baseline.setAccessibleName(text)
        for widget in (self.filter, self.rows, self.differences, self.columns, self.baseline, self.export, self.texts):
            widget.setEnabled(loaded is not None)
        self._share()

    def set_room(self, width: int) -> None:
        """`width` of the page. Under 1400 px (of the design) "Differences first" is in the menu of rows only, under
        1260 rows and columns have icons alone, under 1040 Texts too, under 940 there is only what is needed."""
        self._width = width
        px = self._theme.px
        narrow, tight = width < px(_SHORT), width < px(_TIGHT)
        self._toolbar.title.setVisible(not tight)
        self.count.setVisible(not tight)
        self.differences.setVisible(width >= px(_WIDE))
        icons, words = Qt.ToolButtonStyle.ToolButtonIconOnly, Qt.ToolButtonStyle.ToolButtonTextBesideIcon
        self.baseline.setToolButtonStyle(icons if tight else words)
        for button in (self.rows, self.columns):
            button.setToolButtonStyle(icons if narrow else words)
        self.texts.setToolButtonStyle(icons if width < px(_SHORTER) else words)
        self._share()

    def _share(self) -> None:
        """What the buttons leave goes to the baseline's name, the filter and the experiment's name."""
        if not self._width:
            return
        px, name = self._theme.px, self._baseline_name()
        text = f"Baseline: {name}" if name else "Baseline"
        self.baseline.setText(text)
        fixed = (self._toolbar.title, self.count, self.rows, self.differences, self.columns, self.texts, self.export)
        gaps = px(_GAPS) + self.baseline.sizeHint().width() - self._text_width(text)
        free = self._width - gaps - sum(w.sizeHint().width() for w in fixed if not w.isHidden())
        least_name, least_filter = px(140), px(110)
        # a fraction of a pixel less than the text needs would cut it
        named = min(self._text_width(text) + 2, max(free - least_name - least_filter, px(_BASELINE)))
        self.baseline.setText(self.baseline.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, named))
        free -= named if self.baseline.toolButtonStyle() != Qt.ToolButtonStyle.ToolButtonIconOnly else 0
        chooser = max(least_name, min(self.experiments.wished_width(), px(_LONGEST), free - px(_FILTER)))
        self.experiments.setFixedWidth(chooser)
        self.filter.setFixedWidth(max(least_filter, min(px(270), free - chooser)))

    def _text_width(self, text: str) -> int:
        return self.baseline.fontMetrics().horizontalAdvance(text)

    def _baseline_name(self) -> str:
        if self._loaded is None:
            return ""
        comparison = self._loaded.comparison
        row = next((r for r in comparison.rows if r.is_baseline), None)
        return short_title(row.labels, comparison.varying, row.title) if row is not None else ""

    # --- menus ------------------------------------------------------------------------------------

    def _fill_columns(self) -> None:
        if self._loaded is not None:
            fill_columns(self._columns_menu, self._loaded.comparison, self._shown, self.columns_chosen.emit)

    def _fill_baseline(self) -> None:
        menu, loaded = self.baseline.menu(), self._loaded
        menu.clear()
        if loaded is None:
            return
        stored = loaded.detail.experiment.baseline
        automatic = menu.addAction("The first with results", calling(self.baseline_chosen.emit, ""))
        automatic.setCheckable(True)
        automatic.setChecked(stored is None)
        menu.addSeparator()
        for row in loaded.comparison.rows:
            name = short_title(row.labels, loaded.comparison.varying, row.title)
            action = menu.addAction(name, calling(self.baseline_chosen.emit, row.configuration))
            action.setCheckable(True)
            action.setChecked(stored is not None and row.is_baseline)
            action.setEnabled(row.counted > 0)
            if not row.counted:
                action.setText(f"{name} (no trial that counts)")
