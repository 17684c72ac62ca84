"""What the tests of the worker's parts share: a channel whose records can be read, an engine without a model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from engines.protocol.codec import decode_record
from engines.protocol.orders import Inference
from engines.protocol.records import Cue, Evaluation, ModelLoaded, Record, TookEffect
from engines.protocol.ring import RingWriter
from engines.worker.engine import Finished
from engines.worker.measure import Requests
from engines.worker.phases import AllocatorPeaks, Phases
from engines.worker.progress import Progress
from engines.worker.record_writer import RecordWriter
from engines.worker.stop import Stop
from engines.worker.works.inference import WEIGHTS

WORKLOAD = Inference(prompt_tokens=4, new_tokens=5, requests=3, window_s=0.0, warmup_requests=6)


class Pipe:
    """A channel and what came out of it."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self.channel = RecordWriter(write)

    def records(self) -> list[Record]:
        data = b""
        while True:
            try:
                part = os.read(self._read, 1 << 16)
            except BlockingIOError:
                break
            if not part:
                break
            data += part
        return [decode_record(line) for line in data.splitlines()]

    def close_reader(self) -> None:
        os.close(self._read)
        self._read = -1

    def close(self) -> None:
        self.channel.close()
        if self._read >= 0:
            self.close_reader()


@dataclass
class FakeEngine:
    """Stamps the ring as an engine does; `durations_s` are claimed, not spent."""

    ring: RingWriter
    tokens: int = WORKLOAD.new_tokens
    durations_s: list[float] = field(default_factory=list)
    correct_by_ns: int = 0
    on_request: Callable[[int], None] = lambda number: None
    now: int = 1_000_000_000
    stop: Stop | None = None
    prefills: int = 0
    missing: str = ""

    def start(self) -> dict[str, str]:
        return {}

    def allocator(self) -> AllocatorPeaks:
        return AllocatorPeaks()

    def files_missing(self) -> str:
        return self.missing

    def make_files(self, report: Callable[[str, float], None]) -> dict[str, str]:
        report("half", 0.5)
        return {"made": self.missing}

    def reader(self) -> None:
        return None

    def load(self) -> ModelLoaded:
        return ModelLoaded(
            parameters=1, tensor_bytes=4, bytes_by_dtype={"float32": 4}, original_bytes=4, nominal_bits=32
        )

    def took_effect(self) -> tuple[TookEffect, ...]:
        return ()

    def prepare(self) -> dict[str, str]:
        return {}

    def request(self, number: int) -> Finished | None:
        self.on_request(number)
        if self.stop is not None and self.stop.requested:
            return None
        duration = int((self.durations_s[number] if number < len(self.durations_s) else 1.0) * 1e9)
        first = self.ring.written
        for _ in range(self.tokens):
            self.ring.stamp()
        start, self.now = self.now, self.now + duration
        times = tuple(start + duration * (i + 1) // self.tokens for i in range(self.tokens))
        return Finished(
            start_ns=start,
            end_ns=self.now,
            first_stamp=first,
            stamps=self.tokens,
            first_token_ns=times[0],
            last_token_ns=times[-1],
            tokens_per_sequence=self.tokens,
            batch_size=2,
            synchronised=not self.correct_by_ns,
            corrected_ns=tuple(t + self.correct_by_ns for t in times) if self.correct_by_ns else (),
        )

    def prefill(self) -> Finished | None:
        self.prefills += 1
        start = time.monotonic_ns()
        time.sleep(0.002)
        end = time.monotonic_ns()
        return Finished(start, end, 0, 1, end, end, 1, 1, True)

    def evaluate(self) -> Evaluation | None:
        return None

    def unload(self) -> dict[str, str]:
        return {}


def loops(engine: FakeEngine, pipe: Pipe, workload: Inference = WORKLOAD, stop: Stop | None = None) -> Requests:
    return Requests(
        engine,
        workload,
        pipe.channel,
        Phases(pipe.channel),
        engine.ring,
        stop or Stop(),
        Progress(pipe.channel, WEIGHTS),
    )


def cues(records: list[Record]) -> list[str]:
    return [r.code for r in records if isinstance(r, Cue)]
