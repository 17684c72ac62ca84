"""The sliding window that perplexity is computed over, the same for every engine. Pure.

A window holds at most `CONTEXT_TOKENS` tokens, of which the last three quarters count: every counted token has at
least a quarter of a window of context before it, and is counted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CONTEXT_TOKENS = 512


@dataclass(frozen=True)
class Window:
    """Tokens `start`..`end`, of which those from `counted` on are scored; all in the text's numbering."""

    start: int
    counted: int
    end: int


def windows(tokens: int, size: int) -> Iterator[Window]:
    """Windows that score exactly `tokens` tokens, the first after a quarter of a window of context."""
    context = max(1, size // 4)
    stride = size - context
    first = context
    while first < context + tokens:
        end = min(first + stride, context + tokens)
        yield Window(first - context, first, end)
        first = end


def tokens_needed(tokens: int, size: int) -> int:
    """Length of text (tokens) for `windows(tokens, size)`."""
    return max(1, size // 4) + tokens


def size_for(own_context: int | None) -> int:
    """`CONTEXT_TOKENS`, or the model's own context (tokens) where that is known and shorter."""
    return min(CONTEXT_TOKENS, own_context) if own_context is not None and own_context > 1 else CONTEXT_TOKENS
