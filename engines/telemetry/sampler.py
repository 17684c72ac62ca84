"""The thread that reads a trial's sensors at its rate. Owned by the runner, one for each running trial.

Deadlines are absolute (start + n periods), so lateness never adds up, and the thread sleeps between them, so nothing
spins. A reading's time is the middle of the call that took it.
"""

from __future__ import annotations

import os
import select
import threading
import time
import weakref
from collections.abc import Callable

from engines.protocol.orders import TrialOrder
from engines.protocol.records import Log, LogLevel, Record, Sensor, SensorLost, Sensors, Telemetry
from engines.telemetry.base import Reading, Source, SourceEnded, SourceFailure
from engines.telemetry.sources import open_sources

FLUSH_NS = 1_000_000_000
FAILURES_TO_LOSS = 3
"""Consecutive failures after which a sensor counts as lost."""
GAP_S = 1.0
"""A hole this long (s) in what is read several times a second is worth a warning."""

Emit = Callable[[Record], None]
Opener = Callable[[TrialOrder, int], tuple[list[Source], tuple[Sensor, ...]]]


class _Polled:
    """One source within the sampler: its deadline, its unsent readings, its run of failures."""

    def __init__(self, source: Source, start_ns: int) -> None:
        self.source = source
        self.next_ns = start_ns
        self.period_ns = _nanoseconds(source.period_s)
        self.names = [sensor.quantity for sensor in source.sensors() if sensor.available]
        self.times: list[int] = []
        self.columns: dict[str, list[float | None]] = {name: [] for name in self.names}
        self.failures = 0
        self.column_failures = dict.fromkeys(self.names, 0)
        self.done_ns = 0
        self.missed = 0
        self.longest_gap_ns = 0

    def append(self, at_ns: int, done_ns: int, reading: Reading) -> None:
        """`at_ns`: the middle of the call; `done_ns`: its end, for a call that hung is a hole as well."""
        if not self.names or (not reading and not self.failures):
            return
        self.times.append(at_ns)
        for name in self.names:
            self.columns[name].append(reading.get(name))
        if self.done_ns:
            self.longest_gap_ns = max(self.longest_gap_ns, done_ns - self.done_ns)
        self.done_ns = done_ns

    def take(self) -> Telemetry | None:
        """The unsent readings as one batch; a quantity without any value in it is left out."""
        if not self.times:
            return None
        columns = {name: values for name, values in self.columns.items() if _worth_sending(values, self, name)}
        batch = Telemetry(t_ns=time.monotonic_ns(), source=self.source.name, times_ns=self.times, columns=columns)
        self.times = []
        self.columns = {name: [] for name in self.names}
        return batch

    def schedule(self, now_ns: int) -> None:
        """The next deadline on the grid that is not past; deadlines already past are counted as missed."""
        self.period_ns = _nanoseconds(self.source.period_s)
        self.next_ns += self.period_ns
        if self.next_ns <= now_ns:
            behind = (now_ns - self.next_ns) // self.period_ns + 1
            self.missed += behind
            self.next_ns += behind * self.period_ns

    def pass_over(self, now_ns: int) -> None:
        """After a pause: continue with the grid's next deadline. Those of the pause do not count as missed."""
        self.next_ns += max(0, -((self.next_ns - now_ns) // self.period_ns)) * self.period_ns
        self.done_ns = 0


def _worth_sending(values: list[float | None], channel: _Polled, name: str) -> bool:
    failing = channel.failures or channel.column_failures.get(name, 0)
    return bool(failing) or any(value is not None for value in values)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


class _Alarm:
    """A sleep that other threads can end. On a processor that has slept, waking from a poll costs half of what waking
    from a `threading.Event` does: less code is cold."""

    def __init__(self) -> None:
        descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # for as long as this object: a late ring must not reach whoever got the number next
        weakref.finalize(self, os.close, descriptor)
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def ring(self) -> None:
        """From any thread, also when nobody sleeps: the next sleep then ends at once."""
        os.eventfd_write(self._descriptor, 1)

    def sleep(self, milliseconds: float | None = None) -> None:
        """Until rung, or the time is over (up to a millisecond later)."""
        if self._poll.poll(milliseconds):
            os.eventfd_read(self._descriptor)


class Sampler:
    """Reads the sensors of one trial from `start()` to `stop()` and says what it reads through `emit`.

    First `Sensors`, then about once a second a `Telemetry` batch for each source, `SensorLost` where one stops
    answering, at the end the last batches and, where it could not keep its rate, a note of it. `emit` is called on
    the sampler's thread. With telemetry switched off in the order it says an empty `Sensors` and starts nothing.
    """

    def __init__(
        self,
        order: TrialOrder,
        worker_pid: int,
        emit: Emit,
        *,
        opener: Opener = open_sources,
    ) -> None:
        """`opener` finds the sources; tests give one that scripts them."""
        self._order = order
        self._emit = emit
        self._worker_pid = worker_pid
        self._opener = opener
        self._ending = threading.Event()
        self._paused = threading.Event()
        self._alarm = _Alarm()
        """Rung after each of the two above."""
        self._measuring = threading.Event()
        self._thread: threading.Thread | None = None
        self._channels: list[_Polled] = []
        self._retired: list[_Polled] = []

    def start(self) -> None:
        """Start the thread; sources open on it, because a sleeping GPU can take a second to answer."""
        if not self._order.telemetry.enabled:
            self._emit(Sensors(t_ns=time.monotonic_ns(), sensors=()))
            return
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def set_measuring(self, measuring: bool) -> None:
        """Say whether a measured request runs: queries that would disturb its latency wait until it is over."""
        if measuring:
            self._measuring.set()
        else:
            self._measuring.clear()

    def set_paused(self, paused: bool) -> None:
        """Read nothing until resumed; a reading that is under way is finished. From any thread, at once."""
        if paused:
            self._paused.set()
        else:
            self._paused.clear()
        self._alarm.ring()

    def stop(self) -> None:
        """Read once more, send what is left, close the sources. Returns when the thread has ended (milliseconds,
        a reading of a GPU at the most). Safe to call twice and without `start`."""
        self._ending.set()
        self._alarm.ring()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def missed(self) -> int:
        """Readings left out so far because an earlier one, or the machine, took too long."""
        return sum(channel.missed for channel in (*self._channels, *self._retired))

    def _run(self) -> None:
        try:
            self._watch()
        except Exception as error:
            # Drivers and kernels are other people's: whatever they raise, the trial continues, and its record says why
            # the readings stop here.
            self._say("error", f"Telemetry ended early: {type(error).__name__}: {error}")
            raise

    def _watch(self) -> None:
        sources, missing = self._opener(self._order, self._worker_pid)
        try:
            said = tuple(sensor for source in sources for sensor in source.sensors()) + missing
            self._emit(Sensors(t_ns=time.monotonic_ns(), sensors=_in_order(said)))
            self._sample([source for source in sources if any(s.available for s in source.sensors())])
        finally:
            for source in reversed(sources):
                source.close()

    def _sample(self, sources: list[Source]) -> None:
        start_ns = time.monotonic_ns()
        self._channels = [_Polled(source, start_ns) for source in sources]
        next_flush_ns = start_ns + FLUSH_NS
        while not self._ending.is_set() and self._channels:
            if self._paused.is_set():
                next_flush_ns += self._rest()
                continue
            now_ns = time.monotonic_ns()
            for channel in tuple(self._channels):
                if channel.next_ns <= now_ns:
                    if not (channel.source.disturbs and self._measuring.is_set()):
                        self._read(channel)
                    channel.schedule(time.monotonic_ns())
            if now_ns >= next_flush_ns:
                self._flush()
                next_flush_ns = max(next_flush_ns + FLUSH_NS, now_ns)
            due_ns = min((*(channel.next_ns for channel in self._channels), next_flush_ns))
            self._alarm.sleep(max(0, due_ns - time.monotonic_ns()) / 1e6)
        for channel in tuple(self._channels):
            if not channel.source.disturbs:
                self._read(channel)
        self._flush()
        self._note_lateness()

    def _rest(self) -> int:
        """Sleep until the pause or the trial is over. -> how long it took (ns). What is not sent yet waits too, so that
        all of the work for telemetry is done while it is on."""
        begun_ns = time.monotonic_ns()
        while self._paused.is_set() and not self._ending.is_set():
            self._alarm.sleep()
        now_ns = time.monotonic_ns()
        for channel in self._channels:
            channel.pass_over(now_ns)
        return now_ns - begun_ns

    def _read(self, channel: _Polled) -> None:
        before_ns = time.monotonic_ns()
        problem = ""
        reading: Reading = {}
        try:
            reading = channel.source.read()
        except SourceEnded:
            self._retire(channel)
            return
        except (SourceFailure, OSError, ValueError) as error:
            problem = str(error)
        done_ns = time.monotonic_ns()
        at_ns = (before_ns + done_ns) // 2
        channel.failures = channel.failures + 1 if problem else 0
        channel.append(at_ns, done_ns, reading)
        if channel.failures >= FAILURES_TO_LOSS:
            self._retire(channel)
            self._emit(SensorLost(t_ns=at_ns, source=channel.source.name, reason=problem))
        elif not problem:
            self._watch_columns(channel, reading, at_ns)

    def _watch_columns(self, channel: _Polled, reading: Reading, at_ns: int) -> None:
        """One quantity may vanish while its source still works: reported once, and left out of later batches."""
        for name in tuple(channel.names):
            failed = name in reading and reading[name] is None
            channel.column_failures[name] = channel.column_failures[name] + 1 if failed else 0
            if channel.column_failures[name] == FAILURES_TO_LOSS:
                self._send(channel)
                channel.names.remove(name)
                channel.columns.pop(name, None)
                reason = f"{name} stopped answering; the other sensors of {channel.source.name} still work."
                self._emit(SensorLost(t_ns=at_ns, source=channel.source.name, quantity=name, reason=reason))

    def _retire(self, channel: _Polled) -> None:
        self._send(channel)
        self._channels.remove(channel)
        self._retired.append(channel)

    def _flush(self) -> None:
        for channel in self._channels:
            self._send(channel)

    def _send(self, channel: _Polled) -> None:
        batch = channel.take()
        if batch is not None:
            self._emit(batch)

    def _note_lateness(self) -> None:
        """Say it where the rate was not kept. Whether it bears on a figure is judged from the readings' times."""
        fast = [c for c in (*self._channels, *self._retired) if c.source.period_s < GAP_S / 2]
        gap_s = max((c.longest_gap_ns for c in fast), default=0) / 1e9
        if gap_s > GAP_S:
            self._say("warning", f"Telemetry has a gap of {gap_s:.1f} s: the machine was too busy or was suspended.")
        if self.missed:
            self._say("info", f"{self.missed} readings were left out because an earlier one took too long.")

    def _say(self, level: LogLevel, text: str) -> None:
        self._emit(Log(t_ns=time.monotonic_ns(), level=level, source="telemetry", text=text))


def _in_order(sensors: tuple[Sensor, ...]) -> tuple[Sensor, ...]:
    """Sources together, in the order in which each first appears."""
    names = list(dict.fromkeys(sensor.source for sensor in sensors))
    return tuple(sorted(sensors, key=lambda sensor: names.index(sensor.source)))
