"""The plan's columns by kind of work, what each shows of a configuration, and which share a row. No Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from engines.protocol.work import tag_of
from widgets.setup.techniques.rows import axes_for, of_kind
from workbench.experiment.experiment import Experiment
from workbench.machines.machine import THIS
from workbench.plan.cells import DEFAULT_ENGINE
from workbench.plan.plan import Configuration, MemoryEstimate, Plan
from workbench.units import GIB, format_bytes, significant

FOLDED = "learning_rate"
"""The sweep whose values share a row: it decides neither memory nor time."""
_LONGEST = 2
"""Devices that a memory bar shows at the most."""
_TIME_TIP = (
    "From earlier trials here where there are any, else estimated; each row's tooltip says which. The first trial of "
    "a configuration also writes its texts and answers its tasks"
)
_MEMORY_TIP = "Estimated need against the whole device; the tick is what is free now"


@dataclass(frozen=True)
class Column:
    key: str
    title: str
    right: bool = False
    """Numbers stand at the right."""
    tip: str = ""


def columns_of(plan: Plan) -> tuple[Column, ...]:
    """What tells configurations apart first, then what each needs."""
    cells, load = plan.configurations, plan.experiment.workload
    trains = load.trains
    columns = list[Column]()
    named = {c.id.partition(".")[0] for c in plan.experiment.techniques}
    kinds = dict.fromkeys((load.kind, *(tag_of(type(c.workload)) for c in cells)))  # a model may be trained first
    for index, axis in enumerate(dict.fromkeys(axis for kind in kinds for axis in axes_for(kind))):
        titles = {c.technique_title(axis.id) for c in cells}
        if (index == 0 and any(titles)) or len(titles) > 1 or axis.id in named:
            columns.append(Column(f"technique:{axis.id}", "Method" if of_kind(axis) else axis.title))
    if not trains or not columns or len({c.model.ref for c in cells}) > 1:
        columns.insert(0, Column("model", "Model"))
    columns.insert(0, Column("check", ""))
    if plan.experiment.engine.id != "auto" or {c.engine.id for c in cells} - {DEFAULT_ENGINE}:
        columns.append(Column("engine", "Engine"))
    columns += [Column(s.name, s.short or s.title, right=True) for s in load.swept if s.name != FOLDED]
    if len({(c.machine, c.device) for c in cells}) > 1:
        columns.append(Column("machine", "Machine"))
    if trains:
        columns += [
            Column("trainable", "Trainable", right=True, tip="Parameters that training changes"),
            Column("share", "Share", right=True, tip="Of the model's parameters"),
        ]
    columns += [
        Column("memory", "Peak memory" if trains else "Memory", tip=_MEMORY_TIP),
        Column("needs", "Needs / free", tip="Estimated"),
        Column("time", "Time per trial", right=True, tip=_TIME_TIP),
        Column("trials", "Trials", right=True),
        Column("problems", "Problems and fixes"),
    ]
    return tuple(columns)


def values_of(
    cell: Configuration, columns: Sequence[Column], experiment: Experiment, titles: Mapping[str, str]
) -> dict[str, tuple[str, object]]:
    """By column what is shown and what is sorted by. `titles`: names of other machines."""
    device = _where(cell, experiment, titles)
    needed, free = needs_text(cell.memory)
    trained, share = cell.memory.trained_parameters, cell.memory.trained_share
    values: dict[str, tuple[str, object]] = {
        "model": (cell.model.title, cell.model.title.lower()),
        "engine": (cell.engine.id, cell.engine.id),
        "machine": (device, device),
        "memory": ("", cell.memory.needed),
        "needs": (f"{needed}{free}", cell.memory.needed),
        "time": (cell.time_text, cell.expected_s + cell.once_s),
        "trainable": (count_text(trained) if trained else "not known", trained),
        "share": (share_text(share) if share is not None else "—", share or 0.0),
    }
    for setting in experiment.workload.swept:
        if hasattr(cell.workload, setting.name):
            value = getattr(cell.workload, setting.name)
            values[setting.name] = (setting.show(value), value)
        else:  # training before inference has other settings
            values[setting.name] = ("—", experiment.workload.values(setting.name)[0])
    for column in columns:
        if column.key.startswith("technique:"):
            title = cell.technique_title(column.key.partition(":")[2])
            values[column.key] = (title, title)
    return values


def _where(cell: Configuration, experiment: Experiment, titles: Mapping[str, str]) -> str:
    """The device, or the machine, or both: what tells the plan's rows apart."""
    hosts = [name.partition("/")[0] for name in experiment.run.machines]
    machine = "this computer" if cell.machine == THIS else titles.get(cell.machine, cell.machine)
    device = "CPU" if cell.device == "cpu" else f"GPU {cell.device.rpartition('-')[2][:6]}"
    if len(set(hosts)) > 1:
        return f"{machine}, {device}" if hosts.count(cell.machine) > 1 else machine
    if len(hosts) > 1:
        return device
    return machine if cell.device == "cpu" or cell.machine != THIS else "GPU"


