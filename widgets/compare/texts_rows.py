"""Written texts as values: prompts, columns, and where each text leaves the baseline's. No Qt."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from workbench.texts import ConfigurationText, PromptTexts

MOST_FIRST = 4
"""Columns that are shown before anybody has chosen."""
_WORD_END = re.compile(r"\s|$")


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


def shown_columns(prompts: Sequence[PromptTexts], chosen: Collection[str] | None) -> tuple[str, ...]:
    """Configurations in columns, the baseline first and always; without a choice the first few that wrote."""
    if not prompts:
        return ()
    everyone = [t for t in prompts[0].texts if t.is_baseline] + [t for t in prompts[0].texts if not t.is_baseline]
    wrote = {t.configuration for p in prompts for t in p.texts if t.text is not None}
    if chosen is None:
        return tuple(t.configuration for t in everyone if t.is_baseline or t.configuration in wrote)[:MOST_FIRST]
    return tuple(t.configuration for t in everyone if t.is_baseline or t.configuration in chosen)


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
    how = "ended by itself" if text.ended else "cut there"
    length = f"{text.tokens:,} token{'' if text.tokens == 1 else 's'}, {how}"
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
    count = f"{at:,} character{'' if at == 1 else 's'}"
    return f"Same for {count}" + (", then ends" if at >= len(text) else "")


def _summary(prompt: PromptTexts) -> str:
    others = [t for t in prompt.texts if not t.is_baseline and t.text is not None]
    if not others:
        return "one text"
    differ = sum(t.first_difference is not None for t in others)
    if not differ:
        return f"all {len(others) + 1} the same"
    return f"{differ} of {len(others)} differ"
