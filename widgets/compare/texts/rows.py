"""Written texts as values: prompts, columns, and where each text leaves the baseline's. No Qt."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import log
from types import MappingProxyType

from workbench.comparison.results import Comparison
from workbench.comparison.texts import ConfigurationText, PromptTexts
from workbench.units import counted

MOST_FIRST = 4
"""Columns that are shown before anybody has chosen."""
_WORD_END = re.compile(r"\s|$")


@dataclass(frozen=True)
class Standing:
    """What tells configurations apart at first sight."""

    engine: str = ""
    size: float | None = None
    """Bytes of the loaded tensors; None where no trial recorded it."""


_UNKNOWN = Standing()
NOTHING_KNOWN: Mapping[str, Standing] = MappingProxyType({})


@dataclass(frozen=True)
class PromptRow:
    """An entry of the list of prompts."""

    id: str
    title: str
    summary: str


@dataclass(frozen=True)
class TextColumn:
    """One configuration's text for one prompt."""

    configuration: str
    title: str
    color: int
    meta: str
    """How far it agrees with the baseline, and its length."""
    text: str
    same: int = 0
    """Characters from the beginning that are the baseline's."""
    mark: tuple[int, int] | None = None
    """Characters of the first difference, to the end of its word; None where there is none."""
    tone: str = "muted"
    reason: str = ""
    """Why there is no text."""
    baseline: bool = False


def prompt_rows(prompts: Sequence[PromptTexts]) -> tuple[PromptRow, ...]:
    """ "explain-gravity" as "Explain gravity", and how many configurations left the baseline's text."""
    return tuple(PromptRow(p.prompt_id, prompt_title(p.prompt_id), _summary(p)) for p in prompts)


def prompt_title(id: str) -> str:
    words = id.replace("-", " ").replace("_", " ").strip()
    return words[:1].upper() + words[1:] or "Prompt"


def standings(comparison: Comparison) -> dict[str, Standing]:
    """Engine and size of every configuration of a comparison."""
    return {
        r.configuration: Standing(
            r.labels.get("engine", ""), cell.value if (cell := r.cells.get("tensor_bytes")) is not None else None
        )
        for r in comparison.rows
    }


def shown_columns(
    prompts: Sequence[PromptTexts], chosen: Collection[str] | None, known: Mapping[str, Standing] = NOTHING_KNOWN
) -> tuple[str, ...]:
    """Configurations in columns, the baseline first and always; without a choice a few that wrote, spread over engines
    and sizes as far as these are `known`."""
    if not prompts:
        return ()
    everyone = [t for t in prompts[0].texts if t.is_baseline] + [t for t in prompts[0].texts if not t.is_baseline]
    wrote = {t.configuration for p in prompts for t in p.texts if t.text is not None}
    if chosen is None:
        writers = [t.configuration for t in everyone if t.is_baseline or t.configuration in wrote]
        chosen = spread(writers, known, MOST_FIRST)
    return tuple(t.configuration for t in everyone if t.is_baseline or t.configuration in chosen)


def spread(configurations: Sequence[str], known: Mapping[str, Standing], most: int) -> tuple[str, ...]:
    """The first configuration and others that stand far from it and from each other: the smallest and the largest,
    then of the engine with the fewest the one whose size is farthest from those taken. The earlier of equals; at most
    `most`, in the given order."""
    taken = list(configurations[:1])
    rest = list(configurations[1:])

    def share(configuration: str) -> int:
        """How many of its engine are taken."""
        engine = known.get(configuration, _UNKNOWN).engine
        return sum(known.get(c, _UNKNOWN).engine == engine for c in taken)

    def distance(configuration: str) -> float:
        """Of its size to the nearest one taken, as a logarithm; 0 where it is not known."""
        sizes = [size for c in taken if (size := known.get(c, _UNKNOWN).size)]
        own = known.get(configuration, _UNKNOWN).size
        return min((abs(log(own / size)) for size in sizes), default=0.0) if own else 0.0

    sizes = sorted({size for c in configurations if (size := known.get(c, _UNKNOWN).size)})
    for extreme in (*sizes[:1], *sizes[-1:]):
        of_size = [c for c in rest if known.get(c, _UNKNOWN).size == extreme]
        if len(taken) < most and of_size and all(known.get(c, _UNKNOWN).size != extreme for c in taken):
            taken.append(min(of_size, key=share))
            rest.remove(taken[-1])
    while rest and len(taken) < most:
        taken.append(min(rest, key=lambda c: (share(c), -distance(c))))
        rest.remove(taken[-1])
    return tuple(c for c in configurations if c in taken)


def columns(prompt: PromptTexts, shown: Sequence[str], titles: Mapping[str, str]) -> tuple[TextColumn, ...]:
    """The columns of one prompt, in the order of `shown`."""
    by_id = {t.configuration: t for t in prompt.texts}
    return tuple(_column(by_id[c], titles.get(c) or by_id[c].title) for c in shown if c in by_id)


def found_in(text: str, words: str) -> tuple[tuple[int, int], ...]:
    """Where a search is found, without regard to case; every place, as (start, end)."""
    if not words.strip():
        return ()
    return tuple((m.start(), m.end()) for m in re.finditer(re.escape(words.strip()), text, re.IGNORECASE))


def as_text(prompt: PromptTexts, shown: Sequence[TextColumn]) -> str:
    """The prompt and the columns as plain text, for the clipboard."""
    parts = [f"Prompt ({prompt.prompt_id}):\n{prompt.prompt}"]
    parts += [f"{c.title} ({c.meta}):\n{c.text or c.reason}" for c in shown]
    return "\n\n".join(parts) + "\n"


def _column(text: ConfigurationText, title: str) -> TextColumn:
    if text.text is None:
        return TextColumn(
            text.configuration, title, text.color, "no text", "", reason=text.reason, baseline=text.is_baseline
        )
    how = "ended on its own" if text.ended else "cut there"
    length = f"{counted(text.tokens, 'tokens')}, {how}"
    if text.is_baseline:
        meta = f"Baseline · {length}"
        return TextColumn(
            text.configuration, title, text.color, meta, text.text, same=len(text.text), tone="link", baseline=True
        )
    at = text.first_difference
    if at is None:
        said = "Same as the baseline" if text.same_as_baseline else "Not compared"
        meta = f"{said} · {length}"
        return TextColumn(text.configuration, title, text.color, meta, text.text, same=len(text.text), tone="good")
    end = _WORD_END.search(text.text, at + 1)
    mark = (at, end.start() if end is not None else len(text.text)) if at < len(text.text) else None
    meta = f"{_agrees(text.text, at)} · {length}"
    return TextColumn(text.configuration, title, text.color, meta, text.text, same=at, mark=mark, tone="warn")


def _agrees(text: str, at: int) -> str:
    if at == 0:
        return "Differs from the first character"
    count = counted(at, "characters")
    return f"Same for {count}" + (", then ends" if at >= len(text) else "")


def _summary(prompt: PromptTexts) -> str:
    others = [t for t in prompt.texts if not t.is_baseline and t.text is not None]
    if not others:
        return "one text"
    differ = sum(t.first_difference is not None for t in others)
    if len(others) == 1:
        return "the two differ" if differ else "both the same"
    if not differ:
        return f"all {len(others) + 1} the same"
    return f"{differ} of {len(others)} differ"
