"""Accuracy on tasks. Pure functions over one trial's records.

The standard error of a score says how far another draw of questions might move it; it is no error between trials, which
answer the same questions the same way. "Near chance" is decided with the error of Agresti and Coull (two hits and two
misses added), which does not vanish at scores of 0 and 1: a score is near chance unless it is `TOLD_FROM_CHANCE` such
errors above what guessing gets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from engines.protocol.records import TaskScore
from engines.protocol.tasks import LOCAL_TASKS
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.quality import NO_RULE
from workbench.metrics.trial import TrialRecords

PREFIX = "accuracy:"
"""Before the name of a task that is no sample of ours: "accuracy:lm-eval:arc_easy"."""
TOLD_FROM_CHANCE = 1.96
"""Standard errors above chance from which a score differs from guessing (95 %)."""
NEAR = "near chance"
NOT_ASKED = "tasks run in trials of the first block only, where the experiment names any."
MEAN = "accuracy_mean_ratio"


def accuracy_id(task: str) -> str:
    """Metric id of a task: "accuracy_gsm8k_sample_ratio", or the prefix and the name for tasks of the harness."""
    if any(known.id == task for known in LOCAL_TASKS):
        return f"accuracy_{task.replace('-', '_')}_ratio"
    return PREFIX + task


def metric_of(id: str) -> Metric | None:
    """The metric of a task that is not in the registry; None where the id is of no task."""
    task = id.removeprefix(PREFIX)
    return _metric(task, task) if task and task != id else None


def of_other_tasks(records: TrialRecords) -> tuple[Metric, ...]:
    """Metrics of this trial's tasks that the registry does not list."""
    listed = {metric.id for metric in METRICS}
    found = (metric_of(id) for id in dict.fromkeys(accuracy_id(s.task) for s in records.scores) if id not in listed)
    return tuple(metric for metric in found if metric is not None)


def standing(metric: str, scores: Iterable[TaskScore]) -> tuple[float | None, str]:
    """(standard error over the questions, "near chance" or "") of one figure of accuracy."""
    usable = _usable(scores)
    of = usable if metric == MEAN else [s for s in usable if accuracy_id(s.task) == metric]
    if not of:
        return None, ""
    return (sampling_error(*of) if metric == MEAN else of[0].stderr), (NEAR if _guessing(of) is not None else "")


def sampling_error(*scores: TaskScore) -> float:
    """Agresti and Coull's standard error of a proportion, or of the mean of several."""
    shares = [((s.score * s.samples + 2) / (s.samples + 4), s.samples + 4) for s in scores]
    return math.sqrt(sum(share * (1 - share) / n for share, n in shares)) / len(scores)


def _guessing(scores: Sequence[TaskScore]) -> float | None:
    """What guessing gets on average, where the mean score is not told from it; None where it is, or nobody knows."""
    chances = [s.chance for s in scores if s.chance is not None]
    if len(chances) < len(scores):
        return None
    above = sum(s.score for s in scores) - sum(chances)
    near = above / len(scores) < TOLD_FROM_CHANCE * sampling_error(*scores)
    return sum(chances) / len(scores) if near else None


def _near(scores: Sequence[TaskScore]) -> str:
    chance = _guessing(scores)
    return "" if chance is None else f", {NEAR}: guessing gets {chance * 100:.0f} %"


def _usable(scores: Iterable[TaskScore]) -> list[TaskScore]:
    """The last score of each task, those that are proportions of at least one question."""
    last = {score.task: score for score in scores}
    return [s for s in last.values() if s.samples > 0 and math.isfinite(s.score) and 0 <= s.score <= 1]


def _none(records: TrialRecords, what: str) -> NotAvailable:
    failed = next((cue.text for cue in records.cues if cue.code == "task_failed"), "")
    if failed:
        return NotAvailable(failed)
    return NotAvailable(f"{what}; {NOT_ASKED}")


def _accuracy(task: str) -> Callable[[TrialRecords], Value | NotAvailable]:
    def compute(records: TrialRecords) -> Value | NotAvailable:
        score = next((s for s in _usable(records.scores) if s.task == task), None)
        if score is None:
            return _none(records, "The trial has no score on this task")
        begin = f"begin token {score.begin}" if score.begin else ""
        parts = (score.measure, f"{score.shots} examples", score.harness, begin)
        method = ", ".join(part for part in parts if part)
        if score.stderr is not None:
            method += f", standard error {score.stderr * 100:.1f} %"
        return Value(score.score, method + _near([score]), score.samples, _scope(score))

    return compute


def mean_accuracy(records: TrialRecords) -> Value | NotAvailable:
    """Mean of the tasks' scores, each task counting alike."""
    scores = _usable(records.scores)
    if not scores:
        return _none(records, "The trial has no task score")
    value = sum(s.score for s in scores) / len(scores)
    error = f"standard error about {sampling_error(*scores) * 100:.1f} %"
    method = f"mean of {len(scores)} task{'s' if len(scores) > 1 else ''}, {error}"
    return Value(
        value, method + _near(scores), sum(s.samples for s in scores), "; ".join(sorted(_scope(s) for s in scores))
    )


def errors_above_chance(records: TrialRecords) -> Value | NotAvailable:
    """(mean accuracy − mean chance) / standard error of the mean, over tasks whose chance is known."""
    scores = [(s, s.chance) for s in _usable(records.scores) if s.chance is not None]
    if not scores:
        if _usable(records.scores):
            return NotAvailable("What guessing gets is not known for any of the tasks.")
        return _none(records, "The trial has no task score")
    above = sum(s.score - chance for s, chance in scores)
    error = math.sqrt(sum(sampling_error(s) ** 2 for s, _ in scores))
    near = f"; under {TOLD_FROM_CHANCE} is near chance"
    scope = "; ".join(sorted(_scope(s) for s, _ in scores))
    return Value(
        above / error,
        f"over {len(scores)} tasks, errors by Agresti and Coull{near}",
        sum(s.samples for s, _ in scores),
        scope,
    )


def _scope(score: TaskScore) -> str:
    data = f" ({score.data_hash.removeprefix('sha256:')[:8]})" if score.data_hash else ""
    rule = "" if score.begin is not None else f", {NO_RULE}"
    return f"{score.samples} questions of {score.task}{data}, {score.measure}, {score.shots} examples{rule}"


_of_tasks = partial(
    Metric,
    unit="ratio",
    better="higher",
    window="evaluate",
    version=2,
    group="quality",
    counts="questions",
    same_scope=True,
    needs=("task_score",),
)


def _metric(task: str, title: str) -> Metric:
    return _of_tasks(
        id=accuracy_id(task),
        title=f"Accuracy, {title}",
        definition=f"Share of right answers on {title}, as lm-evaluation-harness scores it, with the standard error "
        "over questions. Marked near chance where guessing could do as well.",
        compute=_accuracy(task),
        shown_unit="%",
    )


METRICS = (
    _of_tasks(
        id=MEAN,
        title="Accuracy, mean of tasks",
        definition="Mean of the scores of all the trial's tasks, each counting alike (EfficientLLM's average "
        "performance). Compared only over the same questions.",
        compute=mean_accuracy,
        shown_unit="%",
        primary=True,
    ),
    *(_metric(task.id, task.title) for task in LOCAL_TASKS),
    _of_tasks(
        id="accuracy_above_chance_errors",
        title="Accuracy above chance",
        definition="(mean accuracy − mean chance) / its standard error over questions. Under 1.96 the model is not "
        "better than chance, and no ratio of its accuracy is shown.",
        compute=errors_above_chance,
    ),
)
