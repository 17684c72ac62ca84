"""Whether the trials of a comparison shared their environment, by rule and in words; and the essentials of one in a
line. Pure; no Qt.

A fact is looked at where a difference in it matters (`environment_facts`), and only between trials whose orders agree
in what would explain it: a sweep over threads is no note about threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from workbench.machines.environment_diff import Facts, Side, numbers, side_of, told_apart
from workbench.machines.environment_facts import GROUPS, ORDER, fact_kind, fact_text
from workbench.store.operations import ExperimentDetail, TrialRow

_NAMED = 4
"""Changed facts that a note names."""
_ROOM = 40
_MACHINE = f"{ORDER}machine"
"""Explains any difference: trials were sent to another machine. Nodes of one cluster are not asked for."""


@dataclass(frozen=True)
class Change:
    """A fact that was not the same in trials that should have shared it."""

    name: str
    values: Mapping[str, tuple[TrialRow, ...]]

    @property
    def within_a_block(self) -> bool:
        """Whether trials of one block disagree: then ratios, which are formed within blocks, carry it whole."""
        blocks: dict[int, set[str]] = {}
        for value, trials in self.values.items():
            for trial in trials:
                blocks.setdefault(trial.block, set()).add(value)
        return any(len(values) > 1 for values in blocks.values())

    @property
    def text(self) -> str:
        """ "Power source: mains (trials 1 to 4), battery (trial 5)"."""
        shown = told_apart([fact_text(self.name, value) for value in self.values], _ROOM)
        recorded = (
            f"{text} ({numbers(t.number for t in who)})" for text, who in zip(shown, self.values.values(), strict=True)
        )
        return f"{fact_kind(self.name).title}: {', '.join(recorded)}"


def changes(detail: ExperimentDetail) -> tuple[Change, ...]:
    """Facts that matter and were not shared by the completed trials: the computer, then by group."""
    completed = [t.trial for t in detail.trials if t.state == "ended" and t.outcome == "completed"]
    side = side_of(detail, completed, "")
    names = {n for facts in side.facts.values() for n in facts if fact_kind(n).nature == "matters"}
    found = [change for name in names if (change := _change(name, side)) is not None]
    return tuple(sorted(found, key=_place))


def _place(change: Change) -> tuple[bool, int, str]:
    """Another computer comes first: it explains the rest."""
    kind = fact_kind(change.name)
    return change.name != "host.name", GROUPS.index(kind.group), kind.title


def _change(name: str, side: Side) -> Change | None:
    if len({facts[name] for facts in side.facts.values() if name in facts}) < 2:
        return None
    asked_by = (*fact_kind(name).asked_by, _MACHINE)
    alike: dict[tuple[tuple[str, str], ...], dict[str, list[TrialRow]]] = {}
    for trial in side.trials:
        facts = side.facts[trial.trial]
        if name in facts:
            alike.setdefault(_asked(facts, asked_by), {}).setdefault(facts[name], []).append(trial)
    values: dict[str, list[TrialRow]] = {}
    for recorded in alike.values():
        if len(recorded) > 1:
            for value, trials in recorded.items():
                values.setdefault(value, []).extend(trials)
    return Change(name, {value: tuple(trials) for value, trials in values.items()}) if values else None


def _asked(facts: Facts, asked_by: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The part of the order that would explain a difference."""
    return tuple(
        sorted((n, v) for n, v in facts.items() if n.startswith(ORDER) and any(_under(n, part) for part in asked_by))
    )


def _under(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


def environment_notes(detail: ExperimentDetail) -> tuple[str, ...]:
    """At most one caution for the whole comparison: what changed, in which trials, and what that touches."""
    found = changes(detail)
    if not found:
        return ()
    named = "; ".join(change.text for change in found[:_NAMED])
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    if any(change.within_a_block for change in found):
        touched = "Trials of one block differ, so ratios may show this instead of the configurations."
    else:
        touched = (
            "Within each block it was the same: values are touched more than ratios, which are formed within blocks."
        )
    return (f"The trials did not share one environment. {named}{more}. {touched}",)


def essentials(environments: Iterable[Facts]) -> str:
    """The one line of an environment that a reader of a figure needs; facts that differ between the trials are named.
    "" where nothing is stored."""
    recorded = [facts for facts in environments if facts]
    if not recorded:
        return ""
    parts, differing = [], []
    for name, words in _ESSENTIALS:
        values = {facts[name] for facts in recorded if name in facts}
        if len(values) == 1:
            value = values.pop()
            text = words(value)
            parts += [text] if text else []
        elif values:
            differing.append(fact_kind(name).title)
    if differing:
        parts.append(f"different between trials: {', '.join(differing)}")
    return " · ".join(parts)


def _threads(value: str) -> str:
    return f"{value} thread" if value == "1" else f"{value} threads"


_ESSENTIALS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("gpu.0.name", str),
    ("gpu.0.driver", lambda value: f"driver {value}"),
    ("cpu.model", str),
    ("worker.threads", _threads),
    ("package.torch", lambda value: f"torch {value}"),
    ("package.transformers", lambda value: f"transformers {value}"),
    ("package.llama-cpp-python", lambda value: f"llama-cpp-python {value}"),
    ("worker.start_method", lambda value: "started from a template" if value == "template" else ""),
    ("power.source", lambda value: "on battery" if value == "battery" else ""),
)
"""What moves figures most, in the order it is said; "" says nothing about what is as usual."""
