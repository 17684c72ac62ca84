"""`llm-workbench settings`: what nobody measures and the user sets. Windows use the same file."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields

from engines.protocol.places import places
from workbench.cli import OK
from workbench.cli.tables import print_table
from workbench.metrics.assumptions import Assumptions
from workbench.settings import SETTINGS, SettingsError, load, save, settings_path, with_value, without


def settings(options: argparse.Namespace) -> int:
    """Show what is set; with --set or --unset change it first. Either all changes are made, or none. Raises
    `SettingsError`."""
    path = settings_path(places())
    found = before = load(path)
    for text in options.set or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"--set {text} has no value.", "Write --set name=value.")
        found = with_value(found, name.strip(), value.strip())
    for name in options.unset or ():
        found = without(found, name.strip())
    if found != before:
        save(path, found)
    if options.json:
        values: dict[str, object] = {f.name: getattr(found, f.name) for f in fields(found)}
        values["device_peaks"] = dict(found.device_peaks)
        print(json.dumps({"file": str(path), "changed": found != before, "settings": values}, indent=2))
        return OK
    _print(found)
    print(f"\nFigures that rest on these are estimates and say so. Kept in {path}")
    if found != before:
        print("Trials that are judged from now on use them; `llm-workbench recompute` makes the stored ones again.")
    return OK


def _print(found: Assumptions) -> None:
    rows: list[tuple[str, str, str]] = []
    for setting in SETTINGS:
        value = getattr(found, setting.name)
        unit = setting.suffix or setting.unit
        unit = f"{found.currency} {unit}" if setting.name == "price_per_kwh" else unit
        rows.append((setting.name, "not set" if value is None else f"{shown(value)} {unit}".strip(), setting.help))
    rows += [(f"peak_flops.{device}", f"{shown(peak)} FLOP/s", "") for device, peak in found.device_peaks]
    print_table(("setting", "value", "what rests on it"), rows)


def shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
