"""What a telemetry source is. A source belongs to the sampler's thread from its first `read` to its `close`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engines.protocol.records import Sensor

Reading = dict[str, float | None]
"""Values by quantity. None is a reading that failed; a quantity left out has no value at this moment (the first
difference of a counter, a process that has not touched the device yet)."""


@dataclass(frozen=True)
class SharedPages:
    """The template a worker was forked from: it maps the same pages, and halves the worker's proportional share."""

    pid: int
    pss_bytes: int
    """Its own proportional set size just before the fork."""


class SourceFailure(Exception):
    """A reading that failed as a whole; the text says why. Three in a row and the source counts as lost."""


class SourceEnded(Exception):
    """What the source watched has ended, as every worker does: nothing is wrong and nothing more will come."""


class Source(Protocol):
    """One thing that can be read again and again. Two sources may share a name and differ in period and quantities."""

    @property
    def name(self) -> str:
        """`source` of its records: "proc.tree", "nvml.GPU-…"."""

    @property
    def period_s(self) -> float:
        """Seconds between readings. May change from reading to reading; the sampler asks after each."""

    @property
    def disturbs(self) -> bool:
        """Whether a reading may disturb a latency measurement, so that it is left out while one runs."""

    def sensors(self) -> tuple[Sensor, ...]:
        """Its quantities, those it cannot read here included. Fixed for the source's life."""

    def read(self) -> Reading:
        """Read once. Raises `SourceEnded` when there is nothing left to watch; `SourceFailure`, `OSError` or
        `ValueError` for a reading that failed."""

    def close(self) -> None:
        """Give back files and handles. Safe to call twice."""
