"""Tables in a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence

from workbench.comparison.comparison import worth_listing
from workbench.comparison.results import Comparison
from workbench.comparison.training.ranks import Ranking
from workbench.export.tables import absences, comparison_json, comparison_table, same_for_all
from workbench.metrics.registry import METRICS, metric

_ALWAYS_EXPLAINED = {"energy_per_token_joules", "power_mean_watts"}
"""What everybody looks for: their absence is explained even where they are no column."""


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, right: frozenset[int] = frozenset()
) -> None:
    """Columns as wide as their widest cell; `right` names the columns of numbers. A cell may have several lines."""
    cells = [[str(cell).splitlines() or [""] for cell in row] for row in (header, *rows)]
    widths = [max(len(line) for row in cells for line in row[column]) for column in range(len(header))]
    for number, row in enumerate(cells):
        for line in range(max(len(cell) for cell in row)):
            parts = [cell[line] if line < len(cell) else "" for cell in row]
            aligned = [
                p.rjust(w) if i in right else p.ljust(w) for i, (p, w) in enumerate(zip(parts, widths, strict=True))
            ]
            print("  ".join(aligned).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def print_comparison(comparison: Comparison, *, as_json: bool = False, metrics: Sequence[str] = ()) -> None:
    """A comparison with intervals and verdicts, or its JSON."""
    if as_json:
        print(json.dumps(comparison_json(comparison), indent=2))
        return
    header, rows = comparison_table(comparison, metrics)
    print_table(header, rows)
    if comparison.training is not None:
        _print_ranks(comparison.training.rankings)
    listed = {m.id for m in METRICS if worth_listing(m, comparison)}
    wanted = set(metrics) or listed | _ALWAYS_EXPLAINED
    missing = {m: reason for m, reason in comparison.unavailable.items() if m in wanted}
    more = len(comparison.unavailable) - len(missing)
    told_more = [f"{more} more metrics are not available; --json says why, each."] if more else []
    for note in (*same_for_all(comparison), *absences(missing), *told_more, *comparison.footnotes):
        print(note)


def _print_ranks(rankings: Sequence[Ranking]) -> None:
    """Per metric and size of model, where three methods or more are ranked: of two the verdicts say it all."""
    told = [r for r in rankings if len(r.ranks) > 2]
    if not told:
        return
    print()
    rows = [(metric(r.metric).title, r.size, ", ".join(f"{one.method} {one.words}" for one in r.ranks)) for r in told]
    print_table(("rank by", "among models of", "best value first; a span where intervals leave the rank open"), rows)
    print()
