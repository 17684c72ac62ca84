"""The sheet that adds a machine or changes how one is reached: SSH or Slurm, its host, its names. Main thread."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from widgets.machines.adding.form import DEFAULTS, FIELDS, LOGIN, Field, Unfit, machine_of, proposed_id, values_of
from widgets.messages.overlay import Overlay
from widgets.parts.choice import Choice
from widgets.parts.components import (
    PanelHeader,
    SegmentedControl,
    UnitLineEdit,
    label,
    line,
    push_button,
    set_look,
    tool_button,
)
from widgets.parts.layout import flush_column, scroll_area, set_ground
from widgets.theme.theme import Theme
from workbench.machines.machine import Machine

KINDS = ("ssh", "slurm")
_WIDTH, _HEIGHT, _ROOM = 560, 460, 48
ABOUT = {
    "ssh": "A computer that your OpenSSH client reaches, with its configuration, keys, agent and jump hosts. "
    "No password is stored.",
    "slurm": "A cluster where Slurm places the runners. Its commands run on the login node, or on this computer.",
}


class AddSheet(Overlay):
    """Fields of the kind that is chosen; title and id follow the host until they are written by hand."""

    decided = Signal(object)
    """The `Machine` to keep."""

    def __init__(self, theme: Theme, host: QWidget) -> None:
        super().__init__(theme, host, "Add a machine")
        self._taken: Collection[str] = ()
        self._own: set[str] = set()
        """Fields written by hand."""
        self._changes: Machine | None = None
        self.header = PanelHeader(theme, "Add a machine")
        self.header.add_tool(tool_button(theme, "close", tip="Close (Esc)", clicked=self.leave, compact=True))
        self.kinds = SegmentedControl(theme, ("SSH", "Slurm"), "Kind of machine")
        self.about = label(role="dense", tone="muted", wrap=True)
        self.hosts = Choice()
        self.hosts.setEditable(True)
        self.hosts.setInsertPolicy(Choice.InsertPolicy.NoInsert)
        self.fields: dict[str, QLineEdit] = {f.key: UnitLineEdit(theme, f.unit) for f in FIELDS if f.key != "host"}
        host_field = self.hosts.lineEdit()
        assert host_field is not None
        self.fields["host"] = host_field
        self.more = tool_button(
            theme, "chevron-right", "More", "Port, Python and folder there", checkable=True, compact=True
        )
        self.wrong = label(role="dense", tone="error", wrap=True)
        self.save = push_button("Add", self._decide, kind="main")
        self.cancel = push_button("Cancel", self.leave)
        self._form = QFormLayout()
        self._build()
        self.kinds.chosen.connect(self._show)
        self.more.toggled.connect(self._show)
        self.fields["host"].textChanged.connect(self._propose)
        for key in ("title", "id"):
            self.fields[key].textEdited.connect(lambda _text, key=key: self._own.add(key))
        theme.follow(self._restyle)

    def _build(self) -> None:
        form = QWidget()
        self._upper = QVBoxLayout(form)
        self._upper.addWidget(self.kinds)
        self._upper.addWidget(self.about)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        self._rows: dict[str, QWidget] = {}
        self._names: dict[str, QLabel] = {}
        before_more = True
        for field in FIELDS:
            if field.more and before_more:
                self._form.addRow("", self.more)
                before_more = False
            self._rows[field.key] = row = self._row(field)
            self._names[field.key] = name = label(field.label)
            name.setBuddy(self.fields[field.key])
            self._form.addRow(name, row)
        self._upper.addLayout(self._form)
        self._upper.addStretch(1)
        scroll = scroll_area(form)
        foot = QFrame()
        set_ground(foot, "panel")
        self._buttons = QHBoxLayout(foot)
        self._buttons.addWidget(self.wrong, 1)
        self._buttons.addWidget(self.cancel)
        self._buttons.addWidget(self.save)
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 1, 1, 1)
        column.setSpacing(0)
        column.addWidget(self.header)
        column.addWidget(scroll, 1)
        column.addWidget(line())
        column.addWidget(foot)

    def _row(self, field: Field) -> QWidget:
        holder = QWidget()
        column = flush_column(holder, 2)
        edit = self.fields[field.key]
        shown = self.hosts if field.key == "host" else edit
        for widget in (shown, edit):
            widget.setAccessibleName(field.label)
            widget.setAccessibleDescription(field.hint)
        edit.returnPressed.connect(self._decide)
        column.addWidget(shown)
        hint = label(field.hint, role="caption", tone="muted", wrap=True)
        if field.key == "host":
            self._host_hint = hint
        column.addWidget(hint)
        return holder

    def _restyle(self) -> None:
        px = self.theme.px
        self._upper.setContentsMargins(px(16), px(12), px(16), px(12))
        self._upper.setSpacing(px(10))
        self._form.setVerticalSpacing(px(8))
        self._form.setHorizontalSpacing(px(12))
        self._buttons.setContentsMargins(px(16), px(10), px(16), px(12))
        self._buttons.setSpacing(px(8))
        self.place()

    def place(self) -> None:
        px, host = self.theme.px, self.host
        self.resize(min(px(_WIDTH), host.width() - _ROOM), min(px(_HEIGHT), host.height() - _ROOM))
        self.centre()

    # --- opening ----------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        return KINDS[self.kinds.index]

    def open_new(self, taken: Collection[str], hosts: Sequence[str] = ()) -> None:
        """`hosts`: names that the user's OpenSSH configuration has."""
        self._changes, self._taken, self._own = None, taken, set()
        self._fill(DEFAULTS, hosts)
        self.header.set_title("Add a machine")
        self.save.setText("Add")
        self._open("ssh")

    def open_for(self, machine: Machine, hosts: Sequence[str] = ()) -> None:
        """Change how a machine is reached, or its title."""
        self._changes, self._taken, self._own = machine, (), {"title", "id"}
        self._fill(values_of(machine), hosts)
        self.header.set_title(f"Edit {machine.title}")
        self.save.setText("Save")
        self._open(machine.kind)

    def _fill(self, values: dict[str, str], hosts: Sequence[str]) -> None:
        self.hosts.clear()
        self.hosts.addItems(list(hosts))
        self.hosts.setCurrentIndex(-1)
        for key, edit in self.fields.items():
            edit.setText(values.get(key, ""))

    def _open(self, kind: str) -> None:
        self.kinds.show_choice(KINDS.index(kind))
        self.kinds.setEnabled(self._changes is None)
        self.fields["id"].setReadOnly(self._changes is not None)
        self.more.setChecked(False)
        self._say_wrong({})
        self._show()
        self.place()
        self.appear(self.hosts)

    def _show(self) -> None:
        """The fields of the kind, those behind "More" where it is open."""
        self.about.setText(ABOUT[self.kind])
        host = LOGIN if self.kind == "slurm" else FIELDS[0]
        self._names["host"].setText(host.label)
        self._host_hint.setText(host.hint)
        for widget in (self.hosts, self.fields["host"]):
            widget.setAccessibleName(host.label)
            widget.setAccessibleDescription(host.hint)
        self.more.set_icon("chevron-down" if self.more.isChecked() else "chevron-right")
        for field in FIELDS:
            shown = self.kind in field.kinds and (not field.more or self.more.isChecked())
            self._form.setRowVisible(self._rows[field.key], shown)

    # --- what is written --------------------------------------------------------------------------

    def _propose(self, host: str) -> None:
        """Title and id from the host, where nobody wrote others."""
        if "id" not in self._own:
            self.fields["id"].setText(proposed_id(host, self._taken))
        if "title" not in self._own:
            self.fields["title"].setText(host.rpartition("@")[2])

    def _decide(self) -> None:
        values = {key: edit.text() for key, edit in self.fields.items()}
        try:
            machine = machine_of(self.kind, values, self._taken)
        except Unfit as unfit:
            self._say_wrong(unfit.wrong)
            first = next(f for f in FIELDS if f.key in unfit.wrong)
            if first.more:
                self.more.setChecked(True)
            self.fields[first.key].setFocus(Qt.FocusReason.OtherFocusReason)
            return
        self._say_wrong({})
        self.decided.emit(machine)

    def _say_wrong(self, wrong: dict[str, str]) -> None:
        for key, edit in self.fields.items():
            if isinstance(edit, UnitLineEdit):
                edit.set_invalid(wrong.get(key, ""))
            else:
                set_look(self.hosts, invalid="true" if key in wrong else "false")
        self.wrong.setText(next(iter(wrong.values()), ""))
