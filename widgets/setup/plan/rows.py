"""The plan as rows with their problems, counts, and what Run will do. No Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import msgspec

from engines.protocol.problems import Fix, Problem
from widgets.setup.plan.columns import (
    FOLDED,
    Column,
    columns_of,
    folded,
    memory_sentence,
    scales_of,
    trials_text,
    values_of,
)
from workbench.plan.plan import Configuration, MemoryEstimate, Plan
from workbench.units import counted, format_duration

State = Literal["runs", "left_out", "cannot"]
RANK = {"error": 0, "warning": 1, "note": 2, "": 3}
FILTERS = ("All", "Cannot run", "Warnings", "Notes")
_SAID_ELSEWHERE = ("no_model", "seeds")
"""Keys of problems shown in the plan's place and beside Run."""
_OF_DATA = "workload.data"
"""Place of notes that the Data panel shows: which rows are left out."""
_SEVERITIES = ("", "error", "warning", "note")


@dataclass(frozen=True)
class PlanRow:
    """One configuration, or several that only differ in their learning rates."""

    hash: str
    """Of the first."""
    title: str
    cells: dict[str, str]
    sort: dict[str, object]
    state: State
    memory: MemoryEstimate
    problems: tuple[Problem, ...]
    hashes: tuple[str, ...] = ()
    """Of all."""
    scale: int = 0
    """Bytes that the memory bar's whole width stands for."""
    time_source: str = ""
    """Where its time comes from, "" where that is not known."""
    model_aside: str = ""
    """What the model's title ends with in brackets."""

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
class Seeing:
    """What will not show with the seeds that are planned."""

    text: str = ""
    offer: str = ""
    """ "9 show 0.5 %", which sets `seeds`; "" for none."""
    seeds: int = 0


NOT_SAID = Seeing()


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
    seeing: Seeing = NOT_SAID


_NONE: Mapping[str, str] = MappingProxyType({})


def plan_view(plan: Plan, titles: Mapping[str, str] = _NONE) -> PlanView:
    """Everything the plan panel and the Run bar show, but for what will not show. `titles`: names of other machines."""
    columns = columns_of(plan)
    trials = Counter(hash for _, hash in plan.order)
    scales = scales_of(plan)
    rows = tuple(
        _row(cells, columns, trials, plan, scales[cells[0].machine, cells[0].device], titles) for cells in folded(plan)
    )
    total = len(rows)
    left, why = _left_out(rows)
    unknown = any(r.state == "runs" and not r.sort["time"] for r in rows)
    return PlanView(
        columns=columns,
        rows=rows,
        problems=tuple(p for p in plan.problems if not _is_elsewhere(p)),
        count=_count(plan, total) if total else "",
        by_filter=tuple(len(filtered(rows, index)) for index in range(len(FILTERS))),
        trials=plan.trials,
        run_text=f"Run {counted(plan.trials, 'trials')}" if plan.trials else "Run",
        run_time=_run_time(plan, unknown) if plan.trials else "",
        left_out=left,
        left_out_why=why,
        reason=_reason(plan),
    )


def _is_elsewhere(problem: Problem) -> bool:
    of_data = problem.severity == "note" and problem.place == _OF_DATA
    return of_data or problem.key in _SAID_ELSEWHERE


def _run_time(plan: Plan, unknown: bool) -> str:
    """ "8 h 50 min ± 45 min" where every configuration has run before, else "about 8 h 50 min"."""
    runs = {hash for _, hash in plan.order}
    if all(c.time_is_own and c.time_trials > 1 for c in plan.configurations if c.hash in runs):
        return f"{format_duration(plan.expected_s)} ± {format_duration(plan.high_s - plan.expected_s)}"
    return _about(plan.expected_s, unknown)


def filtered(rows: Sequence[PlanRow], index: int) -> tuple[PlanRow, ...]:
    """The rows of one of `FILTERS`: those with a problem of that kind."""
    wanted = _SEVERITIES[index]
    return tuple(r for r in rows if not wanted or any(p.severity == wanted for p in r.problems))


def sorted_rows(rows: Sequence[PlanRow], key: str, descending: bool) -> tuple[PlanRow, ...]:
    """By a column; rows that are equal there keep the experiment's order."""
    if key not in (rows[0].sort if rows else {}):
        return tuple(rows)
    return tuple(sorted(rows, key=lambda r: r.sort[key], reverse=descending))  # type: ignore[arg-type, return-value]


def _count(plan: Plan, rows: int) -> str:
    """ "24 configurations × 3 trials", "8 methods × 4 rates × 5 seeds"."""
    blocks, swept = plan.experiment.run.trials, len(plan.experiment.workload.sweeps.get(FOLDED, ()))
    if not plan.experiment.workload.trains:
        return f"{counted(rows, 'configurations')} × {counted(blocks, 'trials')}"
    rates = [counted(swept, "rates")] if swept else []
    return " × ".join((counted(rows, "configurations"), *rates, counted(blocks, "seeds")))


def _row(
    cells: Sequence[Configuration],
    columns: tuple[Column, ...],
    trials: Counter[str],
    plan: Plan,
    scale: int,
    titles: Mapping[str, str],
) -> PlanRow:
    cell = cells[0]
    out = [c.hash in plan.skipped for c in cells]
    state: State = "left_out" if all(out) else "runs" if any(c.runnable for c in cells) else "cannot"
    found: list[Problem] = []
    for problem in (p for c in cells for p in _placed(c, cell)):
        if problem not in found:
            found.append(problem)
    problems = tuple(sorted(found, key=lambda p: RANK[p.severity]))
    values = values_of(cell, columns, plan.experiment, titles)
    of_each = [trials[c.hash] for c in cells]
    values["check"] = ("", {"runs": 0, "cannot": 1, "left_out": 2}[state])
    values["trials"] = (trials_text(of_each), sum(of_each))
    values["problems"] = ("", min((RANK[p.severity] for p in problems), default=3))
    if state != "runs":
        values["time"] = ("left out" if state == "left_out" else "not run", values["time"][1])
    row = PlanRow(
        hash=cell.hash,
        title=cell.title,
        cells={key: text for key, (text, _) in values.items()},
        sort={key: value for key, (_, value) in values.items()},
        state=state,
        memory=cell.memory,
        problems=problems,
        hashes=tuple(c.hash for c in cells),
        scale=scale,
        time_source=cell.time_source if cell.expected_s else "",
        model_aside=cell.model.aside,
    )
    row.cells["problems"] = row.problem_text
    row.cells["memory"] = memory_sentence(cell.memory)
    return row


def _placed(cell: Configuration, first: Configuration) -> tuple[Problem, ...]:
    """Its problems as those of the row's first configuration: what all have is said once."""
    return tuple(msgspec.structs.replace(p, place=first.title) if p.place == cell.title else p for p in cell.problems)


def _left_out(rows: Sequence[PlanRow]) -> tuple[str, str]:
    out = [r for r in rows if r.state != "runs"]
    if not out:
        return "", ""
    text = f"{len(out)} of {len(rows)} configurations left out"
    cannot = [r for r in out if r.state == "cannot"]
    if not cannot:
        return text, "by you"
    large = sum(r.worst is not None and r.worst.key == "memory" for r in cannot)
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


def fix_text(fix: Fix) -> str:
    """ "Batch 1 × 16: saves 4.1 GiB, about 1.2× slower; same effective batch"."""
    return f"{fix.label}: {fix.note}" if fix.note else fix.label


def _hashable(fix: Fix) -> bool:
    """Fixes are compared by value; one whose value is a list cannot be, and no configuration's fix has one."""
    return not isinstance(fix.value, (list, dict))
