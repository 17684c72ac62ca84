"""The warm-up and the measured requests. Torch-free: an engine does the work, this decides how often.

Nothing is sent or logged while a request runs; all records of a request are written after it.
Main thread of the worker process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from engines.protocol.orders import Inference
from engines.protocol.records import Request, Stamps
from engines.protocol.ring import RingWriter
from engines.worker.engine import Finished, Infers
from engines.worker.phases import Phases, collect_between
from engines.worker.progress import Progress
from engines.worker.record_writer import RecordWriter
from engines.worker.steady import LAST, Steadiness, steadiness
from engines.worker.stop import Stop


class Requests:
    """Runs requests one after another and tells what came of each."""

    def __init__(
        self,
        engine: Infers,
        workload: Inference,
        channel: RecordWriter,
        phases: Phases,
        ring: RingWriter,
        stop: Stop,
        progress: Progress,
    ) -> None:
        self._engine = engine
        self._workload = workload
        self._channel = channel
        self._phases = phases
        self._ring = ring
        self._stop = stop
        self._progress = progress
        self._number = 0
        self._wrong_length = False
        self.measured = 0
        """Measured requests so far."""

    def warm_up(self) -> None:
        """Run requests of the measured shape until they are steady, or to the cap. Sends the cue "not_steady"."""
        cap = max(LAST, self._workload.warmup_requests)
        durations: list[float] = []
        state: Steadiness | None = None
        while len(durations) < cap:
            done = self._run()
            if done is None:
                return
            durations.append(done.duration_s)
            with self._told_together():
                self._tell(done, len(durations) - 1, warmup=True)
                self._progress.tell("warmup", f"Warm-up {len(durations)} of at most {cap}", len(durations) / cap)
            state = steadiness(durations)
            if state is not None and state.steady:
                return
        if state is not None:
            self._channel.cue(
                "not_steady",
                f"Not steady after {cap} warm-up requests: the last {LAST} {state.text()} (3 % is steady).",
            )

    def measure(self) -> None:
        """Run at least `requests` requests and until the window is `window_s` long. Sends the cue "short_window"."""
        wanted, window_s = self._workload.requests, self._workload.window_s
        count, first_ns, last_ns = 0, 0, 0
        reason = "the trial was stopped"
        while count < wanted or (last_ns - first_ns) / 1e9 < window_s:
            if self._ring.capacity - self._ring.written < self._workload.new_tokens:
                reason = "the ring of token stamps is full"
                break
            done = self._run()
            if done is None:
                break
            first_ns = first_ns or done.start_ns
            last_ns = done.end_ns
            count += 1
            self.measured = count
            share = min(count / wanted, (last_ns - first_ns) / 1e9 / window_s if window_s > 0 else 1.0)
            with self._told_together():
                self._tell(done, count - 1, warmup=False)
                self._progress.tell("measure", f"Request {count}", share)
        measured_s = (last_ns - first_ns) / 1e9
        if count < wanted or measured_s < window_s:
            self._channel.cue(
                "short_window",
                f"Measured {count} of {wanted} requests in {measured_s:.2f} s of {window_s:g} s: {reason}.",
            )

    def repeat_prefill(self, seconds: float) -> None:
        """Run requests of one token until `seconds` are over, and tell each as a "prefill" span afterwards: a prefill
        alone is too short for any energy counter. The spans say how many there were; they have no `Request`."""
        spans: list[tuple[int, int]] = []
        self._progress.tell("prefill_energy", f"Prefills alone, {seconds:g} s")
        self._engine.prefill()  # its first call may prepare something
        deadline_ns = time.monotonic_ns() + round(seconds * 1e9)
        while not self._stop.requested and (not spans or spans[-1][1] < deadline_ns):
            done = self._engine.prefill()
            if done is None:
                break
            spans.append((done.start_ns, done.end_ns))
            collect_between()
        with self._channel.together():
            for index, (start_ns, end_ns) in enumerate(spans):
                self._phases.span("prefill", index, start_ns, end_ns)

    def _run(self) -> Finished | None:
        """One request; None when stopped."""
        if self._stop.requested:
            return None
        done = self._engine.request(self._number)
        self._number += 1
        return done

    @contextmanager
    def _told_together(self) -> Iterator[None]:
        """All that is said of a request in one go, then the rubbish it left."""
        with self._channel.together():
            yield
        collect_between()

    def _tell(self, done: Finished, index: int, *, warmup: bool) -> None:
        workload = self._workload
        if done.corrected_ns:
            # the ring first: what the runner reads from it after this record must already be the corrected times
            self._ring.correct(done.first_stamp, done.corrected_ns)
            self._channel.send(Stamps(first=done.first_stamp, times_ns=list(done.corrected_ns)))
        if not warmup:
            self._phases.span("prefill", index, done.start_ns, done.first_token_ns)
            if done.stamps > 1:
                self._phases.span("decode", index, done.first_token_ns, done.last_token_ns)
        if done.tokens_per_sequence != workload.new_tokens and not self._wrong_length:
            self._wrong_length = True
            self._channel.cue(
                "output_length",
                f"Asked for {workload.new_tokens} new tokens, got {done.tokens_per_sequence}.",
            )
        self._channel.send(
            Request(
                t_ns=done.end_ns,
                index=index,
                warmup=warmup,
                start_ns=done.start_ns,
                end_ns=done.end_ns,
                first_stamp=done.first_stamp,
                stamps=done.stamps,
                prompt_tokens=workload.prompt_tokens,
                generated_tokens=done.tokens_per_sequence * done.batch_size,
                batch_size=done.batch_size,
                synchronised=done.synchronised,
            )
        )