def folded(plan: Plan) -> list[tuple[Configuration, ...]]:
    """Configurations that share a row, in the plan's order."""
    rows: dict[str, list[Configuration]] = {}
    sweeps = FOLDED in plan.experiment.workload.sweeps
    for cell in plan.configurations:
        key = cell.hash
        if sweeps:
            load = msgspec.structs.replace(cell.workload, **{FOLDED: 0.0})
            key = repr((cell.model.ref, cell.techniques, load, cell.engine, cell.machine, cell.device))
        rows.setdefault(key, []).append(cell)
    return [tuple(cells) for cells in rows.values()]


def scales_of(plan: Plan) -> dict[tuple[str, str], int]:
    """By machine and device what the width of its memory bars stands for: the device, or the row that needs most."""
    scales: dict[tuple[str, str], int] = {}
    for cell in plan.configurations:
        total, place = cell.memory.device_total, (cell.machine, cell.device)
        scales[place] = max(scales.get(place, total), min(cell.memory.needed, _LONGEST * total))
    return scales


def trials_text(of_each: Sequence[int]) -> str:
    """ "5", or of a folded row "4 × 5 = 20": rates and seeds."""
    runs = [count for count in of_each if count]
    if len(of_each) == 1 or not runs:
        return str(sum(of_each))
    return f"{len(runs)} × {runs[0]} = {sum(of_each):,}"


def count_text(number: int) -> str:
    """ "18.1 M", "1.71 B"."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{significant(number / size)} {unit}"
    return f"{number:,}"


def share_text(share: float) -> str:
    """ "1.1 %", "100 %", "under 0.01 %"."""
    if share < 1e-4:
        return "under 0.01 %"
    return f"{100 * share:.3g} %" if share < 0.1 else f"{100 * share:.1f}".removesuffix(".0") + " %"


def needs_text(memory: MemoryEstimate) -> tuple[str, str]:
    """("21.8", " / 19.6 GiB"): what is needed and what is free, in the device's unit."""
    if not memory.weights:
        return "unknown", f" / {format_bytes(memory.device_free)}"
    if memory.device_total >= GIB:
        return significant(memory.needed / GIB), f" / {memory.device_free / GIB:.1f} GiB"
    return format_bytes(memory.needed), f" / {format_bytes(memory.device_free)}"


def memory_sentence(memory: MemoryEstimate) -> str:
    """The memory bar in words: its parts, its range and the device. For tooltips and screen readers."""
    if not memory.weights:
        return f"What it needs is not known before it is downloaded; {format_bytes(memory.device_free)} are free."
    parts = [f"{name} {format_bytes(size)}" for name, size in memory.parts.items()]
    where = f"{format_bytes(memory.device_free)} free of {format_bytes(memory.device_total)}"
    expected = f" Expected: {memory.range_text}." if memory.range_text else ""
    return f"Estimated {format_bytes(memory.needed)}: {', '.join(parts)}; {where}.{expected}"
