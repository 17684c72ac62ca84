"""Where an exported file comes from, in words that travel inside it. Pure but for the clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from workbench.charts.stored import Chart, provenance_line
from workbench.comparison.results import Comparison
from workbench.version import version

SOFTWARE = "llm-workbench"


@dataclass(frozen=True)
class Provenance:
    """`text` is one line for people and machines; `made` is ISO 8601 UTC."""

    title: str
    text: str
    made: str

    @property
    def footer(self) -> str:
        """The caption of an exported chart."""
        return " · ".join(part for part in (self.text, self.made[:10]) if part)

    def lines(self) -> tuple[str, ...]:
        """For a file's comment lines."""
        return (self.title, self.text, f"Exported {self.made} by {SOFTWARE} {version()}")


def of_chart(chart: Chart, made: datetime | None = None) -> Provenance:
    return Provenance(chart.title, chart.provenance, _stamp(made))


def of_comparison(comparison: Comparison, made: datetime | None = None) -> Provenance:
    return Provenance(comparison.name, provenance_line(comparison, comparison.rows), _stamp(made))


def _stamp(made: datetime | None) -> str:
    return (made or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
