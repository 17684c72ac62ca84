"""The rows of a kind of work, made from its settings. Main thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtWidgets import QVBoxLayout, QWidget

from engines.protocol.settings import Setting
from widgets.parts.components import label, line
from widgets.setup.fields.form import Form
from widgets.setup.fields.group import FieldGroup
from widgets.setup.fields.values import tip
from widgets.theme.theme import Theme
from workbench.experiment.experiment import WorkloadChoice


class WorkForm(FieldGroup):
    """A heading for each group of settings, and a row for each setting."""

    def __init__(
        self,
        theme: Theme,
        settings: Sequence[Setting],
        special: Mapping[str, QWidget],
        label_width: int,
        parent: QWidget | None = None,
    ) -> None:
        """`special`: widgets made by hand, in the place of a setting's field."""
        super().__init__(theme, parent)
        self._rows: dict[str, tuple[QWidget, QWidget]] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        for group in dict.fromkeys(s.group for s in settings):
            if group:
                if self._column.count():
                    self._column.addWidget(line())
                self._column.addWidget(label(group, role="body", tone="secondary"))
            form = Form(theme, label_width)
            for setting in (s for s in settings if s.group == group):
                widget = special.get(setting.name) or self._field(setting)
                text = form.add(setting.short or setting.title, widget, tip(setting))
                self._rows[setting.name] = (text, widget)
            self._column.addWidget(form)
        theme.follow(self._restyle)

    def show_row(self, name: str, shown: bool) -> None:
        """A setting that has no effect beside the others is not shown."""
        for widget in self._rows[name]:
            widget.setVisible(shown)

    def show_work(self, load: WorkloadChoice, *, force: bool = False) -> None:
        for name, field in self.fields.items():
            field.set_values(load.values(name), force=force)

    def _restyle(self) -> None:
        self._column.setSpacing(self._theme.px(8))
