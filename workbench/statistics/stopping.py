"""When an experiment may end early: at whole blocks, once its intervals are narrow enough. Pure functions, any thread.

Looking after every block and stopping at the first narrow interval picks moments at which the blocks happen to agree:
a 95 % interval then holds in 92-93 % of experiments (simulated; docs/statistics.md). So the rule looks from the fifth
block on, and when the intervals are narrow it runs `FURTHER` blocks more, whatever they say. It looks at widths only:
stopping when a difference shows would make differences out of noise, and is not offered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engines.protocol.problems import Fix, Problem
from engines.protocol.settings import did_you_mean
from workbench.experiment.experiment import Experiment
from workbench.statistics.intervals import RatioEstimate, ratios_to_baseline

MIN_BLOCKS = 5
"""Blocks before the first look."""
FURTHER = 2
"""Blocks that are run after the intervals were narrow for the first time."""
TARGET = 0.02
"""Half-width of the interval of a ratio that counts as narrow: 0.02 is ±2 %."""
LEAST = MIN_BLOCKS + FURTHER
"""Blocks that are always run."""
METRIC = "decode_tokens_per_second"
"""Whose ratios decide where an experiment names none (`run.stop_metric`)."""


@dataclass(frozen=True)
class StopDecision:
    stop: bool
    blocks: int
    """Whole blocks so far: those that every configuration has."""
    half_width: float | None
    """Of the widest interval, as a ratio; None where the blocks carry none."""
    reason: str
    """For people."""


def stop_at(half_widths: Sequence[float], target: float = TARGET, further: int = FURTHER) -> int | None:
    """Number of blocks after which to stop, None where that is not among those seen. `half_widths[i]` is the widest
    half-width after i + 1 blocks (infinite where there is no interval)."""
    for blocks in range(MIN_BLOCKS, len(half_widths) - further + 1):
        if half_widths[blocks - 1] <= target:
            return blocks + further
    return None


def should_stop(
    baseline: Mapping[int, float],
    others: Mapping[str, Mapping[int, float]],
    *,
    target: float = TARGET,
    confidence: float = 0.95,
) -> StopDecision:
    """Whether the experiment may end with the blocks it has: block -> positive value, for the baseline and for each
    other configuration that is still run. Blocks that not all of them have are not whole, and do not count."""
    common = sorted(set(baseline).intersection(*(set(values) for values in others.values())))
    if not others or not common:
        return StopDecision(False, len(common), None, "There is no whole block to compare yet.")
    widths = [math.inf] * min(MIN_BLOCKS - 1, len(common))
    for count in range(MIN_BLOCKS, len(common) + 1):
        known = common[:count]
        ratios = ratios_to_baseline(
            {b: baseline[b] for b in known},
            {name: {b: values[b] for b in known} for name, values in others.items()},
            confidence,
        )
        widths.append(max(_half_width(r) for r in ratios.values()))
    width = widths[-1] if math.isfinite(widths[-1]) else None
    if len(common) < LEAST:
        return StopDecision(False, len(common), width, f"{len(common)} whole blocks; {LEAST} are the least.")
    end = stop_at(widths, target)
    if end is not None:
        first = f"±{100 * target:g} % was reached after {end - FURTHER} blocks, and {FURTHER} more were run"
        return StopDecision(True, len(common), width, f"All intervals of ratios are narrow enough: {first}.")
    if min(widths[MIN_BLOCKS - 1 :]) <= target:
        return StopDecision(False, len(common), width, "The intervals are narrow enough; the last blocks are run.")
    return StopDecision(False, len(common), width, f"The widest interval of a ratio is ±{100 * widths[-1]:.2g} %.")


def problems_of(experiment: Experiment, configurations: int) -> tuple[Problem, ...]:
    """What would keep an experiment that asks for it from ending early; `configurations` are those that run."""
    from workbench.metrics.registry import METRICS, find  # late: this module is arithmetic otherwise

    run, place = experiment.run, experiment.name
    if run.stop_at_ratio is None:
        return ()
    found: list[Problem] = []
    kind, trains = experiment.workload.kind, experiment.workload.trains
    instead = Fix("Decode throughput", "run.stop_metric", METRIC)
    if trains:
        instead = Fix("Test loss", "run.stop_metric", "test_loss")
    if run.stop_metric is not None and find(run.stop_metric) is None:
        hint = did_you_mean(run.stop_metric, tuple(m.id for m in METRICS), show=0)
        message = f"No metric is called {run.stop_metric}: nothing would say when to stop."
        found.append(Problem(severity="error", place=place, message=message, hint=hint, fixes=(instead,)))
    known = find(run.stop_metric or METRIC)
    if known is not None and (
        (trains and (known.task == "generate" or known.of_requests)) or (kind == "inference" and known.task == "train")
    ):
        message = f"{known.title} is no figure of {kind}: nothing would end it early, and all trials are run."
        found.append(Problem(severity="warning", place=place, message=message, fixes=(instead,)))
    if run.trials < LEAST:
        message = f"Ending early needs {LEAST} trials of each at the least; with {run.trials} all of them are run."
        fix = Fix("At most 20 trials", "run.trials", 20)
        found.append(Problem(severity="warning", place=place, message=message, fixes=(fix,)))
    if configurations == 1:
        message = "Ending early looks at ratios between configurations; with one there is none, and all trials are run."
        found.append(Problem(severity="warning", place=place, message=message))
    return tuple(found)


def _half_width(ratio: RatioEstimate) -> float:
    """0 for a ratio without error, infinite for one without an interval."""
    if ratio.interval is None:
        return 0.0 if ratio.deterministic else math.inf
    return math.sqrt(ratio.interval.high / ratio.interval.low) - 1
