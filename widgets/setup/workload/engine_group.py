"""The Engine group of the Workload panel: which engine runs and how, folded until it is asked for. Main thread."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QSizePolicy, QVBoxLayout, QWidget

from engines.catalogue import engines
from engines.protocol.orders import Scalar
from engines.protocol.settings import Setting
from widgets.parts.components import ToolButton, label
from widgets.setup.fields.form import Form
from widgets.setup.fields.value_field import ValueField
from widgets.theme.theme import Theme
from workbench.experiment.experiment import EngineSettings
from workbench.experiment.keys import ENGINE

LABELS = 76
"""Width of the labels of the panel's forms (of the design): "Micro-batch"."""
_KEYS: dict[str, Setting] = {key.name: key for key in ENGINE}
_CHOICES: dict[str, tuple[tuple[str, str], ...]] = {
    "id": (("Automatic", "auto"), *((e.title, e.id) for e in engines())),
    "attention": (("sdpa", "sdpa"), ("eager", "eager")),
    "flash_attention": (("Automatic", "auto"), ("On", "on"), ("Off", "off")),
}
_TIPS = {
    "id": "Automatic: each configuration runs on the engine that its techniques belong to",
    "threads": "Processor threads of each trial; 0: one fewer than there are, at least one",
    "attention": "How transformers computes attention: sdpa is PyTorch's fused kernel, eager the plain formula",
    "batch_tokens": "Tokens that llama.cpp takes in at once at the most (n_batch)",
    "micro_batch_tokens": "Tokens that llama.cpp computes at once at the most (n_ubatch)",
    "flash_attention": "llama.cpp's fused attention; automatic leaves it the choice. A quantised KV cache needs it",
    "gpu_layers": "Layers that llama.cpp puts on the GPU; -1: all. Without a GPU it means nothing",
    "memory_map": "llama.cpp maps the file: pages come when they are needed and can be given back. Off reads it whole",
}
_OWN = {
    "transformers": ("attention",),
    "llama.cpp": ("batch_tokens", "micro_batch_tokens", "flash_attention", "gpu_layers", "memory_map"),
}


class EngineGroup(QWidget):
    """A line that says what is set; a click on it opens the fields."""

    changed = Signal(str, object)
    """key of the [engine] table, values (a tuple of one)"""
    broke = Signal(str, str)
    """ "engine.KEY", what is wrong; "" where it is mended"""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._settings = EngineSettings()
        self.fields: dict[str, ValueField] = {}
        self.choices: dict[str, QComboBox] = {}
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
        self._choice(common, "id", "Engine")
        self._number(common, "threads", "Threads", "0: automatic")
        self._rows.addWidget(common)
        self._rows.addWidget(self._caption("Of transformers"))
        own = Form(self._theme, LABELS)
        self._choice(own, "attention", "Attention")
        self._rows.addWidget(own)
        self._rows.addWidget(self._caption("Of llama.cpp"))
        llama = Form(self._theme, LABELS)
        self._number(llama, "batch_tokens", "Batch", "tokens")
        self._number(llama, "micro_batch_tokens", "Micro-batch", "tokens")
        self._choice(llama, "flash_attention", "Flash att.")
        self._number(llama, "gpu_layers", "GPU layers", "-1: all")
        self.memory_map = QCheckBox("Map the file")
        self.memory_map.setAccessibleName("Map the model file into memory")
        self.memory_map.setToolTip(_TIPS["memory_map"])
        self.memory_map.clicked.connect(self._map_clicked)
        llama.add("Memory", self.memory_map, _TIPS["memory_map"])
        self._rows.addWidget(llama)

    def _restyle(self) -> None:
        px = self._theme.px
        self._column.setSpacing(px(4))
        self._rows.setSpacing(px(8))
        self.memory_map.setMinimumHeight(self._theme.height("control"))

    def _caption(self, text: str) -> QLabel:
        made = label(text, role="dense", tone="muted")
        self._captions.append(made)
        return made

    def _choice(self, form: Form, key: str, title: str) -> None:
        box = QComboBox()
        for text, value in _CHOICES[key]:
            box.addItem(text, value)
        box.setAccessibleName({"id": "Engine", "attention": "Attention backend"}.get(key, "Flash attention"))
        box.setToolTip(_TIPS[key])
        box.setMinimumWidth(self._theme.px(60))
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(6)
        box.activated.connect(partial(self._chosen, key))
        self.choices[key] = box
        form.add(title, box, _TIPS[key])

    def _number(self, form: Form, key: str, title: str, suffix: str) -> None:
        setting = replace(_KEYS[key], title=title, suffix=suffix)
        field = ValueField(self._theme, setting, name=_TIPS[key].partition(";")[0])
        field.line.setToolTip(_TIPS[key])
        field.changed.connect(partial(self._field_changed, key))
        field.broke.connect(partial(self.broke.emit, f"engine.{key}"))
        self.fields[key] = field
        form.add(title, field, _TIPS[key])

    # --- what is shown ----------------------------------------------------------------------------

    def show_settings(self, settings: EngineSettings, *, force: bool = False) -> None:
        """`force`: fields take the values even where a text was being mended (undo, load)."""
        self._settings = settings
        for key, box in self.choices.items():
            box.setCurrentIndex(max(0, box.findData(getattr(settings, key))))
        for key, field in self.fields.items():
            field.set_values((getattr(settings, key),), force=force)
        self.memory_map.setChecked(settings.memory_map)
        for engine, keys in _OWN.items():
            reason = "" if settings.id in ("auto", engine) else f"A setting of {engine}; {settings.id} runs everything."
            for key in keys:
                self._enable(key, reason)
        self.summary.setText(summary(settings))

    def _enable(self, key: str, reason: str) -> None:
        if key in self.fields:
            self.fields[key].set_enabled(not reason, reason or _TIPS[key])
            return
        widget: QWidget = self.choices.get(key, self.memory_map)  # type: ignore[arg-type]
        widget.setEnabled(not reason)
        widget.setToolTip(reason or _TIPS[key])

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

    def _map_clicked(self, on: bool) -> None:
        self._say("memory_map", on)

    def _field_changed(self, key: str, values: tuple[Scalar, ...]) -> None:
        self.broke.emit(f"engine.{key}", "")
        self._say(key, values[0])

    def _say(self, key: str, value: Scalar) -> None:
        self.changed.emit(key, (value,))


def summary(settings: EngineSettings) -> str:
    """What is set, in a line: "Automatic", "llama.cpp, 4 threads, flash attention on"."""
    default = EngineSettings()
    parts = ["Automatic: by technique" if settings.id == "auto" else settings.id]
    if settings.threads:
        parts.append(f"{settings.threads} thread{'' if settings.threads == 1 else 's'}")
    if settings.attention != default.attention:
        parts.append(f"{settings.attention} attention")
    if (settings.batch_tokens, settings.micro_batch_tokens) != (default.batch_tokens, default.micro_batch_tokens):
        parts.append(f"batch {settings.batch_tokens}/{settings.micro_batch_tokens}")
    if settings.flash_attention != default.flash_attention:
        parts.append(f"flash attention {settings.flash_attention}")
    if settings.gpu_layers != default.gpu_layers:
        parts.append(f"{settings.gpu_layers} layers on the GPU")
    if not settings.memory_map:
        parts.append("file read, not mapped")
    return ", ".join(parts)
