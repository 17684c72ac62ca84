"""The form of one technique, generated from its parameters. Main thread."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from engines.protocol.settings import Setting
from engines.techniques import Technique
from widgets.parts.components import ElidedLabel, IconLabel, label, line, push_button
from widgets.parts.layout import set_ground
from widgets.setup.edits import values_of
from widgets.setup.fields.form import Form
from widgets.setup.fields.value_field import ValueField
from widgets.setup.models.rows import Resolved
from widgets.setup.techniques.rows import TechniqueRow, find_technique, lacking, source_address, stored
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment

SWEEP_HINT = "A list such as 8, 16 or a range such as 4..64 x2 makes a sweep."
CHOICE_HINT = "Several, with commas between them, make a sweep."


class TechniqueForm(QWidget):
    """Built anew for another technique; the same one only gets its values."""

    changed = Signal(str, str, object)
    broke = Signal(str, str)
    install_wanted = Signal(object)
    """Packages that it lacks, a tuple."""

    def __init__(self, theme: Theme, *, compact: bool = False, parent: QWidget | None = None) -> None:
        """`compact`: wide and low: two fields in a row, and what they mean in their tooltips."""
        super().__init__(parent)
        self._theme = theme
        self._compact = compact
        self._key = ""
        self._missing: tuple[str, ...] = ()
        self._inner: QWidget | None = None
        self.fields: dict[str, ValueField] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        set_ground(self, "panel")

    def show_technique(
        self, row: TechniqueRow, experiment: Experiment, resolved: Resolved, *, force: bool = False
    ) -> None:
        technique = find_technique(row.key)
        if row.key != self._key:
            self._key = row.key
            self._build(row, technique)
        if technique is None:
            return
        times = sum(c.id == technique.id for c in experiment.techniques)
        for name, field in self.fields.items():
            field.set_values(values_of(experiment, technique, name), force=force)
            if times > 1:
                field.set_enabled(False, f"{technique.short} is {times} times in the experiment: edit its file.")
            elif name == "learning_rate" and _one_rate(experiment):
                field.set_enabled(False, "The learning rate under Training is used for all methods.")
            else:
                field.set_enabled(row.enabled or row.checked, row.reason)
        self._reason.setText(row.reason or row.caution)
        self._missing = lacking(technique, experiment, resolved)
        self._install.setVisible(bool(self._missing) and bool(row.reason))
        self._note.setVisible(bool(row.reason or row.caution))
        self._show_stored(technique, experiment, resolved)

    def _build(self, row: TechniqueRow, technique: Technique | None) -> None:
        if self._inner is not None:
            self._column.removeWidget(self._inner)
            self._inner.hide()
            self._inner.deleteLater()
        px = self._theme.px
        self.fields = {}
        self._inner = inner = QWidget()
        self._column.addWidget(inner)
        column = QVBoxLayout(inner)
        column.setContentsMargins(px(12), px(10), px(12), px(12))
        column.setSpacing(px(4))
        head = QHBoxLayout()
        head.setSpacing(px(8))
        head.addWidget(label(row.title, role="page_title"))
        head.addStretch(1)
        column.addLayout(head)
        if technique is None:
            column.addWidget(label(f"It could not be loaded: {row.reason}", tone="error", wrap=True, selectable=True))
            column.addStretch(1)
            return
        address = source_address(technique.source)
        if address:
            link = push_button("Paper" if "arxiv.org" in address else "Source", partial(_open, address), kind="link")
            link.setToolTip(address)
            link.setAccessibleDescription(f"Opens {address}")
            head.addWidget(link)
        if not self._compact:  # the tree beside a low form has it
            column.addWidget(label(technique.sentence, role="dense", tone="secondary", wrap=True))
        column.addWidget(self._make_note())
        if technique.parameters:
            column.addSpacing(px(4))
            column.addWidget(self._make_fields(technique))
        self._stored_line = line()
        self._stored = QWidget()
        self._stored_grid = QGridLayout(self._stored)
        self._stored_grid.setContentsMargins(0, 0, 0, 0)
        self._stored_grid.setHorizontalSpacing(px(8))
        self._stored_grid.setVerticalSpacing(px(2))
        self._stored_grid.setColumnStretch(0, 1)
        column.addSpacing(px(6))
        column.addWidget(self._stored_line)
        column.addSpacing(px(2))
        column.addWidget(self._stored)
        column.addWidget(label("Source", role="dense", tone="muted"))
        column.addWidget(label(technique.source, role="dense", tone="secondary", wrap=True, selectable=True))
        column.addStretch(1)

    def _make_note(self) -> QWidget:
        self._note = QWidget()
        row = QHBoxLayout(self._note)
        row.setContentsMargins(0, self._theme.px(2), 0, self._theme.px(2))
        row.setSpacing(self._theme.px(6))
        row.addWidget(IconLabel(self._theme, "info", "status.info", 14, "Note"), 0, Qt.AlignmentFlag.AlignTop)
        self._reason = label("", role="dense", tone="secondary", wrap=True)
        words = QVBoxLayout()
        words.setSpacing(self._theme.px(4))
        words.addWidget(self._reason)
        self._install = push_button("Install…", self._install_clicked, kind="inline")
        self._install.setToolTip("Shows what would be run, on the Machines page; nothing starts yet")
        words.addWidget(self._install, 0, Qt.AlignmentFlag.AlignLeft)
        row.addLayout(words, 1)
        return self._note

    def _install_clicked(self) -> None:
        self.install_wanted.emit(self._missing)

    def _make_fields(self, technique: Technique) -> QWidget:
        form = Form(self._theme, 72, columns=2 if self._compact else 1)
        for parameter in technique.parameters:
            field = self._field(technique, parameter)
            self.fields[parameter.name] = field
            if self._compact:
                form.add(_short(parameter), field, f"{parameter.title}. {parameter.help} {SWEEP_HINT}")
                continue
            form.add(_short(parameter), field, f"{parameter.title}. {parameter.help}".strip())
            numeric = parameter.type in ("int", "float")
            hint = f"{parameter.help} {SWEEP_HINT if numeric else CHOICE_HINT}".strip()
            form.add_hint(hint)
        return form

    def _field(self, technique: Technique, parameter: Setting) -> ValueField:
        field = ValueField(self._theme, replace(parameter, sweep=True), name=f"{technique.title}, {parameter.title}")
        field.changed.connect(partial(self._field_changed, technique.id, parameter.name))
        field.broke.connect(partial(self._field_broke, technique.id, parameter.name))
        return field

    def _field_changed(self, id: str, name: str, values: object) -> None:
        self.broke.emit(f"{id}.{name}", "")
        self.changed.emit(id, name, values)

    def _field_broke(self, id: str, name: str, message: str) -> None:
        self.broke.emit(f"{id}.{name}", message)

    def _show_stored(self, technique: Technique, experiment: Experiment, resolved: Resolved) -> None:
        """What it makes of the chosen models' weights."""
        while (item := self._stored_grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        rows = stored(technique, experiment, resolved)
        self._stored.setVisible(bool(rows))
        if not rows:
            return
        head = label("Weights in memory", role="dense", tone="muted")
        self._stored_grid.addWidget(head, 0, 0, 1, 2)
        for index, row in enumerate(rows, 1):
            self._stored_grid.addWidget(ElidedLabel(row.model, role="dense", tone="secondary"), index, 0)
            self._stored_grid.addWidget(
                label(row.text, role="dense", tone="secondary"), index, 1, Qt.AlignmentFlag.AlignRight
            )


def _one_rate(experiment: Experiment) -> bool:
    """Whether the work sets the learning rates, so that a method's own has no effect."""
    return experiment.workload.kind == "training" and 0 not in experiment.workload.values("learning_rate")


def _short(setting: Setting) -> str:
    """The form's label column is narrow: "Compute precision" -> "Compute"; the whole title is its tooltip."""
    title = setting.short or setting.title
    return title if len(title) <= 11 else title.split()[0]


def _open(address: str) -> None:
    QDesktopServices.openUrl(QUrl(address))
