"""The menu of columns: a check box for every metric; those without values say why. Main thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from widgets.compare.chart_panel import grouped
from widgets.compare.toolbar import StayOpenMenu, calling
from workbench.comparison.results import Comparison
from workbench.export.tables import default_metrics
from workbench.metrics.registry import METRICS, find


def fill_columns(
    menu: StayOpenMenu, comparison: Comparison, shown: Sequence[str], choose: Callable[[tuple[str, ...]], None]
) -> None:
    """`choose` is given the new columns at every check; () means the primary ones."""
    menu.clear()
    menu.setToolTipsVisible(True)
    primary = menu.addAction("The primary metrics")
    primary.setEnabled(tuple(shown) != default_metrics(comparison))
    primary.triggered.connect(calling(choose, ()))
    chosen = dict.fromkeys(shown)
    for group, metrics in grouped((*comparison.metrics, *comparison.unavailable)):
        menu.addSection(group)
        for metric in metrics:
            known = find(metric)
            title = known.title if known is not None else metric.replace("_", " ")
            missing = comparison.unavailable.get(metric)
            action = menu.addAction(f"{title} (not available)" if missing else title)
            action.setCheckable(True)
            action.setChecked(metric in chosen)
            action.setToolTip(missing or (known.definition if known is not None else title))
            action.toggled.connect(partial(_toggled, chosen, metric, choose))


def _toggled(chosen: dict[str, None], metric: str, choose: Callable[[tuple[str, ...]], None], checked: bool) -> None:
    """One column more or less; the order is the registry's."""
    if checked:
        chosen[metric] = None
    else:
        chosen.pop(metric, None)
    order = {m.id: (not m.primary, i) for i, m in enumerate(METRICS)}
    choose(tuple(sorted(chosen, key=lambda m: order.get(m, (True, len(order))))))
