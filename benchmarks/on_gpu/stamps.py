"""Part 2: the transformers engine's own request, timed by CUDA events and by the host's clock.

Requests of two kinds in turn: with events, as the engine does it, and with host stamps alone between two waits for the
device. Within a request with events both kinds of stamp are there, token by token.
"""

from __future__ import annotations

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.median import median_interval
from benchmarks.on_gpu.notes import Notes
from benchmarks.on_gpu.setting import Setting, torch_on
from engines.data.prompts import make_prompts
from engines.data.text import random_text
from engines.protocol.orders import Inference
from engines.protocol.ring import RingWriter, create_ring
from engines.worker.engine import Finished
from engines.worker.stop import Stop

_WARM_UP = 3
_RECORDED = 2000
_MARGIN_S = 2.0
_DRIFT_S = 4.0


class HostEvent:
    """In a rehearsal: an event of a device that works at once."""

    def __init__(self) -> None:
        self._at_ns = 0

    def record(self) -> None:
        self._at_ns = time.monotonic_ns()

    def elapsed_time(self, end_event: HostEvent) -> float:
        return (end_event._at_ns - self._at_ns) / 1e6


def run(setting: Setting, notes: Notes) -> None:
    torch = torch_on(setting)
    from engines.hf import precision  # noqa: F401  # before the loading, as the engine imports it
    from engines.hf.clocks import EventClock, HostClock
    from engines.hf.generate import Generator, Lengths, loop_is_synchronised
    from engines.hf.load import LoadRequest, load_weights

    device, new = torch.device(setting.torch_device), setting.lengths.new_tokens
    make_event, wait = _events(setting, torch)
    request = LoadRequest(model=setting.small, technique="precision.bfloat16", device=device, attention="sdpa")
    model = load_weights(request, torch.bfloat16)
    with tempfile.TemporaryDirectory() as folder:
        create_ring(Path(folder) / "ring", 1 << 20)
        ring = RingWriter(Path(folder) / "ring")
        ring.touch()
        lengths = Lengths(setting.lengths.prompt_tokens, new, 1)

        class Waiting(HostClock):
            """Host stamps between two waits for the device."""

            def begin(self) -> int:
                wait()
                return super().begin()

            def end(self) -> int:
                wait()
                return super().end()

        events = Generator(model, ring, Stop(), lengths, EventClock(ring, new, make_event, wait))
        host = Generator(model, ring, Stop(), lengths, Waiting(ring))
        workload = Inference(prompt_tokens=setting.lengths.prompt_tokens, new_tokens=new)
        vocabulary = int(str(setting.small.config["vocab_size"]))
        prompts = make_prompts(workload, 0, random_text(vocabulary, workload.prompt_tokens, 0), None)

        def once(generator: Any) -> Finished:
            done: Finished | None = generator.run(prompts.next_batch(1))
            assert done is not None
            return done

        for generator in _WARM_UP * (events, host):
            once(generator)
        notes.add("the loop waits for every token", str(loop_is_synchronised(device)), note="as the engine records it")
        notes.add("shape of a request", f"{workload.prompt_tokens} + {new} tokens, {setting.small.title}, bfloat16")
        with_events: list[Finished] = []
        pairs: list[tuple[float, float]] = []
        stamps: list[Sequence[int]] = []
        drift_s, longest_s = min(_DRIFT_S, notes.left_s() / 8), 0.0
        for turn in range(setting.lengths.pairs):
            begun_s = notes.left_s()
            if begun_s < longest_s + drift_s + _MARGIN_S and turn >= 2:
                break
            order = (events, host) if turn % 2 == 0 else (host, events)
            found = {generator: once(generator) for generator in order}
            with_events.append(found[events])
            stamps.append(ring.times(found[events].first_stamp, found[events].stamps))
            pairs.append((found[events].duration_s, found[host].duration_s))
            longest_s = max(longest_s, begun_s - notes.left_s())
        identity(notes, with_events)
        against_host(notes, with_events, stamps)
        cost(notes, pairs)
        _cost_of_one(notes, make_event, wait)
        _drift(notes, make_event, wait, drift_s)
        ring.close()


