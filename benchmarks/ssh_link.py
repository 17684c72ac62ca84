"""A far machine's figures beside this computer's own, what its link carries, and what a cut costs. Needs an sshd.

    python -m benchmarks.ssh_link [--pairs N] [--seconds N] [--cut N]

The far machine is this computer over a real sshd on a loopback port: the same hardware, so that figures must be equal.
- Figures: trials of the tiny model on the transformers engine, followed to their ends, in pairs of one local and one
  far trial in random order. Ratio of the rates that the quickest tenth of their requests reach, 95 % t interval over
  pairs on logarithms.
- Traffic: everything that passes the TCP connection, both ways, while a trial of 40 tokens/s is followed with telemetry
  at 10 Hz. The bar is 20 kB/s.
- Cut: nothing passes the connection for N seconds, then a new one can be made. How soon it shows (bar: 3 s), and which
  records are missing or doubled afterwards (bar: none).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.paired_comparison import compare, interval, report_progress
from benchmarks.start_methods import processor_rate
from benchmarks.trials import own_runner, records_of, trial_order
from engines.protocol import messages
from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.codec import read_record
from engines.protocol.orders import EngineOrder, ModelOrder, TelemetryOrder
from engines.protocol.places import places
from engines.protocol.records import Request, TrialEnded
from engines.protocol.work import Inference
from engines.runner.settings import WORKER_VARIABLE
from tests.builders import trial_order as any_order
from tests.sshd import Network, Sshd, free_port
from tests.tiny_model import make_tiny_model
from workbench.machines.ssh import Remote
from workbench.machines.ssh_config import CONFIG_VARIABLE

BAR_BYTES_S = 20_000.0
BAR_LOST_S = 3.0
MARGIN = 0.05
SETTLE_S = 3.0
STAND_IN = shlex.join([sys.executable, str(Path(__file__).with_name("runner_cpu.py")), "--be-worker"])


class Cable:
    """A TCP relay in front of a port: it counts what passes, and can be cut so that nothing does."""

    def __init__(self, to_port: int) -> None:
        self.port = free_port()
        self.bytes = 0
        self._to_port = to_port
        self._is_whole = threading.Event()
        self._is_whole.set()
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._is_whole.clear()

    def mend(self) -> None:
        self._is_whole.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to_port))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                self._is_whole.wait()
                self.bytes += len(data)
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listening.close()


@contextlib.contextmanager
def far_computer(folder: Path, worker: str) -> Iterator[tuple[Sshd, Cable]]:
    network = Network(folder)
    network.write_config()
    os.environ[CONFIG_VARIABLE] = str(network.config)
    computer = network.computer("far")
    computer.environment.pop(WORKER_VARIABLE)
    if worker:
        computer.environment[WORKER_VARIABLE] = worker
    computer.stop()
    computer.start()
    cable = Cable(computer.port)
    try:
        yield computer, cable
    finally:
        cable.mend()
        cable.close()
        network.close()


def through_the_cable(folder: Path, computer: Sshd, cable: Cable) -> None:
    """Every new connection to that computer passes the cable."""
    config = Path(os.environ[CONFIG_VARIABLE])
    config.write_text(config.read_text().replace(f"Port {computer.port}", f"Port {cable.port}"))
    known = folder / "known_hosts"
    known.write_text(known.read_text().replace(f":{computer.port} ", f":{cable.port} "))


@dataclass(frozen=True)
class Side:
    """One way to run trials, and the tokens per second of processor time of each: neighbours hardly change those."""

    client: RunnerClient
    name: str
    per_processor_second: list[float] = field(default_factory=list)

    def decode_rate(self, model: Path) -> float:
        """Tokens a second of one trial, in the quickest tenth of its requests: others use this computer, too."""
        source = ModelOrder(ref="bench", title=model.name, kind="folder", path=str(model))
        work = Inference(
            prompt_tokens=32, new_tokens=64, requests=20, window_s=0.0, warmup_requests=3, perplexity_tokens=0
        )
        trial = f"{self.name}-{len(self.per_processor_second)}"
        order = trial_order(source, "precision.float32", workload=work, engine=EngineOrder(threads=1), trial=trial)
        records = [record for _, record in records_of(self.client, order)]
        if not isinstance(records[-1], TrialEnded) or records[-1].outcome != "completed":
            raise SystemExit(f"A trial did not complete: {records[-1]}")
        self.per_processor_second.append(processor_rate(records))
        measured = [r for r in records if isinstance(r, Request) and not r.warmup]
        return float(np.quantile([r.generated_tokens * 1e9 / (r.end_ns - r.start_ns) for r in measured], 0.9))


def figures(folder: Path, pairs: int) -> None:
    model = make_tiny_model(folder / "tiny")
    with far_computer(folder, "") as (computer, _), own_runner() as here, _connected(computer) as there:
        far, near = Side(there, "far"), Side(here, "near")
        state = compare(
            lambda: far.decode_rate(model),
            lambda: near.decode_rate(model),
            margin=MARGIN,
            least=min(6, pairs),
            most=pairs,
            report=report_progress,
        )
    print(state.line("over ssh", "here", "tokens/s"), flush=True)
    spent = list(zip(far.per_processor_second, near.per_processor_second, strict=True))
    print("  " + interval(spent, MARGIN, 0.95).line("over ssh", "here", "tokens per second of processor time"))


def traffic(folder: Path, seconds: float, cut_s: float) -> None:
    with far_computer(folder, STAND_IN) as (computer, cable):
        through_the_cable(folder, computer, cable)
        got: list[int] = []
        watched = any_order("followed", telemetry=TelemetryOrder(rate_hz=10.0))
        with _connected(computer) as client:
            client.call(messages.Submit(orders=(watched,)))
            watching = threading.Thread(target=_follow, args=(client, got), daemon=True)
            watching.start()
            time.sleep(SETTLE_S)
            before, lines, began = cable.bytes, len(got), time.monotonic()
            payload = client.received_bytes + client.sent_bytes
            time.sleep(seconds)
            took = time.monotonic() - began
            rate = (cable.bytes - before) / took
            inside = (client.received_bytes + client.sent_bytes - payload) / took
            print(
                f"traffic {rate / 1000:.2f} kB/s on the wire, {inside / 1000:.2f} kB/s in lines "
                f"({(len(got) - lines) / took:.1f} records/s over {took:.0f} s); bar {BAR_BYTES_S / 1000:g} kB/s: "
                f"{'within' if rate <= BAR_BYTES_S else 'over'}",
                flush=True,
            )
            cable.cut()
            began = time.monotonic()
            watching.join()
            shown = time.monotonic() - began
        time.sleep(max(0.0, cut_s - shown))
        cable.mend()
        with _connected(computer) as client:
            threading.Timer(SETTLE_S, lambda: client.call(messages.Stop(trial="followed"))).start()
            _follow(client, got)
        spool = computer.places.spools / "followed" / "records.jsonl"
        said = [record.seq for line in spool.read_bytes().splitlines()[1:] if (record := read_record(line)) is not None]
        print(
            f"cut of {cut_s:g} s: shown after {shown:.2f} s (bar {BAR_LOST_S:g} s), {len(set(said) - set(got))} of "
            f"{len(said)} records missing, {len(got) - len(set(got))} doubled",
            flush=True,
        )


def _connected(computer: Sshd) -> RunnerClient:
    """As soon as it can be reached."""
    while True:
        try:
            return Remote(computer.reach, places()).connect("bench")
        except RunnerError:
            time.sleep(1.0)


def _follow(client: RunnerClient, got: list[int]) -> None:
    """Take the numbers of a trial's records, from the last one on, until it or the link ends."""
    with contextlib.suppress(RunnerError):
        for reply in client.stream(messages.Attach(trial="followed", after=max(got, default=0))):
            if isinstance(reply, messages.RecordLine):
                got.append(reply.seq)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20, help="at most (20)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of the traffic (30)")
    parser.add_argument("--cut", type=float, default=30.0, help="seconds without a network (30)")
    options = parser.parse_args()
    for part in (lambda f: traffic(f, options.seconds, options.cut), lambda f: figures(f, options.pairs)):
        with tempfile.TemporaryDirectory(prefix="lw-", dir="/tmp", ignore_cleanup_errors=True) as folder:
            part(Path(folder))


if __name__ == "__main__":
    main()
