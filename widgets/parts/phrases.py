"""Small texts that several pages show. No Qt."""

from __future__ import annotations

import math


def span(seconds: float) -> str:
    """A running time, which keeps its width: "0.9 s", "36 s", "1 min 05 s", "1 h 36 min"."""
    if not math.isfinite(seconds) or seconds < 0:
        return "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def as_clause(sentence: str) -> str:
    """A sentence as it reads after a colon: no full stop, no capital unless it begins an abbreviation."""
    text = sentence.strip().removesuffix(".")
    second = text[1:2]
    return text[:1].lower() + text[1:] if second.islower() or second == " " else text
