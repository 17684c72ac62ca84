"""Processor time of the runner, as a share of one core: while a trial runs at 10 Hz, with a client attached, and idle.

    python benchmarks/runner_cpu.py [--seconds N]

A real runner with real telemetry watches a stand-in for a worker, which holds 512 MiB, keeps one core half busy, stamps
40 tokens a second and tells of a request every two seconds: what the transformers engine does on a small model, without
its libraries. Processor time is the kernel's own count in nanoseconds over all of the runner's threads
(/proc/PID/task/*/schedstat), in windows of five seconds. The interval is a 95 % t interval over the windows; the bar is
2 % of one core. Idle is the same runner, connected to and with nothing to do; the reference there is 0.
"""

from __future__ import annotations

import argparse
import math
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from engines.protocol import messages
from engines.protocol.client import RunnerClient, connect_local
from engines.protocol.codec import encode_record
from engines.protocol.orders import TelemetryOrder
from engines.protocol.places import HOME_VARIABLE, Places, places
from engines.protocol.records import PhaseEnded, PhaseStarted, Progress, Request
from engines.protocol.ring import RingWriter
from engines.runner.settings import WORKER_VARIABLE
from tests.builders import trial_order
from workbench.selfcheck.processor_time import processor_seconds
from workbench.statistics.intervals import t_interval

BAR = 0.02
WINDOW_S = 5.0
SETTLE_S = 3.0
TOKEN_GAP_S = 0.025
TOKENS = 80
HELD_BYTES = 512 << 20


def be_worker(arguments: list[str]) -> None:
    """Stand in for a worker until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--order", type=Path)
    parser.add_argument("--records", type=int)
    parser.add_argument("--ring", type=Path)
    options = parser.parse_args(arguments)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    held = bytearray(HELD_BYTES)
    for page in range(0, HELD_BYTES, 4096):
        held[page] = 1
    ring = RingWriter(options.ring)

    def say(record: PhaseStarted | PhaseEnded | Request | Progress) -> None:
        os.write(options.records, encode_record(record) + b"\n")

    say(PhaseStarted(t_ns=time.monotonic_ns(), name="measure"))
    index = 0
    while not stopped.is_set():
        start, first = time.monotonic_ns(), ring.written
        for _ in range(TOKENS):
            until = time.monotonic() + TOKEN_GAP_S / 2
            while time.monotonic() < until:
                pass
            time.sleep(TOKEN_GAP_S / 2)
            ring.stamp()
        now = time.monotonic_ns()
        request = Request(
            t_ns=now,
            index=index,
            warmup=False,
            start_ns=start,
            end_ns=now,
            first_stamp=first,
            stamps=TOKENS,
            prompt_tokens=128,
            generated_tokens=TOKENS,
            batch_size=1,
        )
        say(request)
        say(PhaseEnded(t_ns=now, name="prefill", index=index, start_ns=start))
        say(PhaseEnded(t_ns=now, name="decode", index=index, start_ns=start))
        say(Progress(t_ns=now, text=f"Request {index + 1}"))
        index += 1


def shares(pid: int, windows: int) -> list[float]:
    """Share of one core in each of some windows."""
    found = []
    for _ in range(windows):
        before, start = processor_seconds(pid), time.monotonic()
        time.sleep(WINDOW_S)
        found.append((processor_seconds(pid) - before) / (time.monotonic() - start))
    return found


def report(name: str, values: list[float], bar: float | None) -> None:
    mean = sum(values) / len(values)
    interval = t_interval(values)
    half = (interval.high - interval.low) / 2 if interval is not None else math.nan
    text = f"{name:<34} {mean:7.3%} of a core  [{mean - half:.3%}, {mean + half:.3%}]  ({len(values)} windows)"
    if bar is not None:
        verdict = "within" if mean + half <= bar else "over" if mean - half > bar else "inconclusive"
        text += (
            f"  bar {bar:.0%}, ratio {mean / bar:.2f} [{(mean - half) / bar:.2f}, {(mean + half) / bar:.2f}]: {verdict}"
        )
    print(text, flush=True)


def trial_shares(client: RunnerClient, here: Places, windows: int, *, attached: bool) -> list[float]:
    """Run a trial and measure the runner through it."""
    trial = "attached" if attached else "alone"
    client.call(messages.Submit(orders=(trial_order(trial, telemetry=TelemetryOrder(rate_hz=10.0)),)))
    follower = connect_local(here, start=False)

    def follow() -> None:
        for _ in follower.stream(messages.Attach(trial=trial)):
            pass

    thread = threading.Thread(target=follow)
    if attached:
        thread.start()
    time.sleep(SETTLE_S)
    found = shares(client.welcome.pid, windows)
    client.call(messages.Stop(trial=trial))
    if attached:
        thread.join()
    follower.close()
    for _ in client.stream(messages.Attach(trial=trial)):
        pass
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each of the three measurements")
    windows = max(2, round(parser.parse_args().seconds / WINDOW_S))
    home = Path(tempfile.mkdtemp(prefix="lw-bench-"))
    os.environ[HOME_VARIABLE] = str(home)
    os.environ[WORKER_VARIABLE] = shlex.join([sys.executable, str(Path(__file__).resolve()), "--be-worker"])
    here = places()
    try:
        with connect_local(here, timeout=30.0) as client:
            time.sleep(SETTLE_S)
            idle = shares(client.welcome.pid, windows)
            alone = trial_shares(client, here, windows, attached=False)
            attached = trial_shares(client, here, windows, attached=True)
            client.call(messages.Shutdown())
    finally:
        time.sleep(1.0)
        shutil.rmtree(home, ignore_errors=True)
    report("trial at 10 Hz", alone, BAR)
    report("trial at 10 Hz, a client attached", attached, BAR)
    report("idle, a client connected", idle, None)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--be-worker"]:
        be_worker(sys.argv[2:])
    else:
        main()
