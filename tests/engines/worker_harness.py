"""Runs a real worker process as the runner would: an order file, a record pipe, a ring. For tests."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from engines.protocol.codec import decode_record, encode_order
from engines.protocol.orders import EngineOrder, Inference, ModelOrder, TechniqueOrder, TrialOrder
from engines.protocol.records import Cue, Environment, Record, Request, Stamps
from engines.protocol.ring import RingReader, capacity_for, create_ring
from tests import builders

R = TypeVar("R")
QUICK = Inference(prompt_tokens=16, new_tokens=8, requests=2, window_s=0.0, warmup_requests=3)


def trial_order(model: ModelOrder, precision: str = "float32", workload: Inference = QUICK) -> TrialOrder:
    """A small order for one trial on the processor with one thread."""
    techniques = (TechniqueOrder(id=f"precision.{precision}"),)
    return builders.trial_order(
        seed=7, model=model, techniques=techniques, workload=workload, engine=EngineOrder(threads=1)
    )


def folder_model(folder: Path) -> ModelOrder:
    return ModelOrder(ref=str(folder), title=folder.name, kind="folder", path=str(folder))


def facts_of(records: Iterable[Record]) -> dict[str, str]:
    """All that a trial said about where and how it ran."""
    return {name: value for r in records if isinstance(r, Environment) for name, value in r.facts.items()}


@dataclass
class Outcome:
    exit_code: int
    records: list[Record]
    stamps: list[int]
    stdout: str
    stderr: str

    def all(self, kind: type[R]) -> list[R]:
        return [r for r in self.records if isinstance(r, kind)]

    def only(self, kind: type[R]) -> R:
        (found,) = self.all(kind)
        return found

    def cue(self, code: str) -> Cue | None:
        return next((c for c in self.all(Cue) if c.code == code), None)

    @property
    def failure(self) -> str:
        return next((c.code.removeprefix("failure:") for c in self.all(Cue) if c.code.startswith("failure:")), "")

    @property
    def facts(self) -> dict[str, str]:
        return facts_of(self.records)

    @property
    def measured(self) -> list[Request]:
        return [r for r in self.all(Request) if not r.warmup]

    def token_times(self, request: Request) -> list[int]:
        return self.stamps[request.first_stamp : request.first_stamp + request.stamps]


@dataclass
class Worker:
    """A running worker; `finish` waits for its end."""

    process: subprocess.Popen[str]
    ring: Path
    records: list[Record] = field(default_factory=list)
    seen: threading.Condition = field(default_factory=threading.Condition)
    reader: threading.Thread | None = None

    def read(self, fd: int) -> None:
        with os.fdopen(fd, "rb") as stream:
            for line in stream:
                record = decode_record(line)
                with self.seen:
                    self.records.append(record)
                    self.seen.notify_all()

    def wait_for(self, wanted: Callable[[Record], bool], timeout: float = 120) -> None:
        with self.seen:
            if not self.seen.wait_for(lambda: any(map(wanted, self.records)), timeout):
                raise AssertionError(f"no such record within {timeout} s")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def finish(self, timeout: float = 240) -> Outcome:
        try:
            stdout, stderr = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        finally:
            if self.reader is not None:
                self.reader.join(10)
        reader = RingReader(self.ring)
        stamps = reader.read(0)
        reader.close()
        return Outcome(self.process.returncode, self.records, stamps, stdout, stderr)


def start_worker(
    order: TrialOrder,
    folder: Path,
    *,
    module: str = "engines.worker",
    environment: dict[str, str] | None = None,
    address_space_bytes: int | None = None,
) -> Worker:
    """Start a worker on an order, with its files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path, ring = folder / "order.json", folder / "ring"
    path.write_bytes(encode_order(order))
    create_ring(ring, capacity_for(order))
    read_end, write_end = os.pipe()

    def limit() -> None:
        if address_space_bytes is not None:
            resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))

    command = [sys.executable, "-m", module, "--order", str(path), "--records", str(write_end), "--ring", str(ring)]
    process = subprocess.Popen(
        command,
        pass_fds=[write_end],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        preexec_fn=limit,
    )
    os.close(write_end)
    worker = Worker(process, ring)
    worker.reader = threading.Thread(target=worker.read, args=(read_end,))
    worker.reader.start()
    return worker


def run_worker(order: TrialOrder, folder: Path, **options: object) -> Outcome:
    """Run a worker to its end."""
    return start_worker(order, folder, **options).finish()  # type: ignore[arg-type]


__all__ = [
    "QUICK",
    "Outcome",
    "Stamps",
    "Worker",
    "folder_model",
    "run_worker",
    "start_worker",
    "trial_order",
]
