"""Ends an experiment before its last block, where its file asks for that (`run.stop_at_ratio`) and the rule of
`workbench.statistics.stopping` says so. Blocking; used by the store's owner alone, one thread at a time.

Trials that are not needed any more are deleted while they wait: they were never run, so they are neither stopped nor
failed. One that has begun runs to its end. What was decided, and why, stays with the experiment as its note.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.comparison.comparison import baseline_of
from workbench.comparison.trials import ConfigurationTrials
from workbench.experiment.file import parse
from workbench.metrics.registry import title_of
from workbench.statistics.stopping import METRIC, StopDecision, should_stop
from workbench.store.operations import (
    DeleteTrials,
    ExperimentDetail,
    GetExperiment,
    GetTrial,
    ListTrials,
    SetNote,
    Store,
    StoreError,
    TrialRow,
)

NOTE = "Ended early"
"""How the note of an experiment begins that has ended so: it is not looked at again, whatever is run again in it."""
_ALL = 1_000_000


@dataclass(frozen=True)
class EarlyEnd:
    """`trials` are deleted from the store; the runner has still to hear of it."""

    experiment: str
    name: str
    note: str
    trials: tuple[str, ...]
    machines: frozenset[str]
    """Where they waited."""


@dataclass(frozen=True)
class _Rule:
    target: float
    metric: str
    blocks: int


class EarlyEnds:
    """Remembers what each experiment asks for, so that most trials cost nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rules: dict[str, _Rule | None] = {}

    def consider(self, trial: str) -> EarlyEnd | None:
        """After a trial was judged: end its experiment if its block is whole and nothing more is needed.

        -> what was done, None for nothing. Raises `StoreError`."""
        try:
            row = self._store.execute(GetTrial(trial=trial))
            rule = self._rule(row.experiment)
        except StoreError as error:
            if error.code == "not_found":  # deleted, or its experiment was
                return None
            raise
        if rule is None:
            return None
        trials = self._store.execute(ListTrials(experiment=row.experiment, limit=_ALL))
        if any(t.block == row.block and not _is_judged(t) for t in trials):
            return None
        if not any(t.state == "waiting" for t in trials):
            return None
        detail = self._store.execute(GetExperiment(experiment=row.experiment))
        if detail.experiment.note.startswith(NOTE):
            self._rules[row.experiment] = None
            return None
        decision, newest = decide(detail, rule.metric, rule.target)
        if not decision.stop:
            return None
        # a trial of an earlier block that waits was asked for again by the user
        rows = [t for t in detail.trials if t.state == "waiting" and t.block > newest]
        unneeded = tuple(row.trial for row in rows)
        # the note first: whoever finds trials gone and the others ended finds why
        note = _note(decision, rule, len(unneeded))
        self._store.execute(SetNote(experiment=row.experiment, note=note))
        deleted = self._store.execute(DeleteTrials(trials=unneeded)) if unneeded else ()
        if len(deleted) != len(unneeded):  # the user took some back in that moment
            note = _note(decision, rule, len(deleted))
            self._store.execute(SetNote(experiment=row.experiment, note=note))
        self._rules[row.experiment] = None
        return EarlyEnd(row.experiment, detail.experiment.name, note, deleted, frozenset(row.machine for row in rows))

    def _rule(self, experiment: str) -> _Rule | None:
        if experiment not in self._rules:
            row = self._store.execute(GetExperiment(experiment=experiment)).experiment
            wanted, _ = parse(row.definition)
            rule = None
            if wanted is not None and wanted.run.stop_at_ratio is not None and not row.note.startswith(NOTE):
                run = wanted.run
                rule = _Rule(wanted.run.stop_at_ratio, run.stop_metric or METRIC, run.trials)
            self._rules[experiment] = rule
        return self._rules[experiment]


def decide(detail: ExperimentDetail, metric: str, target: float) -> tuple[StopDecision, int]:
    """The rule's decision on a stored experiment, and its newest whole block (-1 for none).

    The baseline is that of the comparison. A configuration without a single value (it fails each time) is not waited
    for; a block in which one that has values lacks its own is not whole."""
    kept = {c.configuration: ConfigurationTrials(c, detail, include_invalid=False) for c in detail.configurations}
    ordered = sorted(detail.configurations, key=lambda c: c.position)
    baseline = baseline_of(ordered, kept, detail.experiment.baseline)
    values = {name: trials.by_block(metric) for name, trials in kept.items()}
    others = {name: blocks for name, blocks in values.items() if blocks and name != baseline}
    against = values.get(baseline or "", {})
    decision = should_stop(against, others, target=target)
    return decision, max(set(against).intersection(*others.values()), default=-1)


def _is_judged(trial: TrialRow) -> bool:
    return trial.state == "ended" and trial.verdict is not None


def _note(decision: StopDecision, rule: _Rule, unneeded: int) -> str:
    trials = "1 trial was" if unneeded == 1 else f"{unneeded} trials were"
    return (
        f"{NOTE}, as asked: {decision.blocks} whole blocks of {rule.blocks} were enough. {decision.reason} Judged by "
        f"{title_of(rule.metric).lower()}. {trials} not needed and left the queue."
    )
