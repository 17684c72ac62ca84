"""A trial's records arranged for arithmetic. Built from records alone, so any metric can be recomputed at any time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.protocol.records import Cue, Evaluation, ModelLoaded, Record, Request, SensorLost, TrialEnded, TrialStarted

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Span:
    name: str
    index: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class SampleSeries:
    """Readings of one quantity: times (n,) int64 ns, values (n,) float64, NaN where a reading failed."""

    source: str
    quantity: str
    times_ns: Longs
    values: Floats


@dataclass(frozen=True)
class TrialRecords:
    started: TrialStarted | None
    ended: TrialEnded | None
    model: ModelLoaded | None
    requests: tuple[Request, ...]
    """All, warm-up included, in order."""
    stamps_ns: Longs
    """(n,) token times by stamp number."""
    spans: tuple[Span, ...]
    samples: dict[tuple[str, str], SampleSeries]
    evaluations: tuple[Evaluation, ...]
    cues: tuple[Cue, ...]
    lost_sensors: tuple[SensorLost, ...]
    peaks: dict[tuple[str, str], int]
    """Bytes by (phase, source)."""
    environment: dict[str, str]
    sensors_missing: dict[str, str]
    """Reason by quantity."""

    @property
    def measured(self) -> tuple[Request, ...]:
        return tuple(r for r in self.requests if not r.warmup)

    def token_times(self, request: Request) -> Longs:
        """Times (ns) of one request's own tokens, shape (stamps,): nothing of its neighbours."""
        return self.stamps_ns[request.first_stamp : request.first_stamp + request.stamps]

    def window(self) -> tuple[int, int] | None:
        """Start and end (ns) of the measured window: from the first measured request's start to the last one's end."""
        measured = self.measured
        return (measured[0].start_ns, measured[-1].end_ns) if measured else None


def arrange(records: Iterable[Record]) -> TrialRecords:
    """Arrange records in any order of arrival. Missing parts are None or empty, never an exception."""
    raise NotImplementedError
