"""The filter of the Compare page: words and regular expressions over labels. Pure; no Qt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """One word of the filter. `name` is "" where any label may match."""

    name: str
    pattern: re.Pattern[str]

    def matches(self, labels: Mapping[str, str]) -> bool:
        return any(
            self.pattern.search(value) is not None
            for name, value in labels.items()
            if not self.name or name.lower().startswith(self.name)
        )


@dataclass(frozen=True)
class Filter:
    """All terms must match. `plain` holds the terms that are no regular expression and were taken letter by letter."""

    terms: tuple[Term, ...] = ()
    plain: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(term.matches(labels) for term in self.terms)


def parse(text: str, names: frozenset[str] = frozenset()) -> Filter:
    """ "precision:(int|nf)" looks into labels whose name begins so, "int8" into all. `names` are the labels there are:
    a word before a colon that begins none of them belongs to the pattern."""
    terms, plain = [], []
    for word in text.split():
        name, colon, rest = word.partition(":")
        known = bool(colon) and bool(name) and any(n.lower().startswith(name.lower()) for n in names)
        source = rest if known else word
        if not source:
            continue
        try:
            pattern = re.compile(source, re.IGNORECASE)
        except re.error:
            pattern = re.compile(re.escape(source), re.IGNORECASE)
            plain.append(source)
        terms.append(Term(name.lower() if known else "", pattern))
    return Filter(tuple(terms), tuple(plain))
