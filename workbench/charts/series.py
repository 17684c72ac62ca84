"""One trial's data for charts: live, finished and remote trials behind one interface.

`TrialData` grows by `take(record)`; the same records come live from the follower or from the store
(`workbench.store.records.replay`). Plain numpy, no Qt; owned by one thread (the window's main thread, or a command).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from engines.protocol.records import (
    Cue,
    Environment,
    Evaluation,
    Log,
    MemoryParts,
    ModelLoaded,
    PhaseEnded,
    PhaseStarted,
    Record,
    Request,
    Sensor,
    SensorLost,
    Sensors,
    Stamps,
    Step,
    Telemetry,
    TrialEnded,
    TrialStarted,
    UnknownRecord,
)
from engines.protocol.work import AnyTraining, Workload, sequences_of
from workbench.charts import training_series
from workbench.charts.channel import Channel, Floats
from workbench.charts.token_series import TokenSeries, append_rising
from workbench.charts.training_series import TrainingSeries
from workbench.charts.x_axis import Axis, Points, XAxis

__all__ = ["Channel", "Floats", "Phase", "TrialData"]

_UNITS = {
    "bytes": "B",
    "seconds": "s",
    "watts": "W",
    "joules": "J",
    "ratio": "ratio",
    "celsius": "°C",
    "hertz": "Hz",
    "count": "count",
    "bits": "bits",
}
"""Base unit by the last word of a quantity's name."""

_TOKEN_CHANNELS = {"gap": ("Inter-token latency", "s"), "throughput": ("Throughput", "tokens/s")}


@dataclass(frozen=True)
class Phase:
    """A span of the trial in seconds since its start; `end_s` is None while it lasts."""

    name: str
    index: int
    start_s: float
    end_s: float | None


