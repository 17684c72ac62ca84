"""The stored trials of one configuration, sorted for a comparison: what counts, what does not, and why. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import msgspec

from engines.protocol.codec import read_record
from engines.protocol.records import Evaluation, Record, TaskScore
from workbench.metrics.registry import METRICS, find
from workbench.statistics import intervals as statistics
from workbench.statistics import text_error
from workbench.statistics.text_error import TextLoss
from workbench.store.operations import ConfigurationRow, ExperimentDetail, MetricRow, TrialRow

_COUNTING = frozenset({"valid", "warning"})
_ANY = _COUNTING | {"invalid"}


@dataclass(frozen=True)
class Trouble:
    """Trials of a configuration that do not count, and why."""

    count: int
    what: str
    """"failed", "lost", "stopped", "invalid"."""
    why: str = ""
    """"out of memory"; "" where that is not known."""

    @property
    def short(self) -> str:
        return f"{self.count} {self.what}"

    def __str__(self) -> str:
        return f"{self.short}: {self.why}" if self.why else self.short


class ConfigurationTrials:
    """The trials of one configuration and which of them count."""

    def __init__(self, configuration: ConfigurationRow, detail: ExperimentDetail, include_invalid: bool) -> None:
        self.all = [t for t in detail.trials if t.configuration == configuration.configuration]
        counting = _ANY if include_invalid else _COUNTING
        self.counted = [t for t in self.all if t.state == "ended" and t.verdict in counting]
        self.machine = self.all[0].machine if self.all else ""
        mine = {t.trial for t in self.all}
        self._reasons = [r for r in detail.reasons if r.trial in mine and r.severity == "invalid"]
        numbers = {t.trial: t.number for t in self.all}
        self.rows = of_one_scope(of_one_formula(newest([m for m in detail.metrics if m.trial in mine])), numbers)
        self._evaluations = detail.evaluations
        self.device = "gpu" if self.all and self.all[0].device.startswith("cuda") else "cpu"

    def values(self, metric: str, trials: Iterable[TrialRow]) -> list[tuple[TrialRow, MetricRow, float]]:
        found = []
        for trial in trials:
            row = self.rows.get((trial.trial, metric))
            if row is not None and row.value is not None:
                found.append((trial, row, row.value))
        return found

    def with_censored(self, metric: str) -> list[float]:
        """Values of a metric that a trial may end without, infinite for those that did (`Metric.censored`)."""
        rows = [row for t in self.counted if (row := self.rows.get((t.trial, metric))) is not None]
        return [math.inf if row.value is None else row.value for row in rows if row.value is not None or row.n == 0]

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """On held-out text, of the newest trial whose quality counts."""
        said = self._quality("perplexity") or self._quality("bits_per_byte")
        return next((r for r in reversed(said) if isinstance(r, Evaluation) and r.name == "perplexity"), None)

    @cached_property
    def text_loss(self) -> TextLoss | None:
        """Loss along the text of that evaluation."""
        return text_error.read(self.evaluation)

    def scores(self, metric: str) -> tuple[TaskScore, ...]:
        """On tasks, of the newest trial whose `metric` counts."""
        return tuple(r for r in self._quality(metric) if isinstance(r, TaskScore))

    def _quality(self, metric: str) -> tuple[Record | None, ...]:
        with_value = self.values(metric, self.counted)
        return _decoded(self._evaluations.get(with_value[-1][0].trial, ())) if with_value else ()

    def by_block(self, metric: str) -> dict[int, float]:
        """One value a block: where a trial was repeated, the geometric mean. Values not positive are left out."""
        blocks: dict[int, list[float]] = {}
        for trial, _, value in self.values(metric, self.counted):
            if value > 0:
                blocks.setdefault(trial.block, []).append(value)
        found = {block: statistics.summarise(values) for block, values in blocks.items()}
        return {block: summary.value for block, summary in found.items() if summary is not None}

    def excluded(self) -> list[TrialRow]:
        counted = {t.trial for t in self.counted}
        return [t for t in self.all if t.state == "ended" and t.trial not in counted]

    def reason(self, metric: str) -> str:
        """Why no counted trial has this metric."""
        ended = [t for t in self.all if t.state == "ended"]
        if not ended:
            return "Not run yet."
        left_out = self.values(metric, self.excluded())
        if left_out and not self.values(metric, self.counted):
            why = "; ".join(sorted({words(r.code) for r in self._reasons})) or "see the trials"
            return f"No valid trial: {why}."
        stated = [self.rows[t.trial, metric].reason for t in self.counted if (t.trial, metric) in self.rows]
        if any(stated):
            return Counter(s for s in stated if s).most_common(1)[0][0]
        if not self.counted:
            return "No trial of this configuration completed."
        return "Not computed by the version that stored these trials."

    def troubles(self) -> tuple[Trouble, ...]:
        """ "2 failed: out of memory", "1 stopped", "1 invalid: clock jump"."""
        parts: Counter[tuple[str, str]] = Counter()
        for trial in self.all:
            if trial.state != "ended":
                continue
            if trial.outcome in ("failed", "lost", "stopped"):
                parts[trial.outcome, words(trial.failure or "")] += 1
            elif trial.verdict == "invalid":
                codes = [r.code for r in self._reasons if r.trial == trial.trial]
                parts["invalid", words(codes[0]) if codes else ""] += 1
        return tuple(Trouble(count, what, why) for (what, why), count in parts.items())


@lru_cache(maxsize=64)
def _decoded(lines: tuple[str, ...]) -> tuple[Record | None, ...]:
    return tuple(read_record(line) for line in lines)


def words(code: str) -> str:
    return code.replace("_", " ")


def newest(rows: Iterable[MetricRow]) -> dict[tuple[str, str], MetricRow]:
    """One row per trial and metric: of this registry's version where stored, otherwise of the newest."""
    best: dict[tuple[str, str], MetricRow] = {}
    for row in rows:
        key, known = (row.trial, row.metric), find(row.metric)
        wanted = known.version if known is not None else -1
        current = best.get(key)
        if current is None or (row.version == wanted, row.version) > (current.version == wanted, current.version):
            best[key] = row
    return best


