"""What the Self-check panel shows, as values. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.selfcheck.result import SelfCheck, Verdict
from workbench.selfcheck.words import cautions, device_title, extent, headline, rows, update_rate, when

_FIRM = "\u00a0"
_LOOK: dict[Verdict, tuple[str, str]] = {
    "passed": ("check", "status.good"),
    "missed": ("error", "status.bad"),
    "inconclusive": ("warning", "status.warn"),
}


@dataclass(frozen=True)
class PanelRow:
    """`icon` is "" where there is no bar to pass."""

    title: str
    value: str
    meaning: str
    icon: str = ""
    color: str = ""
    state: str = ""
    """What the icon says, for its tooltip and for a screen reader."""


@dataclass(frozen=True)
class PanelFacts:
    when: str
    extent: str
    rows: tuple[PanelRow, ...]
    cautions: tuple[str, ...]
    chip: tuple[str, str] | None
    """The worst of the verdicts and its status: "1 missed" bad, "1 inconclusive" warn, "3 passed" good."""


def panel_facts(result: SelfCheck) -> PanelFacts:
    shown = []
    counts: dict[Verdict, int] = {}
    for row in rows(result):
        if row.verdict is None:
            shown.append(PanelRow(row.title, row.value, _kept(row.meaning)))
            continue
        counts[row.verdict] = counts.get(row.verdict, 0) + 1
        icon, color = _LOOK[row.verdict]
        shown.append(
            PanelRow(
                row.title, row.value, _kept(row.meaning), icon, color, f"{row.verdict}: {row.bar}".replace(" ", _FIRM)
            )
        )
    worst: tuple[tuple[Verdict, str], ...] = (("missed", "bad"), ("inconclusive", "warn"), ("passed", "good"))
    chip = next(((f"{counts[verdict]} {verdict}", status) for verdict, status in worst if verdict in counts), None)
    return PanelFacts(
        when(result), f"{extent(result)} on {device_title(result)}.", tuple(shown), cautions(result), chip
    )


def _kept(text: str) -> str:
    """No line ends between a number and its per cent."""
    return text.replace(" %", f"{_FIRM}%")


def measured_rates(result: SelfCheck | None) -> dict[tuple[str, str], str]:
    """How often each sensor's value really changes, by source and quantity; empty without a self-check."""
    if result is None or result.instruments is None:
        return {}
    return {
        (source.source, rate.quantity): update_rate(rate)
        for source in result.instruments.sources
        for rate in source.quantities
        if rate.updates_hz is not None
    }


def text_report(result: SelfCheck) -> str:
    """For the machine report."""
    facts = panel_facts(result)
    lines = [f"Self-check {headline(result)}"]
    for row in facts.rows:
        state = f" [{row.state}]" if row.state else ""
        lines.append(f"  {row.title}: {row.value}{state}. {row.meaning}")
    lines += [f"  {caution}" for caution in facts.cautions]
    return "\n".join(lines) + "\n"
