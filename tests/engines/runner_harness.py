"""A real runner with fake workers, for tests."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from engines.protocol import messages
from engines.protocol.client import RunnerClient, RunnerError, connect_local
from engines.protocol.codec import decode_record
from engines.protocol.messages import QueueEntry, QueueState, RecordLine
from engines.protocol.orders import ModelOrder, TelemetryOrder, TrialOrder
from engines.protocol.places import Places
from engines.protocol.records import Record
from tests.builders import trial_order

ROOT = Path(__file__).resolve().parents[2]
FAKE_WORKER = Path(__file__).with_name("fake_worker.py")


def until(true: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds} s: {what or true}")
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def make_order(trial: str, *steps: list[object], device: str = "cpu", **changes: object) -> TrialOrder:
    """An order for the fake worker, with telemetry off unless asked for."""
    model = ModelOrder(ref="fake", title="fake", kind="random", config={"steps": list(steps)})
    own = {"experiment": "e1", "store": "s1", "configuration": "c1", "telemetry": TelemetryOrder(enabled=False)}
    return trial_order(trial, title=f"fake {trial}", model=model, device=device, **(own | changes))


def end_runner(home: Places) -> None:
    """Tell the runner of a home to end, if one runs, and wait until it has: also one that was ending already."""
    with contextlib.suppress(RunnerError), connect_local(home, start=False, timeout=60) as client:
        client.call(messages.Shutdown())
    until(lambda: _is_free(home.runner_lock), what="the runner ends")


def _is_free(lock: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def remove_home(folder: Path) -> None:
    """Delete a home in which a process that was killed may still write its last."""

    def gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    until(gone, what=f"{folder} can be deleted")


class RunnerProcess:
    """A real runner in a home of its own, and a client of it."""

    def __init__(self, home: Places) -> None:
        self.places = home
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[RunnerClient] = []

    @property
    def pid(self) -> int:
        return self.process.pid

    def start(self, *options: str) -> None:
        self.places.state.mkdir(parents=True, exist_ok=True)
        with self.places.runner_log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "engines", "serve", *options], cwd=ROOT, stdout=log, stderr=log
            )
        until(self._is_ready, 60, "the runner starts")

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            connect_local(self.places, start=False, timeout=60).close()
        except RunnerError:
            return False
        return True

    @property
    def log(self) -> str:
        return self.places.runner_log.read_text()

    def connect(self) -> RunnerClient:
        client = connect_local(self.places, start=False, timeout=60)
        self._clients.append(client)
        return client

    @property
    def client(self) -> RunnerClient:
        return self._clients[0] if self._clients else self.connect()

    def hang_up(self) -> None:
        while self._clients:
            self._clients.pop().close()

    def submit(self, *orders: TrialOrder) -> str:
        reply = self.client.call(messages.Submit(orders=orders))
        assert isinstance(reply, messages.Done)
        return reply.text

    def queue(self) -> QueueState:
        state = self.client.call(messages.GetQueue())
        assert isinstance(state, QueueState)
        return state

    def entry(self, trial: str) -> QueueEntry:
        return next(entry for entry in self.queue().entries if entry.trial == trial)

    def until_state(self, trial: str, state: str) -> QueueEntry:
        until(lambda: self.entry(trial).state == state, 60, f"{trial} is {state}: {self.log}")
        return self.entry(trial)

    def lines(self, trial: str, after: int = 0) -> list[RecordLine]:
        """All records of a trial, waiting for its end."""
        stream = self.client.stream(messages.Attach(trial=trial, after=after))
        return [reply for reply in stream if isinstance(reply, RecordLine)]

    def records(self, trial: str, after: int = 0) -> list[Record]:
        return [decode_record(line.line) for line in self.lines(trial, after)]

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.hang_up()
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """SIGTERM, as a person does. -> exit code"""
        self.hang_up()
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=120)
