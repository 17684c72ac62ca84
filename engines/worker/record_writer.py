"""The record pipe: one JSON record a line, whole lines only. Any thread of the worker process."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from engines.protocol.codec import encode_record
from engines.protocol.records import Cue, Environment, KnownRecord, Log, LogLevel, Progress


class RunnerGone(Exception):
    """Nobody reads the record pipe any more: the runner has ended."""


class RecordWriter:
    """Writes records to the pipe the runner reads. The descriptor is not passed on to children."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._fd = fd
        self._lock = threading.RLock()
        self._held: list[bytes] | None = None

    def send(self, record: KnownRecord) -> None:
        """Write one record; a `t_ns` of 0 becomes now. Raises `RunnerGone`."""
        if not record.t_ns:
            record = msgspec.structs.replace(record, t_ns=time.monotonic_ns())
        line = encode_record(record) + b"\n"
        with self._lock:
            if self._held is None:
                self._write(line)
            else:
                self._held.append(line)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is sent within goes out in one write at its end, also when it fails: the runner wakes up once for it.
        Other threads wait. Raises `RunnerGone`."""
        with self._lock:
            self._held = []
            try:
                yield
            finally:
                held, self._held = self._held, None
                self._write(b"".join(held))

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except BrokenPipeError as error:
            raise RunnerGone from error

    def reader_is_gone(self) -> bool:
        """Whether the other end of the pipe is closed, without writing to it."""
        poll = select.poll()
        poll.register(self._fd, 0)
        return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))

    def progress(self, text: str, fraction: float | None = None) -> None:
        self.send(Progress(text=text, fraction=fraction))

    def cue(self, code: str, text: str) -> None:
        self.send(Cue(code=code, text=text))

    def log(self, text: str, level: LogLevel = "info") -> None:
        self.send(Log(level=level, source="worker", text=text))

    def environment(self, facts: dict[str, str]) -> None:
        self.send(Environment(facts=facts))

    def close(self) -> None:
        os.close(self._fd)
