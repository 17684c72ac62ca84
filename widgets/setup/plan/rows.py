"""The plan as a table: columns that tell configurations apart, one row each, counts, and what Run will do. No Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from engines.techniques import axes
from workbench.experiment.experiment import Experiment
from workbench.experiment.problems import Fix, Problem
from workbench.plan.cells import DEFAULT_ENGINE
from workbench.plan.plan import Configuration, MemoryEstimate, Plan
from workbench.units import GIB, format_bytes, format_duration, significant

State = Literal["runs", "left_out", "cannot"]
RANK = {"error": 0, "warning": 1, "note": 2, "": 3}
FILTERS = ("All", "Cannot run", "Warnings", "Notes")
_TIME_TIP = (
    "Measured before, or estimated: good to a factor of three. The first trial of a configuration also writes its "
    "texts and answers its tasks"
)
_SEVERITIES = ("", "error", "warning", "note")


@dataclass(frozen=True)
class Column:
    key: str
    title: str
    right: bool = False
    """Numbers stand at the right."""
    tip: str = ""


@dataclass(frozen=True)
class PlanRow:
    hash: str
    title: str
    cells: dict[str, str]
    sort: dict[str, object]
    state: State
    memory: MemoryEstimate
    problems: tuple[Problem, ...]

    @property
    def severity(self) -> str:
        """Of the worst problem, "" without one."""
        return min((p.severity for p in self.problems), key=RANK.__getitem__, default="")

    @property
    def worst(self) -> Problem | None:
        return min(self.problems, key=lambda p: RANK[p.severity], default=None)

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """Every fix of every problem, each once; none for what was left out already."""
        if self.state == "left_out":
            return ()
        return tuple(dict.fromkeys(fix for p in self.problems for fix in p.fixes if _hashable(fix)))

    @property
    def problem_short(self) -> str:
        """The worst problem; how many more where no fixes need the room: "Quality is not measured. +1"."""
        worst = self.worst
        if worst is None:
            return ""
        more = len(self.problems) - 1
        return f"{worst.message} +{more}" if more and not self.fixes else worst.message

    @property
    def problem_text(self) -> str:
        worst = self.worst
        if worst is None:
            return ""
        more = len(self.problems) - 1
        return f"{worst.message} And {more} more." if more else worst.message


@dataclass(frozen=True)
class PlanView:
    """`problems` are those of the experiment as a whole."""

    columns: tuple[Column, ...] = ()
    rows: tuple[PlanRow, ...] = ()
    problems: tuple[Problem, ...] = ()
    count: str = ""
    by_filter: tuple[int, ...] = (0, 0, 0, 0)
    trials: int = 0
    run_text: str = "Run"
    run_time: str = ""
    left_out: str = ""
    left_out_why: str = ""
    reason: str = ""
    """Why nothing can be run, "" where something can."""


def plan_view(plan: Plan) -> PlanView:
    """Everything the plan panel and the Run bar show."""
    columns = _columns(plan)
    trials = Counter(hash for _, hash in plan.order)
    rows = tuple(_row(c, columns, trials[c.hash], c.hash in plan.skipped, plan.experiment) for c in plan.configurations)
    total, blocks = len(rows), plan.experiment.run.trials
    count = f"{total} configuration{'' if total == 1 else 's'} × {blocks} trial{'' if blocks == 1 else 's'}"
    left, why = _left_out(rows)
    unknown = any(r.state == "runs" and not r.sort["time"] for r in rows)
    return PlanView(
        columns=columns,
        rows=rows,
        problems=tuple(p for p in plan.problems if not (p.message.startswith("No model is chosen"))),
        count=count if total else "",
        by_filter=tuple(len(filtered(rows, index)) for index in range(len(FILTERS))),
        trials=plan.trials,
        run_text=f"Run {plan.trials} trial{'' if plan.trials == 1 else 's'}" if plan.trials else "Run",
        run_time=_about(plan.expected_s, unknown) if plan.trials else "",
        left_out=left,
        left_out_why=why,
        reason=_reason(plan),
    )


def filtered(rows: Sequence[PlanRow], index: int) -> tuple[PlanRow, ...]:
    """The rows of one of `FILTERS`: those with a problem of that kind."""
    wanted = _SEVERITIES[index]
    return tuple(r for r in rows if not wanted or any(p.severity == wanted for p in r.problems))


def sorted_rows(rows: Sequence[PlanRow], key: str, descending: bool) -> tuple[PlanRow, ...]:
    """By a column; rows that are equal there keep the experiment's order."""
    if key not in (rows[0].sort if rows else {}):
        return tuple(rows)
    return tuple(sorted(rows, key=lambda r: r.sort[key], reverse=descending))  # type: ignore[arg-type, return-value]


def needs_text(memory: MemoryEstimate) -> tuple[str, str]:
    """("21.8", " / 19.6 GiB"): what is needed and what is free, in the device's unit."""
    if not memory.weights:
        return "unknown", f" / {format_bytes(memory.device_free)}"
    if memory.device_total >= GIB:
        return significant(memory.needed / GIB), f" / {memory.device_free / GIB:.1f} GiB"
    return format_bytes(memory.needed), f" / {format_bytes(memory.device_free)}"