def of_one_formula(rows: dict[tuple[str, str], MetricRow]) -> dict[tuple[str, str], MetricRow]:
    """The same rows; where trials have a figure by different formulas, only those of the registry's (or the newest)
    keep it: a mean over both is neither's."""
    versions: dict[str, set[int]] = {}
    for (_, metric), row in rows.items():
        if row.value is not None:
            versions.setdefault(metric, set()).add(row.version)
    mixed = {m: _wanted(m, found) for m, found in versions.items() if len(found) > 1}
    return {
        (trial, metric): row if metric not in mixed or row.version == mixed[metric] else _of_another_formula(row)
        for (trial, metric), row in rows.items()
    }


def of_one_scope(
    rows: dict[tuple[str, str], MetricRow], numbers: Mapping[str, int]
) -> dict[tuple[str, str], MetricRow]:
    """The same rows; of a figure that compares over one scope only, those taken over another than the newest trial's
    (`numbers` by trial) lose it: older trials may have read another text, or read it without its begin token."""
    newest_of: dict[str, MetricRow] = {}
    for (_, metric), row in sorted(rows.items(), key=lambda item: numbers[item[1].trial]):
        known = find(metric)
        if row.value is not None and known is not None and known.same_scope:
            newest_of[metric] = row
    return {
        (trial, metric): row
        if row.value is None or metric not in newest_of or row.scope == newest_of[metric].scope
        else msgspec.structs.replace(
            row, value=None, n=None, method="", reason=f"Over {row.scope}; newer trials: {newest_of[metric].scope}."
        )
        for (trial, metric), row in rows.items()
    }


def _wanted(metric: str, versions: set[int]) -> int:
    known = find(metric)
    return known.version if known is not None and known.version in versions else max(versions)


def _of_another_formula(row: MetricRow) -> MetricRow:
    reason = f"By formula {row.version}, other trials by another: `llm-workbench recompute` makes it again."
    return msgspec.structs.replace(row, value=None, n=None, method="", reason=reason)


def metric_ids(rows: Iterable[MetricRow]) -> tuple[str, ...]:
    """Ids that the store has, in order."""
    return in_order({r.metric for r in rows})


def in_order(ids: Iterable[str]) -> tuple[str, ...]:
    """Primary metrics first, then as the registry orders them, unknown ones last."""
    wanted = set(ids)
    known = [m.id for m in sorted(METRICS, key=lambda m: not m.primary) if m.id in wanted]
    return (*known, *sorted(wanted.difference(known)))