@dataclass
class TrialData:
    """Everything a chart, the log and the sensor list of one trial show."""

    trial: str
    title: str
    color: int = 0
    channels: dict[str, Channel] = field(default_factory=dict)
    """By key: "throughput" (tokens/s), "gap" (s), of training those of `training_series.CHANNELS`, and
    "SOURCE/QUANTITY" of telemetry in base units."""
    phases: list[Phase] = field(default_factory=list)
    """In order of their starts."""
    log: list[Log] = field(default_factory=list)
    sensors: tuple[Sensor, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    ended: TrialEnded | None = None
    start_ns: int | None = None
    """Monotonic time of the machine under test at t = 0."""
    revision: int = 0
    """Rises with every record taken: a view repaints when it differs."""
    batch_size: int | None = None
    """Sequences generated together, from the trial's order. Without it throughput begins with the first finished
    request, which says so itself."""
    training: AnyTraining | None = None
    """What was asked of a training trial, once that is known."""
    last_seq: int = 0
    """Highest number taken."""
    started: TrialStarted | None = None
    model: ModelLoaded | None = None
    cues: list[Cue] = field(default_factory=list)
    lost_sensors: dict[str, str] = field(default_factory=dict)
    """Why a source stopped answering, by source."""
    _tokens: TokenSeries = field(init=False, repr=False, compare=False)
    _training: TrainingSeries = field(init=False, repr=False, compare=False)
    _points: dict[tuple[str, XAxis], Points] = field(default_factory=dict, repr=False, compare=False)
    _open: dict[tuple[str, int], Phase] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._tokens = TokenSeries(self._channel)
        self._training = TrainingSeries(self._channel)

    def take_order(self, workload: Workload) -> None:
        """What was asked of the trial, once that is known."""
        self.batch_size = sequences_of(workload)
        self.training = workload if isinstance(workload, AnyTraining) else None

    def take(self, record: Record) -> None:
        """Add one record. Unknown kinds are ignored. Records of the same seq taken twice count once.

        Numbered records come in rising order: one at or below `last_seq` is taken for a repetition. Records without a
        number (seq 0) are always taken.
        """
        if record.seq:
            if record.seq <= self.last_seq:
                return
            self.last_seq = record.seq
        if isinstance(record, UnknownRecord):
            return
        self.revision += 1
        match record:
            case Telemetry():
                self._take_telemetry(record)
            case Stamps():
                self._tokens_of().add_stamps(record.first, self._seconds(record.times_ns))
            case Request():
                self._tokens_of().add_request(record)
            case Step():
                self._training.add_step(record, self._second(record.start_ns), self._second(record.end_ns))
            case Evaluation():
                self._training.add_evaluation(record, self._second(record.t_ns))
            case MemoryParts():
                self._training.add_parts(record)
            case PhaseStarted():
                self._take_phase_start(record)
            case PhaseEnded():
                self._take_phase_end(record)
            case Log():
                self.log.append(record)
            case Cue():
                self.cues.append(record)
            case Sensors():
                self._take_sensors(record)
            case SensorLost():
                self.lost_sensors[record.source] = record.reason
            case Environment():
                self.environment |= record.facts
            case ModelLoaded():
                self.model = record
            case TrialStarted():
                self.started = record
                self._start(record.clock.mono_ns)
            case TrialEnded():
                self._take_end(record)
            case _:
                pass

    # --- time -------------------------------------------------------------------------------------

    def _start(self, mono_ns: int) -> int:
        """Monotonic time of t = 0: the trial's start, or of whatever came before it was said."""
        if self.start_ns is None:
            self.start_ns = mono_ns
        return self.start_ns

    def _seconds(self, times_ns: Sequence[int]) -> Floats:
        if not times_ns:
            return np.empty(0)
        start = self._start(times_ns[0])
        return np.array([time - start for time in times_ns], dtype=np.float64) / 1e9

    def _second(self, time_ns: int) -> float:
        return (time_ns - self._start(time_ns)) / 1e9

    # --- telemetry --------------------------------------------------------------------------------

    def _take_sensors(self, record: Sensors) -> None:
        self.sensors = record.sensors
        for sensor in record.sensors:
            channel = self.channels.get(f"{sensor.source}/{sensor.quantity}")
            if channel is not None:
                channel.title = sensor.title

    def _take_telemetry(self, record: Telemetry) -> None:
        times = self._seconds(record.times_ns)
        for quantity, column in record.columns.items():
            values = np.array(column[: len(times)], dtype=np.float64)  # None becomes NaN
            if len(values):
                append_rising(self._telemetry_channel(record.source, quantity), times[: len(values)], values)
        if self.axis("step").count and record.source == self.meter:
            read = (self.channels.get(f"{record.source}/{q}") for q in ("energy_joules", "power_watts"))
            self._training.take_energy(*read)

    def _telemetry_channel(self, source: str, quantity: str) -> Channel:
        key = f"{source}/{quantity}"
        channel = self.channels.get(key)
        if channel is None:
            titles = [s.title for s in self.sensors if s.source == source and s.quantity == quantity]
            words, _, unit = quantity.rpartition("_")
            plain = (words if unit in _UNITS else quantity).replace("_", " ").capitalize()
            channel = self.channels[key] = Channel(key, titles[0] if titles else plain, _UNITS.get(unit, ""))
        return channel

    # --- tokens -----------------------------------------------------------------------------------

    def _tokens_of(self) -> TokenSeries:
        if self.batch_size is not None:
            self._tokens.assume_batch(self.batch_size)
        return self._tokens

    def _channel(self, key: str) -> Channel:
        if key not in self.channels:
            title, unit = (_TOKEN_CHANNELS | training_series.CHANNELS)[key]
            self.channels[key] = Channel(key, title, unit)
        return self.channels[key]

    # --- training ---------------------------------------------------------------------------------

    @property
    def trains(self) -> bool:
        """Whether it is a training trial, as far as its order or its records have said."""
        return self.training is not None or self.axis("step").count > 0

    @property
    def planned_steps(self) -> int | None:
        """The most steps that a training trial will do, warm-up included."""
        return None if self.training is None else self.training.warmup_steps + self.training.steps

    def axis(self, kind: XAxis) -> Axis:
        """What its charts can be drawn against; without steps only the clock has places."""
        return self._training.columns.axes[kind]

    def points(self, key: str, kind: XAxis, *, held: bool) -> Points:
        """A channel against an axis, up to date; the same object at every call."""
        found = self._points.get((key, kind))
        if found is None:
            found = self._points[key, kind] = Points(self.channels[key], self.axis(kind), held=held)
        found.sync()
        return found

    @property
    def meter(self) -> str:
        """What measures the trial's device, as `workbench.metrics.window.power_source` chooses it: the trial's own GPU,
        or "rapl" on a processor. "" while the device is not known."""
        if self.model is None:
            return ""
        kind, _, device = self.model.device.partition(":")
        if kind != "cuda":
            return "rapl"
        gpus = {key.partition("/")[0] for key in self.channels if key.startswith("nvml.")}
        own = f"nvml.{device}"
        return own if own in gpus else next(iter(gpus)) if len(gpus) == 1 else "nvml"

    # --- phases and the end -----------------------------------------------------------------------

    def _take_phase_start(self, record: PhaseStarted) -> None:
        start = self._second(record.t_ns)
        phase = Phase(record.name, record.index, start, None)
        insort(self.phases, phase, key=_start_of)
        self._open[record.name, record.index] = phase
        # prefills of the phase that measures their energy are recorded without tokens
        if record.name == "prefill" and ("prefill_energy", 0) not in self._open:
            self._tokens_of().add_prefill(start)

    def _take_phase_end(self, record: PhaseEnded) -> None:
        whole = Phase(record.name, record.index, self._second(record.start_ns), self._second(record.t_ns))
        begun = self._open.pop((record.name, record.index), None)
        if begun is not None:
            self.phases.pop(self._place(begun))
        insort(self.phases, whole, key=_start_of)

    def _place(self, phase: Phase) -> int:
        place = bisect_left(self.phases, phase.start_s, key=_start_of)
        while self.phases[place] is not phase:
            place += 1
        return place

    def _take_end(self, record: TrialEnded) -> None:
        self.ended = record
        self._tokens_of().end()
        last = max((float(c.times[-1]) for c in self.channels.values() if len(c)), default=0.0)
        # a machine that was started again counts from zero: then the last reading is the best that is known
        end = max(self._second(record.clock.mono_ns), last)
        for phase in self._open.values():
            place = self._place(phase)
            self.phases[place] = Phase(phase.name, phase.index, phase.start_s, max(end, phase.start_s))
        self._open.clear()


def _start_of(phase: Phase) -> float:
    return phase.start_s
