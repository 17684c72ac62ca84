"""The techniques that have a meaning for the kind of work: the tree by axis, the form of the chosen one beside or below
it. Main thread.
"""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QRect, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import QStyleOptionViewItem, QWidget

from widgets.parts.check_tree import CheckTree, RowDelegate
from widgets.parts.components import Panel
from widgets.parts.grouped_model import Row
from widgets.parts.layout import scroll_area, splitter
from widgets.parts.search_field import SearchField
from widgets.parts.strokes import LEFT, draw_check, draw_ground, draw_text
from widgets.setup.models.rows import Resolved
from widgets.setup.techniques.form import TechniqueForm
from widgets.setup.techniques.rows import TechniqueRow, combinations, find_technique, technique_groups
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment

_LEAST_SENTENCE = 110
_FILTER_FROM = 8
"""A filter is offered where there are more techniques than fit without scrolling."""


class TechniquesPanel(Panel):
    """Shows the experiment's techniques; wishes come out as signals."""

    toggled = Signal(str, bool)
    parameter_changed = Signal(str, str, object)
    """technique id, parameter, values"""
    install_wanted = Signal(object)
    """Packages that a technique lacks, a tuple."""
    parameter_broke = Signal(str, str)
    """what is wrong in a field ("int8, Group size"), "" for the message where it is mended"""

    def __init__(self, theme: Theme, title: str, *, across: bool = True, parent: QWidget | None = None) -> None:
        """`across`: the form stands beside the tree, else below it."""
        super().__init__(theme, title, parent=parent)
        self._theme = theme
        self._across = across
        self._experiment = Experiment()
        self._resolved = Resolved()
        self._chosen = ""
        self.filter = SearchField(theme)
        self.filter.setProperty("compact", "true")
        self.filter.setPlaceholderText("Filter")
        self.filter.setAccessibleName(f"Filter {title.lower()}")
        self.filter.setMinimumWidth(theme.px(88))
        self.filter.setMaximumWidth(theme.px(160))
        self.filter.textChanged.connect(self._show)
        self.header.add_tool(self.filter)
        self._rows = TechniqueDelegate(theme)
        self.tree = CheckTree(theme, title, self._rows)
        self.tree.model_.toggle_wanted.connect(self.toggled)
        self.tree.current_changed.connect(self._current)
        self.form = TechniqueForm(theme, compact=not across)
        self.form.changed.connect(self.parameter_changed)
        self.form.broke.connect(self.parameter_broke)
        self.form.install_wanted.connect(self.install_wanted)
        self._scroll = scroll_area(self.form)
        self._split = splitter(
            Qt.Orientation.Horizontal if across else Qt.Orientation.Vertical, title.lower(), self.tree, self._scroll
        )
        self._split.setStretchFactor(0, 1)
        self.body.addWidget(self._split, 1)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        px = self._theme.px
        if self._across:
            self._scroll.setMinimumWidth(px(216))
            self.tree.setMinimumWidth(px(196))
            self._split.setSizes([px(336), px(224)])
            self.setMinimumWidth(px(430))
        else:
            self._split.setSizes([px(264), px(120)])
            self.setMinimumWidth(px(320))

    def show_experiment(self, experiment: Experiment, resolved: Resolved, *, force: bool = False) -> None:
        """`force`: fields take the experiment's values even where the same text was being mended (undo, load)."""
        self._experiment, self._resolved = experiment, resolved
        self.header.set_count(combinations(experiment))
        self._show()
        if not self._chosen or self.tree.current_key != self._chosen:
            self._choose_first()
        self._show_form(force=force)

    def _show(self) -> None:
        groups = technique_groups(self._experiment, self._resolved, self.filter.text())
        self._rows.fit_names(row.title for group in groups for row in group.rows)
        self.filter.setVisible(bool(self.filter.text()) or sum(len(g.rows) for g in groups) > _FILTER_FROM)
        self.tree.show_groups(groups)

    def _choose_first(self) -> None:
        """The form begins with something ticked, first of all with what has parameters; at the top where nothing of the
        first axis is ticked."""
        rows = [r for g in self.tree.model_.groups for r in g.rows]
        known = [(r, find_technique(r.key)) for r in rows]
        axis = next((t.axis for _, t in known if t is not None), "")
        ticked = [(r, t) for r, t in known if r.checked and t is not None]
        with_form = [r for r, t in ticked if t.parameters]
        wanted = next(iter([*with_form, *(r for r, t in ticked if t.axis == axis), *rows]), None)
        if wanted is not None and not self.tree.current_key:
            self.tree.choose(wanted.key)

    def _current(self, key: str) -> None:
        if key and key != self._chosen:
            self._chosen = key
            self._show_form(force=True)

    def _show_form(self, *, force: bool = False) -> None:
        row = next((r for g in self.tree.model_.groups for r in g.rows if r.key == self._chosen), None)
        if isinstance(row, TechniqueRow):
            self.form.show_technique(row, self._experiment, self._resolved, force=force)


class TechniqueDelegate(RowDelegate):
    """24 px: tick, name, sentence; the reason in place of the sentence where it cannot apply."""

    _widest = 0

    def fit_names(self, titles: Iterable[str]) -> None:
        """Sentences begin behind the longest name, and at the row's middle at the latest."""
        metrics = QFontMetrics(self._theme.font("body", 500))
        self._widest = max(map(metrics.horizontalAdvance, titles), default=0)

    def paint_row(self, painter: QPainter, option: QStyleOptionViewItem, row: Row) -> None:
        assert isinstance(row, TechniqueRow)
        theme, px, rect = self._theme, self._theme.px, option.rect
        draw_ground(painter, theme, option)
        draw_check(
            painter, theme, QRect(rect.left() + px(28), rect.top(), px(16), rect.height()), row.checked, row.enabled
        )
        left, right = rect.left() + px(52), rect.right() - px(8)
        name = max(px(112), min(self._widest + px(12), (right - left) // 2))
        alone = right - left - name < px(_LEAST_SENTENCE)
        width = right - left if alone else name - px(6)
        color = theme.color("text.primary" if row.enabled else "text.disabled")
        draw_text(painter, theme.font("body", 500), color, QRect(left, rect.top(), width, rect.height()), row.title)
        if alone:
            return  # a few letters say nothing; the form and the tooltip have the sentence or the reason
        box = QRect(left + name, rect.top(), right - left - name, rect.height())
        tone = "status.error" if row.error else "text.muted"
        draw_text(painter, theme.font("dense"), theme.color(tone), box, row.reason or row.sentence, LEFT)

    def check_width(self, rect: QRect) -> int:
        return rect.left() + self._theme.px(50)
