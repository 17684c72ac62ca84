"""Which of the engines that can do a kind of work runs, and how; folded until it is asked for. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QLabel, QSizePolicy, QVBoxLayout, QWidget

from engines.catalogue import EngineInfo, broken, does, engines
from engines.protocol.orders import Scalar
from engines.protocol.settings import Setting
from widgets.parts.choice import Choice
from widgets.parts.components import ToolButton, label
from widgets.setup.fields.form import Form
from widgets.setup.fields.value_field import ValueField
from widgets.setup.fields.values import tip
from widgets.theme.theme import Theme
from workbench.experiment.experiment import EngineSettings, engine_settings
from workbench.units import counted

LABELS = 76
"""Width of the labels of forms in a panel (of the design): "LR warm-up"."""
_SETTINGS = {setting.name: setting for setting in engine_settings()}
_CHOICES = {"auto": "Automatic", "on": "On", "off": "Off"}


class EngineGroup(QWidget):
    """A line that says what is set; a click on it opens the fields."""

    changed = Signal(str, object)
    """key of the [engine] table, values (a tuple of one)"""
    broke = Signal(str, str)
    """ "engine.KEY", what is wrong; "" where it is mended"""

    def __init__(self, theme: Theme, kind: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._settings = EngineSettings()
        self._engines = [engine for engine in engines() if does(engine, kind)]
        self.fields: dict[str, ValueField] = {}
        self.choices: dict[str, Choice] = {}
        self.boxes: dict[str, QCheckBox] = {}
        self.head = ToolButton(theme, "chevron-right", "Engine", "Show or hide the engine's settings")
        self.head.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.head.setStyleSheet("QToolButton { text-align: left; padding-left: 0; }")
        self.head.clicked.connect(self._toggle)
        self.summary = label("", role="dense", tone="muted", wrap=True)
        self.body = QWidget()
        self._captions: list[QLabel] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.head)
        self._column.addWidget(self.summary)
        self._column.addWidget(self.body)
        self._build()
        self.body.hide()
        theme.follow(self._restyle)

    def _build(self) -> None:
        self._rows = QVBoxLayout(self.body)
        self._rows.setContentsMargins(0, 0, 0, 0)
        common = Form(self._theme, LABELS)
        titles = [(engine.title, engine.id) for engine in self._engines]
        self._choice(common, _SETTINGS["id"], [("Automatic", "auto"), *titles])
        self._field(common, _SETTINGS["threads"])
        self._rows.addWidget(common)
        for engine in self._engines:
            if not engine.settings:
                continue
            self._rows.addWidget(self._caption(f"Of {engine.title}"))
            own = Form(self._theme, LABELS)
            for setting in engine.settings:
                if setting.choices:
                    self._choice(own, setting, [(_CHOICES.get(choice, choice), choice) for choice in setting.choices])
                elif setting.type == "bool":
                    self._box(own, setting)
                else:
                    self._field(own, setting)
            self._rows.addWidget(own)
        for plugin in broken():
            said = f"{plugin.name} could not be loaded: {plugin.error}"
            self._rows.addWidget(label(said, role="dense", tone="error", wrap=True, selectable=True))

    def _restyle(self) -> None:
        px = self._theme.px
        self._column.setSpacing(px(4))
        self._rows.setSpacing(px(8))
        for box in self.boxes.values():
            box.setMinimumHeight(self._theme.height("control"))

    def _caption(self, text: str) -> QLabel:
        made = label(text, role="dense", tone="muted")
        self._captions.append(made)
        return made

    def _choice(self, form: Form, setting: Setting, choices: list[tuple[str, str]]) -> None:
        box = Choice(6)
        for text, value in choices:
            box.addItem(text, value)
        box.setMinimumWidth(self._theme.px(60))
        box.activated.connect(partial(self._chosen, setting.name))
        self.choices[setting.name] = box
        self._add(form, setting, box)

    def _box(self, form: Form, setting: Setting) -> None:
        box = QCheckBox("On")
        box.clicked.connect(lambda on, key=setting.name: self._say(key, on))
        self.boxes[setting.name] = box
        self._add(form, setting, box)

    def _field(self, form: Form, setting: Setting) -> None:
        field = ValueField(self._theme, setting, name=setting.title)
        field.line.setToolTip(tip(setting))
        field.changed.connect(partial(self._field_changed, setting.name))
        field.broke.connect(partial(self.broke.emit, f"engine.{setting.name}"))
        self.fields[setting.name] = field
        form.add(setting.short or setting.title, field, tip(setting))

    def _add(self, form: Form, setting: Setting, widget: QWidget) -> None:
        widget.setAccessibleName(setting.title)
        widget.setToolTip(tip(setting))
        form.add(setting.short or setting.title, widget, tip(setting))

    # --- what is shown ----------------------------------------------------------------------------

    def show_settings(self, settings: EngineSettings, *, force: bool = False) -> None:
        """`force`: fields take the values even where a text was being mended (undo, load)."""
        self._settings = settings
        for key, box in self.choices.items():
            box.setCurrentIndex(box.findData(settings.value(_SETTINGS[key])))  # none for what cannot do this work
        for key, field in self.fields.items():
            field.set_values((settings.value(_SETTINGS[key]),), force=force)
        for key, check in self.boxes.items():
            check.setChecked(bool(settings.value(_SETTINGS[key])))
        for engine in self._engines:
            runs = settings.id in ("auto", engine.id)
            for setting in engine.settings:
                self._enable(setting.name, "" if runs else f"Of {engine.title} only; {settings.id} runs everything.")
        self.summary.setText(summary(settings, self._engines))

    def _enable(self, key: str, reason: str) -> None:
        if key in self.fields:
            self.fields[key].set_enabled(not reason, reason or tip(_SETTINGS[key]))
            return
        widget: QWidget = self.choices[key] if key in self.choices else self.boxes[key]
        widget.setEnabled(not reason)
        widget.setToolTip(reason or tip(_SETTINGS[key]))

    def _toggle(self) -> None:
        self.set_open(self.body.isHidden())

    def set_open(self, opened: bool) -> None:
        self.head.set_icon("chevron-down" if opened else "chevron-right")
        self.body.setVisible(opened)
        self.summary.setVisible(not opened)
        self.head.setAccessibleDescription("open" if opened else f"closed: {self.summary.text()}")

    # --- what is wished ---------------------------------------------------------------------------

    def _chosen(self, key: str, index: int) -> None:
        self._say(key, str(self.choices[key].itemData(index, Qt.ItemDataRole.UserRole)))

    def _field_changed(self, key: str, values: tuple[Scalar, ...]) -> None:
        self.broke.emit(f"engine.{key}", "")
        self._say(key, values[0])

    def _say(self, key: str, value: Scalar) -> None:
        self.changed.emit(key, (value,))


def summary(settings: EngineSettings, among: Sequence[EngineInfo]) -> str:
    """What is set of these engines, in a line: "Automatic", "llama.cpp, 4 threads, flash attention on"."""
    parts = ["Automatic: by technique" if settings.id == "auto" else settings.id]
    if settings.threads:
        parts.append(counted(settings.threads, "threads"))
    own = [setting for engine in among for setting in engine.settings if setting.name in settings.own]
    parts += [setting.with_value(settings.own[setting.name]) for setting in own]
    return ", ".join(parts)
