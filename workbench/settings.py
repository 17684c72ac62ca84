"""The user's settings: `settings.toml` in the configuration folder, which windows and commands share. Any thread.

What only a window remembers (sizes, columns) is not here but in its own file. Reading and writing block shortly.

It holds what nobody measures (`workbench.metrics.assumptions`), because whoever judges a trial needs it.
"""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import tomli_w

from engines.protocol.file_errors import what_happened, what_to_do
from engines.protocol.places import Places
from engines.protocol.private import replace_private
from engines.protocol.problems import Advised
from engines.protocol.settings import Setting, did_you_mean, shown
from workbench.metrics.assumptions import Assumptions
from workbench.typed_numbers import NotANumber, parse_number

FILE = "settings.toml"
TABLE = "assumptions"
PEAKS = "peak_flops_of"
"""Table of peaks by device: `"NVIDIA H200" = 9.89e14`, `"NVIDIA H200/bfloat16" = 9.89e14`."""


_PEAK = Setting(
    "peak_flops",
    "Peak compute",
    type="float",
    minimum=1e6,
    maximum=1e21,
    unit="FLOP/s",
    example="9.89e14",
    help="Model FLOPs utilisation. The dense peak of the data sheet: of any device and precision, or of one device "
    "(peak_flops.NAME), or of one precision of it (peak_flops.NAME/bfloat16).",
)
SETTINGS = (
    Setting(
        "watts_per_core",
        "Power of a busy core",
        type="float",
        minimum=0.01,
        maximum=1000,
        unit="W",
        example="8.5",
        help="Energy of trials on the processor, estimated from processor time where no sensor measures power.",
    ),
    Setting(
        "price_per_kwh",
        "Price of electricity",
        type="float",
        minimum=0,
        maximum=1e6,
        unit="currency per kWh",
        suffix="per kWh",
        example="0.30",
        help="Electricity per million tokens, of the device alone.",
    ),
    Setting(
        "currency",
        "Currency",
        maximum=8,
        pattern=r"[^\s\d]{1,8}",
        pattern_text="a code or a sign such as EUR",
        example='"EUR"',
        help="The currency of the price.",
    ),
    Setting(
        "carbon_grams_per_kwh",
        "CO2e of the grid",
        type="float",
        minimum=0,
        maximum=10_000,
        unit="g of CO2e per kWh",
        suffix="g per kWh",
        example="380",
        help="CO2e per million tokens, of the device's operation alone.",
    ),
    _PEAK,
)
"""What each may hold; `help` says what rests on it."""
_CHANGING = threading.Lock()
_BY_NAME = {s.name: s for s in SETTINGS}


class SettingsError(Advised, ValueError):
    """What is wrong with a setting or with the file. The file was left as it is."""


def settings_path(places: Places) -> Path:
    return places.config / FILE


def load(path: Path) -> Assumptions:
    """What is set; nothing where there is no file. Raises `SettingsError` for a file that cannot be used."""
    table = _document(path).get(TABLE, {})
    if not isinstance(table, dict):
        raise SettingsError(
            f"{path}: {TABLE} is a table, not {shown(table)}.", f"Write [{TABLE}] on a line of its own."
        )
    found = Assumptions()
    for name, raw in table.items():
        try:
            if name == PEAKS and isinstance(raw, dict):
                for device, peak in raw.items():
                    found = with_value(found, f"peak_flops.{device}", peak)
            else:
                found = with_value(found, name, raw)
        except SettingsError as error:
            raise SettingsError(f"{path}, {TABLE}.{name}: {error}", error.advice) from error
    return found


def save(path: Path, assumptions: Assumptions) -> None:
    """Write the file in one step; other tables in it stay. Raises `SettingsError`."""
    document = _document(path)
    table: dict[str, object] = {}
    for setting in SETTINGS:
        value = getattr(assumptions, setting.name)
        if value is not None:
            table[setting.name] = value
    if assumptions.device_peaks:
        table[PEAKS] = dict(assumptions.device_peaks)
    document[TABLE] = table
    try:
        replace_private(path, tomli_w.dumps(document).encode())
    except OSError as error:
        raise SettingsError(
            f"The settings cannot be written to {path}. {what_happened(error, path.parent)}",
            f"What was set before still holds. {what_to_do(error, path.parent)}",
        ) from error


def change(path: Path, name: str, raw: object) -> Assumptions:
    """Set one in the file, or forget it (None), whatever else was changed in it meanwhile. -> what is set now.
    Raises `SettingsError`."""
    with _CHANGING:
        found = load(path)
        wanted = without(found, name) if raw is None else with_value(found, name, raw)
        if wanted != found:
            save(path, wanted)
        return wanted


def with_value(assumptions: Assumptions, name: str, raw: object) -> Assumptions:
    """The assumptions with one of them set. `raw` is a value of a file, or text as a person types it ("0.30", "0,30").

    `name` is one of `SETTINGS`, or "peak_flops.DEVICE". Raises `SettingsError`."""
    device = _device_of(name)
    if not device and name not in _BY_NAME:
        raise SettingsError(f"There is no setting {shown(name)}.", did_you_mean(name, tuple(_BY_NAME)))
    key = _PEAK if device else _BY_NAME[name]
    if key.type == "float" and isinstance(raw, str):
        raw = typed(raw)
    value, wrong, hint = key.check(raw)
    if wrong:
        raise SettingsError(wrong, hint)
    if not device:
        return replace(assumptions, **{name: value})  # type: ignore[arg-type]  # checked against the field's key
    assert isinstance(value, float)
    others = without(assumptions, name).device_peaks
    return replace(assumptions, device_peaks=tuple(sorted((*others, (device, value)))))


def without(assumptions: Assumptions, name: str) -> Assumptions:
    """The assumptions with one of them as it was before anything was set. Raises `SettingsError`."""
    if device := _device_of(name):
        kept = tuple(p for p in assumptions.device_peaks if p[0].casefold() != device.casefold())
        return replace(assumptions, device_peaks=kept)
    if name not in _BY_NAME:
        raise SettingsError(f"There is no setting {shown(name)}.", did_you_mean(name, tuple(_BY_NAME)))
    return replace(assumptions, **{name: getattr(Assumptions(), name)})


def _device_of(name: str) -> str:
    """ "NVIDIA H200" of "peak_flops.NVIDIA H200", "" of any other name."""
    return name.removeprefix(f"{_PEAK.name}.").strip() if name.startswith(f"{_PEAK.name}.") else ""


def typed(text: str) -> object:
    """A number as a person types it; the text where it is none. Raises `SettingsError` where it may be two."""
    try:
        return parse_number(text)
    except NotANumber as error:
        if error.readings:
            raise SettingsError(str(error)) from error
        return text


def _document(path: Path) -> dict[str, object]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        document: Mapping[str, object] = tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(
            f"The settings in {path} cannot be read: {error.strerror or error}.", "Check who may read the file."
        ) from error
    except ValueError as error:  # not UTF-8, not TOML
        raise SettingsError(
            f"The settings in {path} are not TOML: {error}.", "Mend the file, or delete it to start over."
        ) from error
    return dict(document)