def identity(notes: Notes, requests: Sequence[Finished]) -> None:
    """Whether token times from events lie where the independent clock readings around the call say."""
    tails, firsts, gaps, broken = [], [], [], 0
    for done in requests:
        times = done.corrected_ns
        steps = [b - a for a, b in itertools.pairwise(times)]
        tail = done.end_ns - times[-1]
        whole = (times[0] - done.start_ns) + sum(steps) + tail
        ordered = times[0] >= done.start_ns and tail >= 0 and all(step > 0 for step in steps)
        broken += not (ordered and whole == done.end_ns - done.start_ns and len(times) == done.stamps)
        tails.append(tail / 1e6)
        firsts.append((times[0] - done.start_ns) / 1e6)
        gaps += [step / 1e6 for step in steps]
    notes.add("requests timed by events", float(len(requests)))
    notes.add(
        "of these, out of order or incomplete",
        float(broken),
        note="a time before the start, after the end, or a gap of 0",
    )
    notes.add("time to first token", statistics.median(firsts), "ms", f"median; {min(firsts):.3f} to {max(firsts):.3f}")
    notes.add("gap between tokens", statistics.median(gaps), "ms", f"median; {min(gaps):.3f} to {max(gaps):.3f}")
    share = statistics.median(t / 1e3 / r.duration_s for t, r in zip(tails, requests, strict=True))
    notes.add("last token to the end of the call", statistics.median(tails), "ms", f"median; {share:.2%} of the call")


def against_host(notes: Notes, requests: Sequence[Finished], stamps: Sequence[Sequence[int]]) -> None:
    """How far the host's stamps lie from the events: negative is before the device had the token."""
    apart = [
        (mine - theirs) / 1e6
        for done, host in zip(requests, stamps, strict=True)
        for mine, theirs in zip(host, done.corrected_ns, strict=True)
    ]
    first = [(host[0] - done.corrected_ns[0]) / 1e6 for done, host in zip(requests, stamps, strict=True)]
    spans = [
        (host[-1] - host[0]) / (done.corrected_ns[-1] - done.corrected_ns[0])
        for done, host in zip(requests, stamps, strict=True)
    ]
    notes.add("host stamp less event", statistics.median(apart), "ms", f"median; {min(apart):.3f} to {max(apart):.3f}")
    notes.add("the same at the first token", statistics.median(first), "ms", "what a host clock would get wrong")
    notes.add("decode time by host stamps / by events", statistics.median(spans), note="median of the requests")


def cost(notes: Notes, pairs: Sequence[tuple[float, float]]) -> None:
    """Whole requests with events over those without."""
    ratios = [a / b for a, b in pairs]
    low, high = median_interval(ratios)
    interval = "too few pairs for an interval" if math.isnan(low) else f"at least 95 %: [{low:.4f}, {high:.4f}]"
    notes.add("time with events / without", statistics.median(ratios), note=f"median of {len(pairs)} pairs; {interval}")


def _events(setting: Setting, torch: Any) -> tuple[Callable[[], Any], Callable[[], None]]:
    """How to make an event, and how to wait for the device."""
    if setting.rehearsal:
        return HostEvent, lambda: None
    return lambda: torch.cuda.Event(enable_timing=True), torch.cuda.synchronize


def _cost_of_one(notes: Notes, make_event: Callable[[], Any], wait: Callable[[], None]) -> None:
    event = make_event()
    wait()
    before = time.perf_counter_ns()
    for _ in range(_RECORDED):
        event.record()
    spent = time.perf_counter_ns() - before
    wait()
    notes.add("recording one event", spent / _RECORDED / 1e3, "µs", "of the host, on an idle stream")


def _drift(notes: Notes, make_event: Callable[[], Any], wait: Callable[[], None], seconds: float) -> None:
    """The device's clock against the host's, over some seconds."""
    first, last = make_event(), make_event()
    wait()
    first.record()
    wait()
    begun = time.monotonic_ns()
    time.sleep(seconds)
    last.record()
    wait()
    host_s = (time.monotonic_ns() - begun) / 1e9
    apart = first.elapsed_time(last) / 1e3 / host_s - 1
    notes.add(
        "device clock against the host's", apart * 1e6, "parts per million", f"over {host_s:.1f} s, ±20 µs of waiting"
    )
