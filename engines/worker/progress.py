"""How far a trial is: a table of its parts with their weights, one for each kind of work. Torch-free; worker."""

from __future__ import annotations

from collections.abc import Mapping

from engines.worker.record_writer import RecordWriter


class Progress:
    """Turns a share of one part into a fraction of the whole trial."""

    def __init__(self, writer: RecordWriter, weights: Mapping[str, float]) -> None:
        """`weights`: parts in the order they run, and the share of a typical trial that each takes, in any unit."""
        self._writer = writer
        total, before = sum(weights.values()), 0.0
        self._places: dict[str, tuple[float, float]] = {}
        for part, weight in weights.items():
            self._places[part] = (before / total, weight / total)
            before += weight

    def tell(self, part: str, text: str, share: float = 0.0) -> None:
        """`share`: how much of the part is done, 0..1."""
        start, length = self._places[part]
        self._writer.progress(text, round(start + length * min(1.0, share), 4))
