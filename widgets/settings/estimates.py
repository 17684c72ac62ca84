"""Costs and estimates on the Settings page: what nobody measures, and making stored figures with it. Main thread; the
file is read and written on threads of the bridge.
"""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from engines.protocol.messages import Device
from engines.protocol.problems import advice_of
from widgets.background.recomputing import Recomputing
from widgets.parts.components import UnitLineEdit, label, push_button, set_look
from widgets.parts.layout import flush_row
from widgets.settings.rows import Rows
from widgets.shell.services import Services
from workbench import settings
from workbench.metrics.assumptions import Assumptions
from workbench.units import counted

_TERA = 1e12
_FIELD, _CURRENCY = 220, 96
_PEAK = "peak_flops"


class EstimatesGroup(QWidget):
    """A field a setting; empty is not set. A change is stored when the field is left or Enter is pressed."""

    def __init__(self, services: Services, recomputing: Recomputing, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._recomputing = recomputing
        self._path = settings.settings_path(services.places)
        self._set = Assumptions()
        self._stale = False
        """Something was changed here and stored trials were not made again since."""
        self._ended = 0
        self._saving = 0
        self._start_when_saved = False
        self.fields: dict[str, UnitLineEdit] = {}
        """By name of the setting, "peak_flops.DEVICE" for a device's own."""
        theme = services.theme
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(label("Costs and estimates", role="panel_title"))
        self.about = label(
            "What no sensor measures. Every figure that rests on one of these is an estimate and is marked as one; "
            "measured figures never use them.",
            tone="secondary",
            wrap=True,
        )
        column.addWidget(self.about)
        self.problem = label("", tone="error", wrap=True, selectable=True)
        self.problem.hide()
        column.addWidget(self.problem)
        self._rows = Rows(theme)
        column.addWidget(self._rows)
        self._devices: tuple[str, ...] = ()
        self._build()
        self.stored = label("", tone="secondary", wrap=True)
        self.recompute = push_button("", self._recompute)
        self._again = QHBoxLayout()
        self._again.addWidget(self.stored, 1)
        self._again.addWidget(self.recompute, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(self._again)
        self._column = column
        theme.follow(self._restyle)
        recomputing.changed.connect(self._show_stored)
        recomputing.finished.connect(self._recomputed)
        services.bridge.probe_finished.connect(self._probed)
        if services.bridge.probe is not None:
            self._probed(services.bridge.probe)
        self._show_stored()

    def _restyle(self) -> None:
        px = self._services.theme.px
        self._column.setSpacing(px(12))
        self._again.setSpacing(px(16))
        for name, field in self.fields.items():
            field.setFixedWidth(px(_CURRENCY if name == "currency" else _FIELD))

    def _build(self) -> None:
        for setting in settings.SETTINGS:
            if setting.name == "currency":
                continue
            if setting.name == "price_per_kwh":
                field = self._field("price_per_kwh", setting.title, setting.suffix or setting.unit)
                currency = self._field("currency", "Currency", "")
                self._rows.add(setting.title, _side_by_side(field, currency), setting.help)
            elif setting.name == _PEAK:
                field = self._field(_PEAK, "Peak compute of any device", "TFLOP/s")
                note = (
                    "For model FLOPs utilisation: the dense peak of the data sheet, in the precision that is used. It "
                    "holds for every device and precision without a peak of its own."
                )
                self._rows.add(setting.title, _side_by_side(field), note)
            else:
                self._rows.add(
                    setting.title,
                    _side_by_side(self._field(setting.name, setting.title, setting.suffix or setting.unit)),
                    setting.help,
                )

    def _field(self, name: str, title: str, unit: str) -> UnitLineEdit:
        field = UnitLineEdit(self._services.theme, unit)
        field.setAccessibleName(title)
        field.setPlaceholderText("not set")
        field.textEdited.connect(partial(self._edited, name))
        field.editingFinished.connect(partial(self._left, name))
        self.fields[name] = field
        return field

    # --- what is set --------------------------------------------------------------------------------

    def activated(self) -> None:
        """The page is shown: a command may have changed the file, trials may have ended."""
        self._services.bridge.run(partial(settings.load, self._path), self._loaded, self._unusable)
        self._count()

    def _loaded(self, found: Assumptions) -> None:
        self._set = found
        self.problem.hide()
        self._add_devices(tuple(n for n, _ in found.device_peaks))
        for name, field in self.fields.items():
            field.setEnabled(True)
            if not field.hasFocus():
                field.setText(shown(found, name))
                field.set_invalid("")

    def _unusable(self, error: BaseException) -> None:
        """The file cannot be read, or not be written: say so where it matters, and change nothing."""
        self.problem.setText(f"{error} {advice_of(error)}".strip())
        self.problem.show()
        for field in self.fields.values():
            field.setEnabled(False)

    def _probed(self, probe: object) -> None:
        devices: tuple[Device, ...] = getattr(probe, "devices", ())
        self._add_devices(tuple(device_name(d) for d in devices))

    def _add_devices(self, names: tuple[str, ...]) -> None:
        """A field for the peak of each device of this computer, and of those that have one."""
        known = {n.casefold() for n in self._devices}
        for name in names:
            if name.casefold() in known:
                continue
            known.add(name.casefold())
            self._devices = (*self._devices, name)
            device, _, precision = name.partition("/")
            note = f"Of {device}{f' in {precision}' if precision else ''} alone."
            field = self._field(f"{_PEAK}.{name}", f"Peak compute of {name}", "TFLOP/s")
            field.setText(shown(self._set, f"{_PEAK}.{name}"))
            self._rows.add("", _side_by_side(field), note)
            self._restyle()

    # --- changes ------------------------------------------------------------------------------------

    def settle(self) -> None:
        """The page is left: what was typed and not yet stored is stored."""
        for name, field in self.fields.items():
            if field.isModified():
                self._left(name)

    def _edited(self, name: str, text: str) -> None:
        """Said while it is typed; stored when the field is left."""
        try:
            changed(self._set, name, text)
        except settings.SettingsError as error:
            self.fields[name].set_invalid(f"{error} {error.advice}".strip())
        else:
            self.fields[name].set_invalid("")

    def _left(self, name: str) -> None:
        """Store it; a text that cannot be used gives way to what is set."""
        field = self.fields[name]
        try:
            wanted = changed(self._set, name, field.text())
        except settings.SettingsError as error:
            field.setText(shown(self._set, name))
            field.set_invalid("")
            self._services.toasts.show("warning", f"{error} It was not changed.", error.advice)
            return
        field.setText(shown(wanted, name))
        if wanted != self._set:
            self._set = wanted
            raw = _raw(name, field.text())
            work = partial(settings.change, self._path, name, raw)
            self._saving += 1
            self._services.bridge.run(work, self._stored, self._not_stored)

    def _stored(self, found: Assumptions) -> None:
        self._saving -= 1
        self._set = found
        self._stale = True
        self._count()
        self._start()

    def _not_stored(self, error: BaseException) -> None:
        self._saving -= 1
        self._start_when_saved = False
        self._unusable(error)

    # --- stored trials ------------------------------------------------------------------------------

    def _count(self) -> None:
        workbench = self._services.workbench
        if workbench is not None:
            self._services.bridge.run(lambda: len(workbench.stored.ended()), self._counted, self._uncounted)

    def _counted(self, count: int) -> None:
        self._ended = count
        self._show_stored()

    def _uncounted(self, _error: BaseException) -> None:
        """The store cannot be asked: other parts of the window say why."""
        self._counted(0)

    def _recompute(self) -> None:
        if self._recomputing.running:
            self._recomputing.stop()
        else:
            self.settle()
            self._start_when_saved = True
            self._start()

    def _start(self) -> None:
        """Not before what was typed is in the file: that is what figures are made with."""
        if self._start_when_saved and not self._saving:
            self._start_when_saved = False
            self._recomputing.start()

    def _recomputed(self, done: int) -> None:
        if done >= self._ended:
            self._stale = False
        self._show_stored()

    def _show_stored(self) -> None:
        count, running = self._ended, self._recomputing
        trials = counted(count, "trials")
        if running.running:
            self.stored.setText(f"Recomputing figures: {running.done:,} of {running.total:,} trials.")
            self.recompute.setText("Stop")
        elif not count:
            self.stored.setText("Trials judged from now on use these values.")
        else:
            keep = "The one that is stored keeps its" if count == 1 else f"The {count:,} stored ones keep their"
            self.stored.setText(f"Trials from now on use these values. {keep} estimates until recomputed.")
            self.recompute.setText(f"Recompute {trials}")
        self.recompute.setVisible(running.running or count > 0)
        set_look(self.stored, tone="" if self._stale else "secondary")


def changed(found: Assumptions, name: str, text: str) -> Assumptions:
    """What is set once a field holds `text`; empty is not set. Raises `workbench.settings.SettingsError`."""
    raw = _raw(name, text)
    return settings.without(found, name) if raw is None else settings.with_value(found, name, raw)


def shown(found: Assumptions, name: str) -> str:
    """The text of a field."""
    device = name.partition(".")[2].casefold()
    peaks = {n.casefold(): v for n, v in found.device_peaks}
    value: object = peaks.get(device) if device else getattr(found, name)
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value / _TERA if name.startswith(_PEAK) else value:.10g}"
    return str(value)


def device_name(device: Device) -> str:
    """As a trial's facts name it: a processor's title also says how many cores it has."""
    return device.title.rpartition(", ")[0] or device.title if device.id == "cpu" else device.title


def _raw(name: str, text: str) -> object:
    """A field's text as `workbench.settings` takes it, None for nothing: peaks are typed in TFLOP/s. Raises
    `workbench.settings.SettingsError`."""
    if not text.strip():
        return None
    if not name.startswith(_PEAK):
        return text
    value = settings.typed(text)
    return value * _TERA if isinstance(value, float) else value


def _side_by_side(*fields: QWidget) -> QWidget:
    """Fields of their own width at the left end."""
    whole = QWidget()
    row = flush_row(whole, 8)
    for field in fields:
        row.addWidget(field)
    row.addStretch(1)
    whole.setFocusProxy(fields[0])
    return whole
