"""Scaling laws over stored pretraining trials: which runs make a law, and what it says in words. Pure.

A law holds for one architecture on one text: runs that use the same techniques and differ in size and tokens, judged on
the same held-out text. Only trials that completed count: a loss in the middle of a schedule is no point of the law.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.protocol.work import Pretraining, tag_of
from workbench.comparison.families import order_of
from workbench.comparison.trials import ConfigurationTrials
from workbench.metrics.registry import metric
from workbench.plan import labels as naming
from workbench.statistics.power_law import Refusal
from workbench.statistics.scaling import NAMES, RESAMPLES, Estimate, Run, Scaling, fit
from workbench.store.operations import ConfigurationRow, ExperimentDetail

LOSSES = ("test_loss", "held_out_loss")
"""The first that all runs of a law have is used."""
_PARAMETERS, _TOKENS = "trained_parameters", "trained_tokens"


@dataclass(frozen=True)
class Group:
    """Runs of one architecture."""

    title: str
    color: int
    loss: str
    """Metric that judges; "" where no runs can be judged by the same."""
    found: Scaling | Refusal
    experiments: tuple[str, ...]
    trials: tuple[str, ...]
    configurations: tuple[str, ...]


def scaling_of(details: Sequence[ExperimentDetail], *, resamples: int = RESAMPLES) -> tuple[Group, ...]:
    """A law for each architecture, in the order of their first configurations; () where nothing pretrains."""
    groups: dict[str, list[tuple[ExperimentDetail, ConfigurationRow]]] = {}
    for detail in details:
        for row in sorted(detail.configurations, key=lambda c: c.position):
            if _pretrains(row):
                groups.setdefault(_architecture(row), []).append((detail, row))
    return tuple(_group(title, members, resamples) for title, members in groups.items())


def _pretrains(row: ConfigurationRow) -> bool:
    workload = order_of(row).get("workload")
    return isinstance(workload, dict) and workload.get("kind") == tag_of(Pretraining)


def _architecture(row: ConfigurationRow) -> str:
    """ "MLA (latent 64) · ALiBi"; the techniques of a run but for its sizes."""
    chosen = naming.stored_techniques(order_of(row))
    named = [naming.technique_title(t.id, t.parameters) for t in chosen if not t.id.startswith("precision.")]
    return " · ".join(named) or "as its shape says"


def _group(title: str, members: Sequence[tuple[ExperimentDetail, ConfigurationRow]], resamples: int) -> Group:
    kept = [ConfigurationTrials(row, detail, False) for detail, row in members]
    loss = next((m for m in LOSSES if all(k.values(m, k.counted) for k in kept if k.counted)), "")
    runs, scopes = list[Run](), set[str]()
    for trials in kept:
        sizes, lengths = ({t.trial: v for t, _, v in trials.values(m, trials.counted)} for m in (_PARAMETERS, _TOKENS))
        for trial, row, value in trials.values(loss, trials.counted) if loss else ():
            if trial.outcome == "completed" and trial.trial in sizes and trial.trial in lengths:
                runs.append(Run(sizes[trial.trial], lengths[trial.trial], value, trial.trial))
                scopes.add(row.scope)
    if len(scopes) > 1:
        found: Scaling | Refusal = Refusal("Runs were judged on different held-out text: their losses do not compare.")
    else:
        found = fit(runs, resamples=resamples)
    return Group(
        title=title,
        color=members[0][1].color,
        loss=loss,
        found=found,
        experiments=tuple(dict.fromkeys(detail.experiment.name for detail, _ in members)),
        trials=tuple(run.name for run in runs),
        configurations=tuple(row.configuration for _, row in members),
    )


# --- in words --------------------------------------------------------------------------------------

HEADER = ("constant", "value", "95 % interval", "")
_SAYS = {
    "E": "loss that no size and no tokens remove",
    "A": "of the part that falls with parameters",
    "B": "of the part that falls with tokens",
    "alpha": "how fast it falls with parameters",
    "beta": "how fast it falls with tokens",
    "share": "compute-optimal parameters grow with compute to this power",
}


def constants(found: Scaling) -> list[tuple[str, str, str, str]]:
    """Rows for `HEADER`: every constant with its interval."""
    values = {name: float(getattr(found.law, name)) for name in (*NAMES, "share")}
    rows = []
    for name, value in values.items():
        ends = found.intervals[name]
        rows.append((name, f"{value:.3g}", f"[{ends.low:.3g}, {ends.high:.3g}]", _SAYS[name]))
    return rows


def sentences(group: Group) -> tuple[str, ...]:
    """What the fit rests on and how far it holds."""
    found = group.found
    if isinstance(found, Refusal):
        return (f"{group.title}: {found.reason}",)
    off = max(found.residuals, key=lambda ratio: max(ratio, 1 / ratio))
    where = found.runs[found.residuals.index(off)]
    measured = found.compute
    said = [
        f"{group.title}: {metric(group.loss).title.lower()} of {len(found.runs)} runs, {measured.low:.2g} to "
        f"{measured.high:.2g} FLOPs (6 x parameters x tokens). {found.method}.",
        f"Runs lie {found.scatter:.2%} off the law (root mean square); the farthest by {off - 1:+.2%} "
        f"({where.parameters:.3g} parameters, {where.tokens:.3g} tokens).",
    ]
    if not found.converged:
        said.append("Only one start reached the lowest objective: the fit may not have converged.")
    e = found.intervals["E"]
    if e.low < 0.1 * e.high:
        said.append(f"E is not determined: anything from {e.low:.2g} to {e.high:.2g} agrees with the runs.")
    return tuple(said)


def optimum_words(found: Scaling, compute: float) -> str:
    """ "1e+16 FLOPs: 3.4e+06 parameters [2.8e+06, 4.1e+06] on 4.9e+08 tokens [...], loss 2.31 [2.28, 2.35]"."""
    best = found.optimum(compute)
    if isinstance(best, Refusal):
        return f"{compute:.3g} FLOPs: {best.reason}"
    tokens = compute / 6 / best.value
    ends = compute / 6 / best.interval.high, compute / 6 / best.interval.low
    said = (
        f"{compute:.3g} FLOPs: {best.value:.3g} parameters [{best.interval.low:.3g}, {best.interval.high:.3g}] on "
        f"{tokens:.3g} tokens [{ends[0]:.3g}, {ends[1]:.3g}]"
    )
    return f"{said}; {loss_words(found, best.value, tokens)}{_beyond(best)}"


def loss_words(found: Scaling, parameters: float, tokens: float) -> str:
    """ "loss 2.31 [2.28, 2.35]", or why there is none."""
    loss = found.predict(parameters, tokens)
    if isinstance(loss, Refusal):
        return f"no loss: {loss.reason}"
    return f"loss {loss.value:.4g} [{loss.interval.low:.4g}, {loss.interval.high:.4g}]"


def _beyond(estimate: Estimate) -> str:
    return f" (extrapolated: {estimate.beyond:.2g} times the largest compute measured)" if estimate.beyond > 1 else ""
