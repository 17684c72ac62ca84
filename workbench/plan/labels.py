"""What distinguishes configurations, in words: {"model": ..., "precision": "int8", "prompt tokens": "128"}. Pure."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence

import msgspec

from engines.catalogue import engines
from engines.catalogue import find as find_engine
from engines.protocol.kinds import KINDS
from engines.protocol.orders import ModelOrder, TechniqueOrder
from engines.protocol.settings import settings_of, show_value
from engines.techniques import axes, find
from engines.techniques.chosen import applied
from engines.techniques.precision_stored import AS_STORED
from workbench.experiment.experiment import KIND
from workbench.store.operations import ConfigurationRow

OF_ENGINE = frozenset(setting.label for engine in engines() for setting in engine.settings)
"""Labels that only rows of one engine have."""


def labels_of(configuration: ConfigurationRow, machine: str = "") -> dict[str, str]:
    """Labels of one configuration from its resolved order; unknown or missing parts are left out. `machine`: the title
    of the one it ran on."""
    try:
        resolved = json.loads(configuration.resolved)
    except ValueError:
        resolved = {}
    if not isinstance(resolved, dict):
        resolved = {}
    labels = {"model": configuration.model}
    stored = str(_part(resolved, "model").get("stored", ""))
    for choice in stored_techniques(resolved):
        labels[axis_label(choice.id.partition(".")[0])] = technique_title(choice.id, choice.parameters, stored)
    workload, engine = _part(resolved, "workload"), _part(resolved, "engine")
    labels |= _of_work(workload)
    if "id" in engine:
        labels["engine"] = str(engine["id"])
    labels |= _of_engine(str(engine.get("id", "")), _part(engine, "settings"))
    if "threads" in engine:
        labels["threads"] = str(engine["threads"]) if engine["threads"] else "chosen on the machine"
    if resolved.get("device"):
        labels["device"] = "CPU" if resolved["device"] == "cpu" else str(resolved["device"])
    if machine:
        labels["machine"] = machine
    return labels


def stored_techniques(resolved: Mapping[str, object]) -> tuple[TechniqueOrder, ...]:
    """The techniques that apply to a stored order. What is damaged is left out."""
    listed = resolved.get("techniques")
    named: list[TechniqueOrder] = []
    for choice in listed if isinstance(listed, list) else []:
        with contextlib.suppress(msgspec.ValidationError):
            named.append(msgspec.convert(choice, TechniqueOrder))
    try:
        model = msgspec.convert(resolved.get("model"), ModelOrder)
    except msgspec.ValidationError:
        return tuple(named)
    return applied(model, named)


def _of_work(workload: Mapping[str, object]) -> dict[str, str]:
    """What is swept, where it is not 0, and texts that are not their defaults."""
    struct = KINDS.get(str(workload.get(KIND.name, KIND.default)))
    labels: dict[str, str] = {}
    for setting in settings_of(struct) if struct is not None else ():
        value = workload.get(setting.name)
        if value and setting.sweep:
            labels[setting.label] = setting.show(value)
        elif value and setting.type == "text" and not setting.is_list and value != setting.default:
            labels[setting.label] = str(value).rpartition("/")[2]
    return labels


def _of_engine(id: str, settings: Mapping[str, object]) -> dict[str, str]:
    """An engine's own settings that are not its defaults, and those it always names."""
    known = find_engine(id)
    if known is None:
        return {}
    return {
        setting.label: f"{value:,}" if type(value) is int else show_value(value)
        for setting in known.settings
        if (value := settings.get(setting.name, setting.default)) != setting.default
        or setting.name in known.named_settings
    }


def technique_title(id: str, parameters: Mapping[str, object], stored: str = "") -> str:
    """Its title with the parameters that differ from their defaults: "int8", "Q4_K_M", "LoRA (rank 8)"; the short id of
    a technique that is not known here. `stored`: what the model's files were quantised in."""
    known = find(id)
    defaults = known.defaults() if known is not None else {}
    different = [f"{k} {v}" for k, v in sorted(parameters.items()) if k not in defaults or defaults[k] != v]
    name = known.title if known is not None else id.partition(".")[2] or id
    if stored and id.startswith("precision."):
        name = f"{name}: {stored}" if id == AS_STORED else f"{name} (dequantised from {stored})"
    return f"{name} ({', '.join(different)})" if different else name


def axis_label(id: str) -> str:
    """An axis as a label is named: "precision", "KV cache"; the id of one that is not known here."""
    title = next((axis.title for axis in axes() if axis.id == id), id)
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def fill_axes(rows: Sequence[dict[str, str]]) -> None:
    """Where some rows name a technique of an axis and others do not, the others get the axis's default."""
    for axis in axes():
        name = axis_label(axis.id)
        if any(name in labels for labels in rows):
            for labels in rows:
                labels.setdefault(name, technique_title(axis.default, {}) if axis.default else "none")


def split(rows: Sequence[Mapping[str, str]]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Which labels differ between rows, and the value of those that do not. Where other engines' rows do not have a
    setting, its value names the engine it holds for: "sdpa (transformers)"."""
    names: list[str] = []
    for labels in rows:
        names += [n for n in labels if n not in names]
    varying = tuple(n for n in names if len({labels.get(n, "") for labels in _concerned(rows, n)}) > 1)
    constant = {n: _held(rows, n) for n in names if n not in varying}
    return varying, constant


def _concerned(rows: Sequence[Mapping[str, str]], name: str) -> list[Mapping[str, str]]:
    """The rows that a label can say something of: all, or those of the engines that have such a setting."""
    engines = {labels.get("engine", "") for labels in rows if name in labels}
    return [labels for labels in rows if name not in OF_ENGINE or labels.get("engine", "") in engines]


def _held(rows: Sequence[Mapping[str, str]], name: str) -> str:
    """The one value of a label, with the engine it holds for where it does not hold for all rows."""
    concerned = _concerned(rows, name)
    value = concerned[0].get(name, "")
    if len(concerned) == len(rows):
        return value
    return f"{value} ({', '.join(dict.fromkeys(r.get('engine', '') for r in concerned))})"


def named_value(label: str, value: str) -> str:
    """ "512 prompt tokens", "batch 4"; words without their label."""
    if not value[:1].isdigit() or not value.replace(",", "").replace(".", "").replace("e-", "").isdigit():
        return value
    settings = (setting for kind in KINDS.values() for setting in settings_of(kind))
    counted = any(s.label == label and s.unit and label.endswith(s.unit) for s in settings)
    return f"{value} {label}" if counted else f"{label} {value}"


def short_title(labels: Mapping[str, str], varying: Sequence[str], fallback: str) -> str:
    """What tells a row from its neighbours: "int8", "bfloat16 · 512 prompt tokens"."""
    named = [(name, labels[name]) for name in varying if labels.get(name)]
    parts = [named_value(name, value) for name, value in named]
    return " · ".join(parts) or fallback


def origins(configurations: Sequence[ConfigurationRow]) -> list[str]:
    """A caution for every model whose weights are not the original ones: quality is that of what was loaded."""
    notes: list[str] = []
    for configuration in configurations:
        try:
            resolved = json.loads(configuration.resolved)
        except ValueError:
            continue
        model = _part(resolved, "model") if isinstance(resolved, dict) else {}
        origin = model.get("origin")
        note = f"{configuration.model}: {origin}; quality is that of these weights, not of the original model."
        if origin and note not in notes:
            notes.append(note)
    return notes


def _part(resolved: Mapping[str, object], key: str) -> dict[str, object]:
    found = resolved.get(key)
    return found if isinstance(found, dict) else {}
