"""The Data panel of fine-tuning: what is trained on, one row of it as the model sees it, and how it is split. Main
thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from engines.data.training.preview import OPTIONS, BadRow, Preview
from engines.protocol.orders import Training
from engines.protocol.problems import Problem
from widgets.parts.choice import Choice
from widgets.parts.components import IconLabel, Panel, SegmentedControl, ToolButton, label, tool_button
from widgets.parts.layout import flush_row
from widgets.setup.fields.form import Form
from widgets.setup.fields.value_field import ValueField
from widgets.setup.fields.values import tip
from widgets.setup.models.rows import Resolved
from widgets.setup.techniques.rows import chosen_models
from widgets.setup.training.all_rows import AllRows
from widgets.setup.training.columns_field import KINDS, ColumnsField
from widgets.setup.training.data_field import BUILT_IN, DataField
from widgets.setup.training.preview import Asked, PreviewSource
from widgets.setup.training.row_view import RowView, usable
from widgets.setup.workload.engine_group import LABELS
from widgets.setup.workload.panel import Upright, own_settings
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment
from workbench.units import counted

GROUP = "Data"
"""The group of settings that this panel has."""
_NO_MODEL = "Choose a model: its tokenizer cuts the rows."
_NO_TOKENIZER = "No chosen model has a tokenizer on this computer, so its tokens cannot be shown."
_PERCENT = ("validation_share", "test_share")
_NAMED = 3
"""So many bad rows are named."""
_SETTINGS = {s.name: s for s in own_settings("training") if s.group == GROUP}


@dataclass(frozen=True)
class _Parts:
    """Which settings have an effect on the data that are chosen."""

    columns: bool
    responses: bool
    split: bool


class DataPanel(Panel):
    """Settings come out as signals; rows are read by `source`."""

    changed = Signal(str, object)
    """key, values"""
    broke = Signal(str, str)
    """key, what is wrong; "" where it is mended"""
    values_wanted = Signal(object)
    """Several settings at once, by name."""

    def __init__(self, theme: Theme, source: PreviewSource, parent: QWidget | None = None) -> None:
        super().__init__(theme, "Data", parent=parent)
        self._theme = theme
        self.source = source
        self._asked: Asked | None = None
        self.all_rows: AllRows | None = None
        """Made when it is first wanted."""
        self.show_all = tool_button(theme, "table", "All rows", "All rows as a table", self._show_all, compact=True)
        self.show_all.setEnabled(False)
        self.header.add_tool(self.show_all)
        self._preview: Preview | None = None
        self._workload = Training()
        self._uncut = ""
        self.fields: dict[str, ValueField] = {}
        self._build()
        source.reading.connect(self._reading)
        source.read.connect(self._read)
        source.failed.connect(self._failed)
        theme.follow(self._restyle)

    def _build(self) -> None:
        theme = self._theme
        inner = QWidget()
        self._column = QVBoxLayout(inner)
        top = Form(theme, LABELS)
        self.data = DataField(theme)
        self.data.wanted.connect(self._data_wanted)
        top.add("File", self.data, tip(_SETTINGS["data"]))
        self.columns = ColumnsField(theme)
        self.columns.changed.connect(self.values_wanted)
        self._columns_label = top.add("Columns", self.columns, "Which columns hold what")
        self.loss_on = SegmentedControl(theme, ["Response", "Everything"], "Loss on")
        for button in self.loss_on.findChildren(ToolButton):
            button.setProperty("compact", "true")
        self.loss_on.chosen.connect(partial(self._choice_made, "loss_on"))
        self.template = Choice()
        self.template.addItems(["Chat template", "Plain"])
        self.template.setAccessibleName("Template")
        self.template.setToolTip(tip(_SETTINGS["template"]))
        self.template.activated.connect(partial(self._choice_made, "template"))
        self._responses = QWidget()
        row = flush_row(self._responses, theme.px(8))
        row.addWidget(self.loss_on)
        row.addWidget(self.template, 1)
        self._responses.setFocusProxy(self.loss_on)
        self._responses_label = top.add("Loss on", self._responses, tip(_SETTINGS["loss_on"]))
        self._column.addWidget(top)
        self.bad = _BadRows(theme)
        self._column.addWidget(self.bad)
        self.row = RowView(theme)
        self.row.row_wanted.connect(self._row_wanted)
        self.row.again_wanted.connect(self.source.again)
        self._column.addWidget(self.row, 1)
        self._below = Form(theme, LABELS)
        self._split = QWidget()
        row = flush_row(self._split, theme.px(6))
        for name in ("validation_share", "test_share", "split_seed"):
            row.addWidget(self._field(name))
        self._split.setFocusProxy(self.fields["validation_share"])
        self._below.add("Split", self._split, "Shares of the rows for validation and for the final test, and the seed")
        self.split_hint = self._below.add_hint("")
        self.packing = QCheckBox("Several short rows in one sequence")
        self.packing.setToolTip(tip(_SETTINGS["packing"]))
        self.packing.clicked.connect(self._packing_clicked)
        self._below.add("Packing", self.packing, tip(_SETTINGS["packing"]))
        self._column.addWidget(self._below)
        self._scroll = Upright()
        self._scroll.setWidget(inner)
        self.body.addWidget(self._scroll, 1)

    def _field(self, name: str) -> ValueField:
        setting = _SETTINGS[name]
        if name in _PERCENT:
            setting = replace(setting, maximum=100 * (setting.maximum or 1))
        field = self.fields[name] = ValueField(self._theme, setting, name=setting.title)
        field.set_suffix({"validation_share": "% valid.", "test_share": "% test", "split_seed": "seed"}[name])
        field.line.setToolTip(tip(_SETTINGS[name]))
        field.changed.connect(partial(self._field_changed, name))
        field.broke.connect(partial(self.broke.emit, name))
        return field

    def _restyle(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(12), px(12), px(10), px(8))
        self._column.setSpacing(px(8))
        self.packing.setMinimumHeight(self._theme.height("control"))

    # --- what is shown ----------------------------------------------------------------------------

    def show_experiment(self, experiment: Experiment, resolved: Resolved, *, force: bool = False) -> None:
        workload = experiment.workload.first
        if not isinstance(workload, Training):
            return
        if workload.data != self._workload.data:
            self._preview = None
            self.row.restart()
        self._workload = workload
        self.data.show_data(workload.data)
        for name, field in self.fields.items():
            value = getattr(workload, name)
            field.set_values((round(100 * value, 6) if name in _PERCENT else value,), force=force)
        self._choose(self.loss_on, ("response", "everything").index(workload.loss_on))
        self.template.setCurrentIndex(("chat", "plain").index(workload.template))
        self.packing.setChecked(workload.packing)
        self._show_parts()
        self._ask(experiment, resolved)

    def _show_parts(self) -> None:
        """Only settings that have an effect on these data."""
        preview, data = self._preview, self._workload.data
        own = all(data != known for _, known, _ in BUILT_IN)
        used = {kind: name for kind, name in preview.columns.items() if name} if preview is not None else {}
        text_only = data == BUILT_IN[0][1] or "text" in used
        parts = _Parts(columns=own and preview is not None, responses=not text_only, split=data != BUILT_IN[0][1])
        self.columns.setVisible(parts.columns)
        self._columns_label.setVisible(parts.columns)
        self._responses.setVisible(parts.responses)
        self._responses_label.setVisible(parts.responses)
        self._below.setVisible(parts.split)
        if preview is not None:
            self.columns.show_columns(preview.names, used, self._workload)
        rows = preview.rows if preview is not None and parts.split else 0
        left = f"{usable(preview):,} of {rows:,} rows" if preview is not None and preview.bad else f"{rows:,} rows"
        self.header.set_count(left if rows else "")
        self.show_all.setEnabled(preview is not None and usable(preview) > 0)
        self.split_hint.setText(split_text(preview.splits) if preview is not None else "")
        self.split_hint.setVisible(bool(self.split_hint.text()))
        self.bad.show_rows(preview.bad_rows if preview is not None else (), preview.bad if preview is not None else 0)

    @staticmethod
    def _choose(control: SegmentedControl, index: int) -> None:
        control.blockSignals(True)
        control.choose(index)
        control.blockSignals(False)

    # --- rows -------------------------------------------------------------------------------------

    def _ask(self, experiment: Experiment, resolved: Resolved) -> None:
        """Rows are cut by the first chosen model that has a tokenizer; without one columns and bad rows are shown."""
        models = chosen_models(experiment, resolved)
        there = (m.order for m in models if m.quality_available and m.order.path)
        cuts = next((order for order in there if order.kind in ("folder", "gguf")), None)
        if experiment.models and not models and not any(isinstance(m, Problem) for m in resolved.models.values()):
            self.row.show_reading("Looking the model up")
            return
        self._uncut = "" if cuts is not None else _NO_TOKENIZER if experiment.models else _NO_MODEL
        first = self._asked.first if self._asked is not None and self._preview is not None else 0
        path = cuts.path if cuts is not None else ""
        self._asked = Asked(_plain(self._workload), path, str(resolved.base), first)
        self.source.ask(self._asked)

    def _row_wanted(self, number: int) -> None:
        if self._asked is not None:
            self._asked = Asked(self._asked.workload, self._asked.model, self._asked.base, number)
            self.source.ask(self._asked)

    def _show_all(self) -> None:
        if self._asked is None:
            return
        if self.all_rows is None:
            self.all_rows = AllRows(self._theme, self.window(), self.source.twin())
            self.all_rows.row_chosen.connect(self.row.show_number)
        self.all_rows.open(self._asked, self._preview, self.row.number)

    def _reading(self) -> None:
        self.row.show_reading("Reading the data")

    def _read(self, preview: Preview) -> None:
        self._preview = preview
        self._show_parts()
        self.row.show_preview(preview, self._uncut)

    def _failed(self, message: str, advice: str) -> None:
        self._preview = None
        self._show_parts()
        self.row.say(message, advice, error=True)

    # --- wishes -----------------------------------------------------------------------------------

    def _data_wanted(self, data: str) -> None:
        """Columns that were chosen belong to the data that were there before."""
        self.values_wanted.emit({"data": data, **{f"{kind}_column": "" for kind in KINDS}})

    def _choice_made(self, name: str, index: int) -> None:
        self.changed.emit(name, (_SETTINGS[name].choices[index],))

    def _packing_clicked(self) -> None:
        self.changed.emit("packing", (self.packing.isChecked(),))

    def _field_changed(self, name: str, values: tuple[float, ...]) -> None:
        self.broke.emit(name, "")
        self.changed.emit(name, tuple(round(v / 100, 8) for v in values) if name in _PERCENT else values)


class _BadRows(QWidget):
    """How many rows are left out, and which."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        row = flush_row(self, theme.px(6))
        row.addWidget(IconLabel(theme, "warning", "status.warn", 14, "Warning"))
        self.text = label("", role="dense", wrap=True)
        row.addWidget(self.text, 1)

    def show_rows(self, rows: Sequence[BadRow], count: int) -> None:
        """`rows`: the first of them."""
        self.setVisible(bool(rows))
        self.text.setText(bad_text(rows, count))
        self.text.setToolTip("\n".join(f"{row.place} {row.reason}" for row in rows[:50]))


def bad_text(rows: Sequence[BadRow], count: int) -> str:
    """ "2 rows left out: line 318 has no response; line 7204 is empty." """
    if not rows:
        return ""
    named = "; ".join(f"{row.place} {row.reason}" for row in rows[:_NAMED])
    more = count - min(len(rows), _NAMED)
    left = f"{counted(count, 'rows')} left out"
    return f"{left}: {named}{f'; and {more:,} more' if more else ''}."


def _plain(workload: Training) -> Training:
    """With what decides how rows look alone: other settings ask for no other preview."""
    return Training(**{name: getattr(workload, name) for name in OPTIONS})


def split_text(rows: dict[str, int]) -> str:
    """ "11,230 to train, 624 for validation, 624 for the test"."""
    words = {"train": "to train on", "validation": "for validation", "test": "for the test"}
    return ", ".join(f"{rows[name]:,} {word}" for name, word in words.items() if name in rows)
