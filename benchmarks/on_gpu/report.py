"""What a run on a GPU found: frozen values, written as JSON and as Markdown. msgspec only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

Outcome = Literal["ran", "failed", "not available", "no time left"]


class Finding(msgspec.Struct, frozen=True):
    """One figure, or one fact in words. `value` None: not available, and `note` says why."""

    name: str
    value: float | str | None
    unit: str = ""
    note: str = ""


class Table(msgspec.Struct, frozen=True):
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class PartReport(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    title: str
    question: str
    outcome: Outcome
    reason: str = ""
    """Why it failed or is not available, and why findings may be incomplete."""
    limit_s: float = 0.0
    took_s: float = 0.0
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    raw: dict[str, object] = {}
    """Curves and whole sets of figures, for whoever wants to look closer; JSON only."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    started_at: str
    """ISO 8601, UTC."""
    minutes: float
    rehearsal: bool
    machine: dict[str, str]
    parts: tuple[PartReport, ...] = ()


def write(report: Report, folder: Path) -> None:
    """`report.json` and `report.md`, each whole at any moment. Raises OSError."""
    replace(folder / "report.json", msgspec.json.format(msgspec.json.encode(report), indent=1))
    replace(folder / "report.md", markdown(report).encode())


def replace(file: Path, content: bytes) -> None:
    """A file that others see whole or not at all. Raises OSError."""
    written = file.with_name(file.name + ".new")
    written.write_bytes(content)
    written.replace(file)


def markdown(report: Report) -> str:
    title = "Rehearsal on a processor: no figure here is one of a GPU" if report.rehearsal else "Run on a GPU"
    lines = [f"# {title}", "", f"Started {report.started_at}, {report.minutes:g} minutes.", ""]
    lines += _table(("machine", ""), [(name, value) for name, value in report.machine.items()])
    lines += _table(
        ("part", "outcome", "took", "limit"),
        [(p.title, said(p), f"{p.took_s:.0f} s", f"{p.limit_s:.0f} s") for p in report.parts],
    )
    for part in report.parts:
        lines += [f"## {part.title}", "", part.question, "", f"**{said(part)}**", ""]
        lines += _table(("what", "value", "note"), [(f.name, shown(f), f.note) for f in part.findings])
        for table in part.tables:
            lines += [f"### {table.title}", "", *_table(table.head, table.rows)]
    return "\n".join(lines).rstrip() + "\n"


def said(part: PartReport) -> str:
    """ "ran", "failed: it ended with exit code 1", ..."""
    return f"{part.outcome}: {part.reason}" if part.reason else part.outcome


def shown(finding: Finding) -> str:
    if finding.value is None:
        return "not available"
    return f"{number(finding.value)} {finding.unit}".rstrip()


def number(value: float | str) -> str:
    """Four significant digits, never as a power of ten."""
    if isinstance(value, str):
        return value
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table with an empty one behind; none without rows."""
    if not rows:
        return []
    lines = [head, ["---"] * len(head), *rows]
    return [*("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines), ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