def memory_sentence(memory: MemoryEstimate) -> str:
    """The memory bar in words: its parts and the device. For tooltips and screen readers."""
    if not memory.weights:
        return f"What it needs is not known before it is downloaded; {format_bytes(memory.device_free)} are free."
    parts = [f"{name} {format_bytes(size)}" for name, size in memory.parts.items()]
    where = f"{format_bytes(memory.device_free)} free of {format_bytes(memory.device_total)}"
    return f"Estimated {format_bytes(memory.needed)}: {', '.join(parts)}; {where}."


def _columns(plan: Plan) -> tuple[Column, ...]:
    cells = plan.configurations
    columns = [Column("check", ""), Column("model", "Model")]
    named = {c.id.partition(".")[0] for c in plan.experiment.techniques}
    for index, axis in enumerate(axes()):
        varies = len({c.technique_title(axis.id) for c in cells}) > 1
        if index == 0 or varies or axis.id in named:
            columns.append(Column(f"technique:{axis.id}", axis.title))
    if plan.experiment.engine.id != "auto" or {c.engine.id for c in cells} - {DEFAULT_ENGINE}:
        columns.append(Column("engine", "Engine"))
    columns += [Column(s.name, s.short or s.title, right=True) for s in plan.experiment.workload.swept]
    if len({c.device for c in cells}) > 1:
        columns.append(Column("machine", "Machine"))
    columns += [
        Column("memory", "Memory", tip="Estimated need against the whole device; the tick is what is free now"),
        Column("needs", "Needs / free", tip="Estimated"),
        Column("time", "Time per trial", right=True, tip=_TIME_TIP),
        Column("trials", "Trials", right=True),
        Column("problems", "Problems and fixes"),
    ]
    return tuple(columns)


def _row(
    cell: Configuration, columns: tuple[Column, ...], trials: int, skipped: bool, experiment: Experiment
) -> PlanRow:
    state: State = "left_out" if skipped else "runs" if cell.runnable else "cannot"
    problems = tuple(sorted(cell.problems, key=lambda p: RANK[p.severity]))
    device = "this computer" if cell.device == "cpu" else "GPU"
    if len(experiment.run.machines) > 1:
        device = "CPU" if cell.device == "cpu" else f"GPU {cell.device.rpartition('-')[2][:6]}"
    needed, free = needs_text(cell.memory)
    time_text = {"left_out": "left out", "cannot": "not run"}.get(state, "")
    values: dict[str, tuple[str, object]] = {
        "check": ("", {"runs": 0, "cannot": 1, "left_out": 2}[state]),
        "model": (cell.model.title, cell.model.title.lower()),
        "engine": (cell.engine.id, cell.engine.id),
        "machine": (device, device),
        "memory": ("", cell.memory.needed),
        "needs": (f"{needed}{free}", cell.memory.needed),
        "time": (time_text or cell.time_text, cell.expected_s + cell.once_s),
        "trials": (str(trials), trials),
    }
    for setting in experiment.workload.swept:
        value = getattr(cell.workload, setting.name)
        values[setting.name] = (setting.show(value), value)
    for column in columns:
        if column.key.startswith("technique:"):
            title = cell.technique_title(column.key.partition(":")[2])
            values[column.key] = (title, title)
    rank = min((RANK[p.severity] for p in problems), default=3)
    values["problems"] = ("", rank)
    row = PlanRow(
        hash=cell.hash,
        title=cell.title,
        cells={key: text for key, (text, _) in values.items()},
        sort={key: value for key, (_, value) in values.items()},
        state=state,
        memory=cell.memory,
        problems=problems,
    )
    row.cells["problems"] = row.problem_text
    row.cells["memory"] = memory_sentence(cell.memory)
    return row


def _left_out(rows: Sequence[PlanRow]) -> tuple[str, str]:
    out = [r for r in rows if r.state != "runs"]
    if not out:
        return "", ""
    text = f"{len(out)} of {len(rows)} configurations left out"
    cannot = [r for r in out if r.state == "cannot"]
    if not cannot:
        return text, "by you"
    large = sum(r.worst is not None and r.worst.message.endswith("too large.") for r in cannot)
    if large == len(cannot):
        why = "does not fit in memory" if large == 1 else f"{large} do not fit in memory"
    else:
        why = "1 cannot run" if len(cannot) == 1 else f"{len(cannot)} cannot run"
    return text, why


def _reason(plan: Plan) -> str:
    if not plan.identified:
        return "The models' files are being read: see the notes above."
    if plan.trials:
        return ""
    if not plan.experiment.models:
        return "Choose a model first."
    errors = [p for p in plan.problems if p.severity == "error"]
    return errors[0].message if errors else "There is nothing to run."


def _about(seconds: float, unknown: bool) -> str:
    if seconds <= 0:
        return "time unknown"
    coarse = seconds if seconds < 100 else 60 * round(seconds / 60)
    return f"{'over' if unknown else 'about'} {format_duration(max(1, round(coarse)))}"


def _hashable(fix: Fix) -> bool:
    """Fixes are compared by value; one whose value is a list cannot be, and no configuration's fix has one."""
    return not isinstance(fix.value, (list, dict))
