"""What was different about where and how trials ran: two trials, two configurations, or one experiment in itself.

Pure: from the facts that are stored with every trial to lines that a table, a command and a note show alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from workbench.machines.environment_facts import GROUPS, ORDER, Nature, fact_kind, fact_text
from workbench.plan.labels import stored_techniques, technique_title
from workbench.store.operations import ExperimentDetail, TrialRow
from workbench.units import format_numbers

Facts = Mapping[str, str]

NOT_RECORDED = "not recorded"
_SHOWN = 3
"""A side's values that are written out; beyond them their range or their number."""
_AROUND = 12
"""Characters before the first difference that are kept of two long texts."""
_NOT_WHAT_IS_RUN = frozenset(
    {"trial", "experiment", "experiment_title", "store", "configuration", "title", "color", "total", "position"}
    | {"block", "seed", "expected_s", "expected_bytes", "expected_by", "identity"}
)


@dataclass(frozen=True)
class Side:
    """One trial, or several that are looked at together."""

    title: str
    trials: tuple[TrialRow, ...]
    facts: Mapping[str, Facts]
    """Facts by trial, the order's among them."""


@dataclass(frozen=True)
class Line:
    """One fact. `values` for people and `raw` as stored (all values of a side), in the order of the sides."""

    name: str
    title: str
    group: str
    nature: Nature
    differs: bool
    values: tuple[str, ...]
    raw: tuple[tuple[str, ...], ...]

    @property
    def matters(self) -> bool:
        """Whether figures may have moved for this and not for what was chosen."""
        return self.differs and self.nature == "matters"


@dataclass(frozen=True)
class EnvironmentDiff:
    """`differing` are worth reading; `moving` differ in every trial anyway; `same` are shared."""

    sides: tuple[str, ...]
    differing: tuple[Line, ...]
    moving: tuple[Line, ...]
    same: tuple[Line, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        return (*self.differing, *self.moving, *self.same)


def order_facts(resolved: str) -> dict[str, str]:
    """What was asked to run, from a configuration's resolved order, as "order." facts; {} for text that is none."""
    try:
        order = json.loads(resolved)
    except ValueError:
        return {}
    if not isinstance(order, dict):
        return {}
    wanted = {key: value for key, value in order.items() if key not in _NOT_WHAT_IS_RUN}
    wanted.pop("techniques", None)
    facts = dict(_flat(wanted, ORDER))
    model = order.get("model")
    stored = str(model.get("stored", "")) if isinstance(model, dict) else ""
    for choice in stored_techniques(order):
        facts[f"{ORDER}{choice.id.partition('.')[0]}"] = technique_title(choice.id, choice.parameters, stored)
    return facts


def _flat(value: object, name: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}{key}" if name == ORDER else f"{name}.{key}")
    elif isinstance(value, str):
        if value:
            yield name, value
    elif value is not None:
        yield name, json.dumps(value)


def side_of(detail: ExperimentDetail, trials: Iterable[str], title: str) -> Side:
    """Trials of an experiment as one side. Trials that are not in it are left out."""
    wanted = set(trials)
    rows = tuple(t for t in detail.trials if t.trial in wanted)
    asked = {c.configuration: order_facts(c.resolved) for c in detail.configurations}
    facts = {t.trial: {**asked.get(t.configuration, {}), **detail.environments.get(t.trial, {})} for t in rows}
    return Side(title, rows, facts)


def compare_environments(*sides: Side) -> EnvironmentDiff:
    """Every fact of one or more sides, in groups; of one side what is not the same in all of its trials differs."""
    names = {name for side in sides for facts in side.facts.values() for name in facts}
    lines = sorted((_line(name, sides) for name in names), key=_place)
    return EnvironmentDiff(
        sides=tuple(side.title for side in sides),
        differing=tuple(line for line in lines if line.differs and line.nature != "moves"),
        moving=tuple(line for line in lines if line.differs and line.nature == "moves"),
        same=tuple(line for line in lines if not line.differs),
    )


def _place(line: Line) -> tuple[int, bool, str]:
    return GROUPS.index(line.group), line.nature != "matters", line.title.lower()


def _line(name: str, sides: Sequence[Side]) -> Line:
    kind = fact_kind(name)
    recorded = [_recorded(name, side) for side in sides]
    raw = tuple(tuple(values) for values in recorded)
    differs = len(set(raw)) > 1 or any(len(values) > 1 for values in raw)
    return Line(
        name=name,
        title=kind.title,
        group=kind.group,
        nature=kind.nature,
        differs=differs,
        values=tuple(_shown(name, values) for values in recorded),
        raw=raw,
    )


def _recorded(name: str, side: Side) -> dict[str, list[int]]:
    """Value -> numbers of the side's trials that recorded it. Trials that failed early record less."""
    recorded: dict[str, list[int]] = {}
    for trial in side.trials:
        value = side.facts[trial.trial].get(name)
        if value is not None:
            recorded.setdefault(value, []).append(trial.number)
    return recorded


def _shown(name: str, recorded: Mapping[str, Sequence[int]]) -> str:
    if not recorded:
        return NOT_RECORDED
    if len(recorded) == 1:
        return fact_text(name, next(iter(recorded)))
    if len(recorded) <= _SHOWN:
        return "; ".join(f"{fact_text(name, value)} ({numbers(trials)})" for value, trials in recorded.items())
    try:
        ordered = sorted(recorded, key=float)
    except ValueError:
        return f"{len(recorded)} different values"
    return f"{fact_text(name, ordered[0])} to {fact_text(name, ordered[-1])}"


def numbers(trials: Iterable[int]) -> str:
    """ "trial 4", "trials 1 to 3 and 7": runs of three and more drawn together."""
    text = format_numbers(trials)
    return f"trial {text}" if text.isdigit() else f"trials {text}"


def told_apart(texts: Sequence[str], room: int) -> tuple[str, ...]:
    """Long texts cut so that their first difference stays in sight: "… AVX512 build". Short ones are left alone."""
    if all(len(text) <= room for text in texts):
        return tuple(texts)
    shared = 0
    if len(set(texts)) > 1:
        shared = next(
            (i for i, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1), min(map(len, texts))
        )
    start = 0 if shared < room - _AROUND else shared - _AROUND
    return tuple(_cut(text, start, room) for text in texts)


def _cut(text: str, start: int, room: int) -> str:
    cut = f"…{text[start + 1 :]}" if 0 < start < len(text) else text
    return cut if len(cut) <= room else f"{cut[: room - 1]}…"
