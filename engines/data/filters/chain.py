"""Rules over documents, one after the other, and what each removed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Rule = Callable[[Sequence[str]], Sequence[int]]
"""Places of the documents that stay, in the order in which they are to be read."""

EXAMPLES = 3
_SHOWN = 80
"""Characters of an example."""


@dataclass(frozen=True)
class Removal:
    """What one rule did."""

    rule: str
    """ "near copies, similarity 0.8"."""
    documents: int
    size_bytes: int
    examples: tuple[str, ...]
    """Beginnings of the first that were removed."""
    reordered: bool = False

    def __str__(self) -> str:
        moved = ", rest in another order" if self.reordered else ""
        return f"{self.rule}: {self.documents:,} documents, {self.size_bytes:,} bytes removed{moved}"


@dataclass(frozen=True)
class Filtered:
    documents: tuple[str, ...]
    removals: tuple[Removal, ...]
    before_documents: int
    before_bytes: int

    def facts(self) -> dict[str, str]:
        """For a trial's environment; {} where there were no rules."""
        if not self.removals:
            return {}
        removed = sum(r.documents for r in self.removals)
        size = sum(r.size_bytes for r in self.removals)
        facts = {
            "training.filters": "; ".join(map(str, self.removals)),
            "training.filters.removed_documents": f"{removed} of {self.before_documents}",
            "training.filters.removed_bytes": f"{size} of {self.before_bytes}",
        }
        examples = [f"{r.rule}: {e!r}" for r in self.removals for e in r.examples[:1]]
        return facts | ({"training.filters.examples": "; ".join(examples)} if examples else {})


def filtered(documents: Sequence[str], rules: Sequence[tuple[str, Rule]]) -> Filtered:
    """`rules` are named; each sees what the one before left."""
    now, removals = tuple(documents), list[Removal]()
    for name, rule in rules:
        kept = list(rule(now))
        stays = set(kept)
        gone = [document for place, document in enumerate(now) if place not in stays]
        removals.append(
            Removal(
                rule=name,
                documents=len(gone),
                size_bytes=sum(len(d.encode()) for d in gone),
                examples=tuple(" ".join(d[: 2 * _SHOWN].split())[:_SHOWN] for d in gone[:EXAMPLES]),
                reordered=kept != sorted(kept),
            )
        )
        now = tuple(now[place] for place in kept)
    return Filtered(now, tuple(removals), len(documents), sum(len(d.encode()) for d in documents))
