"""The techniques of the data axis as rules over documents. Worker process; no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engines.data.filters import duplicates, rules
from engines.data.filters.chain import Rule
from engines.protocol.orders import TechniqueOrder
from engines.protocol.settings import Scalar

NamedRule = tuple[str, Rule]


def rule_of(order: TechniqueOrder) -> Sequence[NamedRule]:
    """What stage "data" calls, with complete parameters."""
    return _RULES[order.id](order.parameters)


def _number(given: Mapping[str, Scalar], name: str) -> float:
    value = given[name]
    assert isinstance(value, int | float)
    return value


def _quality(given: Mapping[str, Scalar]) -> Sequence[NamedRule]:
    shortest, ratio = int(_number(given, "characters")), _number(given, "compression")
    lines, words = _number(given, "repeated_lines"), _number(given, "repeated_words")
    return (
        (f"shorter than {shortest:,} characters", rules.length(shortest)),
        (f"compresses less than {ratio:g} times", rules.compression(ratio)),
        (f"over {lines:.0%} of lines or {words:.0%} of words repeated", rules.repetition(lines, words)),
    )


def _near(given: Mapping[str, Scalar]) -> Sequence[NamedRule]:
    similarity = _number(given, "similarity")
    return ((f"alike by {similarity:g} or more to an earlier one", duplicates.near(similarity)),)


_RULES: dict[str, Callable[[Mapping[str, Scalar]], Sequence[NamedRule]]] = {
    "data.exact": lambda _: (("exact copies", duplicates.exact()),),
    "data.near": _near,
    "data.quality": _quality,
}
