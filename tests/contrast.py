"""Contrast of colours by WCAG 2.2, for tests of what is painted."""

from __future__ import annotations


def luminance(color: str) -> float:
    """Relative luminance of "#RRGGBB": what is left of a colour for everyone."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """1.0 (the same) to 21.0 (black on white)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
