"""What is registered is documented, and complete."""

from __future__ import annotations

import re

from tests.house import ROOT
from workbench.metrics.registry import METRICS, PER_TRIAL
from workbench.units import scale

PAGE = ROOT / "docs" / "metrics.md"


def test_that_every_metric_has_its_row_and_every_row_its_metric() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    named = {id for row in rows for id in re.findall(r"`(\w+)`", row.split("|")[1])}
    ids = {m.id for m in METRICS}
    assert ids - named == set()
    assert named & {r for r in named if r.endswith(("_s", "_bytes", "_joules", "_ratio", "_watts"))} <= ids


def test_that_every_metric_says_what_it_needs_and_how_it_is_shown() -> None:
    for m in METRICS:
        assert m.needs, m.id
        assert scale(m.unit, m.shown_unit) > 0
        assert m.better != "neither" or m.group in ("energy", "cost")
    assert [m for m in METRICS if m.compared] == [m for m in METRICS if m not in PER_TRIAL]
