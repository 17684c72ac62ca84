"""How the command palette finds things: letters in order, word starts and runs count more. Pure; no Qt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """Something the palette can offer. `id` is the caller's; `text` is shown; `words` are searched as well."""

    id: str
    text: str
    detail: str = ""
    keys: str = ""
    words: str = ""
    icon: str = ""
    enabled: bool = True


def score(pattern: str, text: str) -> float | None:
    """How well `text` matches; None where a letter is missing. Every word of the pattern must match somewhere."""
    total = 0.0
    lowered = text.lower()
    for word in pattern.lower().split():
        best = _word_score(word, lowered)
        if best is None:
            return None
        total += best
    return total - 0.01 * len(text)


def _word_score(word: str, text: str) -> float | None:
    at = text.find(word)
    if at >= 0:
        starts = at == 0 or not text[at - 1].isalnum()
        return 3.0 * len(word) + (4.0 if starts else 0.0)
    points, position, previous = 0.0, 0, -2
    for letter in word:
        found = text.find(letter, position)
        if found < 0:
            return None
        starts = found == 0 or not text[found - 1].isalnum()
        points += 1.0 if found == previous + 1 else 0.6 if starts else 0.0
        previous, position = found, found + 1
    # scattered letters are a match only if most of them begin a word or follow one another
    return points if points >= 0.6 * len(word) else None


def rank(pattern: str, candidates: Iterable[Candidate], recent: Sequence[str] = (), limit: int = 50) -> list[Candidate]:
    """The candidates that match, best first. Without a pattern: the recently used, then the rest in their order."""
    everything = list(candidates)
    order = {id: len(recent) - i for i, id in enumerate(recent)}
    if not pattern.strip():
        return sorted(everything, key=lambda c: -order.get(c.id, 0))[:limit]
    scored: list[tuple[float, int, Candidate]] = []
    for index, candidate in enumerate(everything):
        title = score(pattern, candidate.text)
        other = score(pattern, f"{candidate.text} {candidate.detail} {candidate.words}")
        if title is None and other is None:
            continue
        points = max(title if title is not None else -1e9, (other if other is not None else -1e9) - 2.0)
        points += 0.2 * order.get(candidate.id, 0) - (0.0 if candidate.enabled else 3.0)
        scored.append((points, index, candidate))
    return [c for _, _, c in sorted(scored, key=lambda s: (-s[0], s[1]))[:limit]]
