"""Loss against training compute: the runs, and the compute-optimal line of their law with its interval. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.charts.stored import Chart, ChartAxis, Series
from workbench.comparison.scaling import Group, sentences
from workbench.metrics.registry import metric
from workbench.statistics.power_law import Refusal
from workbench.statistics.scaling import FLOPS, Scaling
from workbench.version import version

_POINTS = 25


def scaling_chart(groups: Sequence[Group]) -> Chart:
    """Runs as circles, a line for each law over the compute that was measured; none where the runs do not determine
    the compute-optimal size."""
    fitted = [(g, g.found) for g in groups if isinstance(g.found, Scaling)]
    series, notes = list[Series](), list[str]()
    for color, (group, found) in enumerate(fitted):
        series.append(_runs(group, found, color))
        line = _line(group, found, color)
        if line is None:
            notes.append(f"{group.title}: the runs do not determine the compute-optimal line.")
        else:
            series.append(line)
    notes += ["Line: compute-optimal loss of the law; band: its 95 % bootstrap interval."] if series else []
    title = metric(fitted[0][0].loss).title if fitted else "Loss"
    refused = next((f"{g.title}: {g.found.reason}" for g in groups if isinstance(g.found, Refusal)), "")
    names = ", ".join(dict.fromkeys(name for g in groups for name in g.experiments))
    trials = sum(len(g.trials) for g in groups)
    return Chart(
        id="scaling:compute",
        title=f"{title} against training compute",
        subtitle=f"{trials} runs",
        x=ChartAxis("Training compute, 6 x parameters x tokens", "FLOPs", log=True),
        y=ChartAxis(title, "nats/token", log=True, note="lower is better"),
        series=tuple(series),
        notes=tuple(notes),
        provenance=f"{names} · {trials} trials · llm-workbench {version()}",
        summary=" ".join(line for group in groups for line in sentences(group)),
        empty="" if series else refused or "Nothing was pretrained here.",
    )


def _runs(group: Group, found: Scaling, color: int) -> Series:
    return Series(
        key=f"runs:{group.title}",
        title=group.title,
        x=np.array([FLOPS * r.parameters * r.tokens for r in found.runs]),
        y=np.array([r.loss for r in found.runs]),
        color=color,
        style="markers",
        labels=("",) * len(found.runs),
    )


def _line(group: Group, found: Scaling, color: int) -> Series | None:
    computes = np.geomspace(found.compute.low, found.compute.high, _POINTS)
    points = []
    for compute in computes.tolist():
        best = found.optimum(compute)
        if isinstance(best, Refusal):
            continue
        loss = found.predict(best.value, compute / FLOPS / best.value)
        if not isinstance(loss, Refusal):
            points.append((compute, loss.value, loss.interval.low, loss.interval.high))
    if len(points) < 2:
        return None
    x, y, low, high = (np.array(column) for column in zip(*points, strict=True))
    return Series(f"law:{group.title}", f"{group.title}, law", x, y, color, y_low=low, y_high=high)
