"""The ranges a person has looked at, back and forth like a browser's pages. Plain values, no Qt."""

from __future__ import annotations

Range = tuple[float, float]
_KEPT = 100


class History:
    """`visit` after every zoom; `back` and `forward` give the range to show, or None at the end."""

    def __init__(self) -> None:
        self._ranges: list[Range] = []
        self._at = -1

    @property
    def can_back(self) -> bool:
        return self._at > 0

    @property
    def can_forward(self) -> bool:
        return self._at < len(self._ranges) - 1

    def visit(self, shown: Range) -> None:
        """`shown` is looked at from now on; what was ahead is forgotten."""
        if self._at >= 0 and self._ranges[self._at] == shown:
            return
        self._ranges = [*self._ranges[: self._at + 1], shown][-_KEPT:]
        self._at = len(self._ranges) - 1

    def back(self) -> Range | None:
        if not self.can_back:
            return None
        self._at -= 1
        return self._ranges[self._at]

    def forward(self) -> Range | None:
        if not self.can_forward:
            return None
        self._at += 1
        return self._ranges[self._at]

    def clear(self) -> None:
        self._ranges = []
        self._at = -1
