"""A trial's records arranged for arithmetic. Built from records alone, so any metric can be recomputed at any time."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from engines.protocol.records import (
    Artifact,
    Cue,
    Environment,
    Evaluation,
    FlopCount,
    LostRecord,
    MemoryParts,
    MemoryPeak,
    ModelLoaded,
    PhaseEnded,
    Record,
    Request,
    Resumed,
    Sensor,
    SensorLost,
    Sensors,
    Stamps,
    Step,
    TaskScore,
    Telemetry,
    TelemetryTurn,
    TookEffect,
    TrialEnded,
    TrialStarted,
)
from workbench.metrics.assumptions import NOTHING_ASSUMED, Assumptions

Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MISSING = -1
"""Stands in `stamps_ns` where a stamp number was never read from the ring."""

PAUSE_S = 0.5
"""A gap between training steps over this, and over a step, is a pause: something else ran."""

MAX_STAMPS = 1 << 24
"""Stamp numbers from here on are dropped: a broken record must not make us reserve gigabytes."""


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
    """(n,) token times by stamp number; `MISSING` where one was not read."""
    spans: tuple[Span, ...]
    samples: dict[tuple[str, str], SampleSeries]
    evaluations: tuple[Evaluation, ...]
    cues: tuple[Cue, ...]
    lost_sensors: tuple[SensorLost, ...]
    peaks: dict[tuple[str, str], int]
    """Bytes by (phase, source)."""
    environment: dict[str, str]
    sensors_missing: dict[str, str]
    """Reason by quantity, for quantities that no source of this trial can read."""
    sensors: tuple[Sensor, ...] = ()
    """Everything the telemetry said about its sources, available or not."""
    steps: tuple[Step, ...] = ()
    """Training steps, warm-up included, in order."""
    artifacts: tuple[Artifact, ...] = ()
    parts: MemoryParts | None = None
    """Of one untimed training step."""
    flops: FlopCount | None = None
    """Of one training step."""
    resumed: Resumed | None = None
    effects: tuple[TookEffect, ...] = ()
    """What each technique changed, in order: of a method that trains first when it was applied, then at the end."""
    scores: tuple[TaskScore, ...] = ()
    """On tasks, in order."""
    turns: tuple[TelemetryTurn, ...] = ()
    """Telemetry on and off on purpose, in order; () where it stayed on."""
    lost: tuple[int, ...] = ()
    """Numbers of records that cannot be read any more."""
    assumptions: Assumptions = NOTHING_ASSUMED
    """What the user has set: the only figures here that nobody measured."""

    @property
    def measured(self) -> tuple[Request, ...]:
        return tuple(r for r in self.requests if not r.warmup)

    @property
    def measured_steps(self) -> tuple[Step, ...]:
        return tuple(s for s in self.steps if not s.warmup)

    def token_times(self, request: Request) -> Longs:
        """Times (ns) of one request's own tokens, shape (stamps,): nothing of its neighbours."""
        return self.stamps_ns[request.first_stamp : request.first_stamp + request.stamps]

    def window(self) -> tuple[int, int] | None:
        """Start and end (ns) of the measured window: from the first measured request's start (or training step's,
        where there are no requests) to the last one's end."""
        measured: tuple[Request, ...] | tuple[Step, ...] = self.measured or self.measured_steps
        return (measured[0].start_ns, measured[-1].end_ns) if measured else None

    def stretches(self) -> tuple[tuple[int, int], ...]:
        """The measured window (ns) without the pauses of training: evaluations, and whatever else lay between steps for
        longer than a step and `PAUSE_S`. One stretch where requests were measured; () where nothing was."""
        window = self.window()
        if self.measured or window is None:
            return () if window is None else (window,)
        return stretches_of(self.measured_steps, self.spans)

    def detail(self, name: str) -> float | None:
        """A number the engine recorded of the loaded model ("layers"), None where it did not."""
        try:
            return None if self.model is None else float(self.model.details[name])
        except (KeyError, ValueError):
            return None


def stretches_of(steps: Sequence[Step], spans: Sequence[Span]) -> tuple[tuple[int, int], ...]:
    """Stretches (ns) of steps that follow one another without a pause; making the batches between them belongs to
    them."""
    if not steps:
        return ()
    evaluations = [s.start_ns for s in spans if s.name == "evaluate"]
    longest = max(PAUSE_S * 1e9, statistics.median(s.end_ns - s.start_ns for s in steps))
    found = [[steps[0].start_ns, steps[0].end_ns]]
    for before, after in pairwise(steps):
        pause = after.start_ns - round(after.data_s * 1e9) - before.end_ns
        if pause > longest or any(before.end_ns <= start <= after.start_ns for start in evaluations):
            found.append([after.start_ns, after.end_ns])
        found[-1][1] = after.end_ns
    return tuple((start, end) for start, end in found)


def arrange(records: Iterable[Record], assumptions: Assumptions = NOTHING_ASSUMED) -> TrialRecords:
    """Arrange records in any order of arrival. Missing parts are None or empty, never an exception.

    A record that arrives twice (same seq) counts once; records without a seq (0) are taken as they come.
    """
    started: TrialStarted | None = None
    ended: TrialEnded | None = None
    model: ModelLoaded | None = None
    requests: list[Request] = []
    steps: list[Step] = []
    spans: list[Span] = []
    evaluations: list[Evaluation] = []
    artifacts: list[Artifact] = []
    parts: MemoryParts | None = None
    flops: FlopCount | None = None
    resumed: Resumed | None = None
    effects: list[TookEffect] = []
    scores: list[TaskScore] = []
    cues: list[Cue] = []
    lost: list[SensorLost] = []
    stamps: list[Stamps] = []
    telemetry: list[Telemetry] = []
    turns: list[TelemetryTurn] = []
    gone: list[int] = []
    peaks: dict[tuple[str, str], int] = {}
    environment: dict[str, str] = {}
    sensors: dict[tuple[str, str], Sensor] = {}
    for record in _in_order(records):
        if isinstance(record, TrialStarted):
            started = record
        elif isinstance(record, TrialEnded):
            ended = record
        elif isinstance(record, ModelLoaded):
            model = record
        elif isinstance(record, Request):
            requests.append(record)
        elif isinstance(record, Step):
            steps.append(record)
        elif isinstance(record, PhaseEnded):
            spans.append(Span(record.name, record.index, record.start_ns, record.t_ns))
        elif isinstance(record, Evaluation):
            evaluations.append(record)
        elif isinstance(record, Artifact):
            artifacts.append(record)
        elif isinstance(record, MemoryParts):
            parts = record
        elif isinstance(record, FlopCount):
            flops = record
        elif isinstance(record, Resumed):
            resumed = record
        elif isinstance(record, TookEffect):
            effects.append(record)
        elif isinstance(record, TaskScore):
            scores.append(record)
        elif isinstance(record, Cue):
            cues.append(record)
        elif isinstance(record, SensorLost):
            lost.append(record)
        elif isinstance(record, Stamps):
            stamps.append(record)
        elif isinstance(record, Telemetry):
            telemetry.append(record)
        elif isinstance(record, TelemetryTurn):
            turns.append(record)
        elif isinstance(record, LostRecord):
            gone.append(record.seq)
        elif isinstance(record, MemoryPeak):
            key = (record.phase, record.source)
            peaks[key] = max(peaks.get(key, 0), record.peak_bytes)
        elif isinstance(record, Environment):
            environment.update(record.facts)
        elif isinstance(record, Sensors):
            sensors.update({(s.source, s.quantity): s for s in record.sensors})
    return TrialRecords(
        started=started,
        ended=ended,
        model=model,
        requests=tuple(sorted(requests, key=lambda r: (r.start_ns, r.first_stamp))),
        stamps_ns=_lay_out(stamps),
        spans=tuple(sorted(spans, key=lambda s: (s.start_ns, -s.end_ns))),
        samples=_collect(telemetry),
        evaluations=tuple(evaluations),
        cues=tuple(cues),
        lost_sensors=tuple(lost),
        peaks=peaks,
        environment=environment,
        sensors_missing=_missing(tuple(sensors.values())),
        sensors=tuple(sensors.values()),
        steps=tuple(sorted(steps, key=lambda s: (s.start_ns, s.index))),
        artifacts=tuple(artifacts),
        parts=parts,
        flops=flops,
        resumed=resumed,
        effects=tuple(effects),
        scores=tuple(scores),
        turns=tuple(sorted(turns, key=lambda t: t.start_ns)),
        lost=tuple(gone),
        assumptions=assumptions,
    )


def _in_order(records: Iterable[Record]) -> list[Record]:
    unnumbered: list[Record] = []
    numbered: dict[int, Record] = {}
    for record in records:
        if record.seq > 0:
            numbered.setdefault(record.seq, record)
        else:
            unnumbered.append(record)
    return unnumbered + [numbered[seq] for seq in sorted(numbered)]


def _lay_out(batches: Sequence[Stamps]) -> Longs:
    usable = [b for b in batches if b.first >= 0 and b.first + len(b.times_ns) <= MAX_STAMPS]
    times = np.full(max((b.first + len(b.times_ns) for b in usable), default=0), MISSING, dtype=np.int64)
    for batch in usable:
        times[batch.first : batch.first + len(batch.times_ns)] = batch.times_ns
    return times


def _collect(batches: Sequence[Telemetry]) -> dict[tuple[str, str], SampleSeries]:
    parts: dict[tuple[str, str], list[tuple[Longs, Floats]]] = {}
    for batch in batches:
        times = np.asarray(batch.times_ns, dtype=np.int64)
        for quantity, column in batch.columns.items():
            values = np.array([np.nan if v is None else v for v in column], dtype=np.float64)
            length = min(len(times), len(values))
            parts.setdefault((batch.source, quantity), []).append((times[:length], values[:length]))
    return {key: _series(key, found) for key, found in parts.items()}


def _series(key: tuple[str, str], parts: list[tuple[Longs, Floats]]) -> SampleSeries:
    times, first = np.unique(np.concatenate([t for t, _ in parts]), return_index=True)
    return SampleSeries(*key, times, np.concatenate([v for _, v in parts])[first])


def _missing(sensors: tuple[Sensor, ...]) -> dict[str, str]:
    readable = {s.quantity for s in sensors if s.available}
    reasons: dict[str, str] = {}
    for sensor in sensors:
        if sensor.available or sensor.quantity in readable:
            continue
        reason = sensor.reason or f"{sensor.source} does not give it on this machine."
        known = reasons.get(sensor.quantity)
        if known is None:
            reasons[sensor.quantity] = reason
        elif reason not in known:
            reasons[sensor.quantity] = f"{known} {reason}"
    return reasons
