"""Processes killed at random moments over small trials of a stand-in engine: is anything lost, doubled or left behind?

    python -m benchmarks.crash_safety [--kills N] [--homes N] [--seed N]

A home has everything of its own: database, runner, spools. In each, one process follows as a window does, others hand
trials over as commands do, the runner is started by whoever needs it, and its trials run the fake worker of the tests.
SIGKILL ends one of these four kinds at a random moment, their start and their end included; the killed follower is
replaced at once. After every few kills a fresh follower takes over, the queue empties, and the home is judged:

- lost: a record in a spool, told to a listener, or said by a worker that the runner outlived, that the store has not; a
  stamp in a ring that the store has not; a trial handed over that the store does not know, or that has no end
- doubled: a record or a stamp that the store has twice, in any table
- left: a process of the home after everything has ended, or a worker whose runner has gone

All three are to be 0. Homes are independent and run side by side, because waiting takes most of the time. The seed
decides victims and moments; what a scheduler does with them it cannot decide.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import workbench.store.local
import workbench.store.sharing.owner  # noqa: F401  imported late by whoever opens a database: here, before forking
from benchmarks.crash_evidence import Findings, judge
from engines.protocol.client import RunnerError, connect_local
from engines.protocol.messages import Shutdown
from engines.protocol.orders import ModelOrder, TelemetryOrder
from engines.protocol.places import HOME_VARIABLE, Places, places
from engines.runner.settings import WORKER_VARIABLE
from tests.builders import trial_order
from workbench.running import follower
from workbench.running.events import Event, RecordsArrived
from workbench.running.workbench import Workbench
from workbench.store.operations import AddExperiment, StoreError

ROOT = Path(__file__).resolve().parents[1]
WORKER = ROOT / "tests" / "engines" / "fake_worker.py"
VICTIMS = {"window": 3, "command": 2, "runner": 3, "worker": 8}
"""How often each kind is killed, as weights."""
MOMENTS_S = {"window": 6.0, "command": 3.0, "runner": 6.0, "worker": 0.5}
"""How long after it was found a process is killed, at the most: it may just begin, work, or end."""
APPEARS_S = 2.0
KILLS_A_ROUND = 15
PATIENCE_S = 120.0
STEPS: tuple[tuple[list[object], ...], ...] = (
    (["phase", "measure"], ["request", 0, 12, 0.003], ["logs", 20, 40, 0.004], ["request", 1, 12, 0.003]),
    (["stamps", 200, 0.001], ["progress", "half", 0.5], ["stamps", 100, 0.002]),
    (["phase", "measure"], ["logs", 200, 400], ["sleep", 0.3], ["logs", 5, 10]),
    (["leave_behind"], ["print", "text without an end", 40], ["request", 0, 5, 0.01]),
    (["ignore_sigterm"], ["logs", 30, 2000, 0.01]),
    (["fail", "out_of_memory", "no memory\ntry less"],),
)


@dataclass
class Home:
    """One home under attack, driven by one process."""

    folder: Path
    rng: random.Random
    window: int = 0
    commands: list[int] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)

    @property
    def places(self) -> Places:
        return places()

    def enter(self) -> None:
        os.environ[HOME_VARIABLE] = str(self.folder)
        os.environ[WORKER_VARIABLE] = shlex.join([sys.executable, str(WORKER)])
        os.environ["PYTHONPATH"] = str(ROOT)
        for name in ("witness", "told"):
            (self.folder / name).mkdir(parents=True)

    # --- processes ------------------------------------------------------------------------------------

    def processes(self) -> dict[int, str]:
        """Those of this home that were started as programs: the runner, with what starts it, and workers."""
        found = {}
        mark = f"{HOME_VARIABLE}={self.folder}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if mark not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                words = (entry / "cmdline").read_bytes()
                if (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z":
                    continue
            except OSError:
                continue
            kinds = {b"\0serve\0": "runner", WORKER.name.encode(): "worker"}
            found[int(entry.name)] = next((kind for word, kind in kinds.items() if word in words), "left behind")
        return found

    def follow(self) -> None:
        if self.window == 0:
            self.window = forked(lambda: window(self.folder))

    def command(self) -> None:
        seed = self.rng.random()
        self.commands.append(forked(lambda: command(self.folder, seed)))

    def reap(self) -> None:
        if self.window and has_ended(self.window):
            self.window = 0
        self.commands = [pid for pid in self.commands if not has_ended(pid)]

    def waited_for(self, victim: str) -> int | None:
        """A process of this kind, and a random part of a trial's time later, or None where none comes."""
        deadline = time.monotonic() + APPEARS_S
        while self.find(victim) is None:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.02)
            self.reap()
        time.sleep(self.rng.random() * MOMENTS_S[victim])
        self.reap()
        return self.find(victim)

    def find(self, victim: str) -> int | None:
        if victim == "window":
            return self.window or None
        if victim == "command":
            return self.rng.choice(self.commands) if self.commands else None
        of_kind = [pid for pid, kind in self.processes().items() if kind == victim]
        return self.rng.choice(of_kind) if of_kind else None

    # --- the attack -----------------------------------------------------------------------------------

    def attack(self, kills: int) -> None:
        while self.kills.total() < kills:
            for _ in range(min(KILLS_A_ROUND, kills - self.kills.total())):
                self.kill_one()
            self.settle()
        self.end()

    def kill_one(self) -> None:
        """Wait a random moment, then kill one process of a random kind, another kind where there is none."""
        while True:
            self.reap()
            self.follow()
            if len(self.commands) < 2:
                self.command()
            if self.rng.random() < 0.1:  # closing folds the log into the database: a moment worth hitting
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.window, signal.SIGTERM)
            victim = self.rng.choices(list(VICTIMS), list(VICTIMS.values()))[0]
            pid = self.waited_for(victim)
            if pid is None:
                continue
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.kills[victim] += 1
            return

    def settle(self) -> None:
        """A fresh follower, nothing killed: everything comes to its end, and is judged."""
        for pid in (self.window, *self.commands):
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        wait(lambda: self.reap() or (not self.window and not self.commands), "the clients end")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.follow()
            time.sleep(0.3)
            self.reap()
            found = asked(lambda: judge(self.folder))
            if found.settled or time.monotonic() > deadline:
                break
        others = [f"{kind} {pid}" for pid, kind in self.processes().items() if kind != "runner"]
        self.findings = replace(found, left=others).with_faults_of(self.findings)

    def end(self) -> None:
        """Nothing runs afterwards."""
        os.kill(self.window, signal.SIGTERM)
        wait(lambda: self.reap() or not self.window, "the follower ends")
        with contextlib.suppress(RunnerError), connect_local(self.places, start=False) as client:
            client.call(Shutdown())
        with contextlib.suppress(TimeoutError):
            wait(lambda: not self.processes(), "the runner ends")
        for pid, kind in self.processes().items():
            self.findings.left.append(f"{kind} {pid}")
            os.kill(pid, signal.SIGKILL)


# --- what is killed -----------------------------------------------------------------------------------


def forked(work: Callable[[], object]) -> int:
    """Do something in a process of its own, which has imported everything already. -> its id"""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except (StoreError, RunnerError) as error:  # what a command says when something was killed under it
        print(f"{os.getpid()}: {error}", file=sys.stderr)
    except BaseException:  # noqa: BLE001  the end of this process: it must not run its parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def wait(until: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {PATIENCE_S:g} s")
        time.sleep(0.02)


def asked(question: Callable[[], Findings]) -> Findings:
    """An answer found in a process of its own: this one never opens the database, so that it may fork."""
    read, write = os.pipe()
    pid = forked(lambda: os.write(write, json.dumps(question().__dict__).encode()))
    os.close(write)
    with os.fdopen(read, "rb") as said:
        answer = said.read()
    os.waitpid(pid, 0)
    return Findings(**json.loads(answer)) if answer else Findings(settled=False, unfinished=["nothing could be read"])


def window(folder: Path) -> None:
    """Follows like a window and writes down what it was told, until it is killed, or asked to close."""
    asked_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked_to_end.append(number))
    told = os.open(folder / "told" / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def listen(event: Event) -> None:
        if isinstance(event, RecordsArrived):
            numbers = " ".join(str(record.seq) for record in event.records)
            os.write(told, f"{event.trial} {numbers}\n".encode())

    follower._UNKNOWN_AFTER_S = 3.0
    with Workbench(client="window") as workbench:
        workbench.listen(listen)
        workbench.follow()
        while not asked_to_end:
            time.sleep(0.05)


def command(folder: Path, seed: float) -> None:
    """Hands trials over, and writes down that it has."""
    rng = random.Random(seed)
    with Workbench(client="run") as workbench:
        chosen = rng.sample(range(len(STEPS)), rng.randint(1, len(STEPS)))
        new = workbench.retry(tuple(f"t-{number}" for number in chosen))
        handed = os.open(folder / "handed", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(handed, "".join(f"{trial}\n" for trial in new).encode())


def begin(folder: Path) -> None:
    """The experiment that all trials of a home belong to."""
    with Workbench(client="run") as workbench:
        orders = tuple(
            trial_order(
                f"t-{number}",
                experiment="e",
                store=workbench.store_id,
                configuration=f"c-{number}",
                title=f"stand-in {number}",
                position=number,
                total=len(STEPS),
                experiment_title="kills",
                model=ModelOrder(
                    ref="fake",
                    title="fake",
                    kind="random",
                    config={"steps": list(steps), "witness": str(folder / "witness")},
                ),
                telemetry=TelemetryOrder(enabled=number % 2 == 0, rate_hz=10.0),
            )
            for number, steps in enumerate(STEPS)
        )
        workbench.store.execute(AddExperiment(experiment="e", name="kills", definition="", seed=1, orders=orders))


def drive(folder: Path, kills: int, seed: int) -> Home:
    home = Home(folder, random.Random(seed))
    home.enter()
    pid = forked(lambda: begin(folder))
    os.waitpid(pid, 0)
    home.attack(kills)
    return home


# --- the figures --------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--homes", type=int, default=8, help="independent homes side by side (8)")
    parser.add_argument("--seed", type=int, default=None, help="of victims and moments (default: drawn and printed)")
    parser.add_argument("--keep", action="store_true", help="leave the homes where something was found")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    base = Path(tempfile.mkdtemp(prefix="lw-kill-", dir="/tmp"))
    print(f"{options.kills} kills in {options.homes} homes below {base}, seed {seed}", flush=True)
    logging.disable(logging.CRITICAL)
    begun = time.monotonic()
    homes = min(options.homes, options.kills)
    shares = [options.kills // homes + (number < options.kills % homes) for number in range(homes)]
    drivers = []
    for number, kills in enumerate(shares):
        folder = base / str(number)
        folder.mkdir()
        drivers.append(forked(lambda f=folder, k=kills, n=number: report(f, drive(f, k, seed + n))))  # type: ignore[misc]
    codes = [os.waitpid(pid, 0)[1] for pid in drivers]
    kills, total = Counter[str](), Findings()
    for number, code in enumerate(codes):
        try:
            said = json.loads((base / f"{number}.json").read_bytes())
        except FileNotFoundError:
            total.unfinished.append(f"home {number} could not be driven to its end (status {code})")
            continue
        kills.update(said["kills"])
        total = total.together(Findings(**said["findings"]))
    print(f"{kills.total()} kills in {time.monotonic() - begun:.0f} s: {dict(sorted(kills.items()))}")
    print(total.summary())
    if total.sound:
        shutil.rmtree(base, ignore_errors=True)
    elif not options.keep:
        print(f"The homes are kept: {base}")
    return 0 if total.sound and kills.total() == options.kills else 1


def report(folder: Path, home: Home) -> None:
    said = {"kills": home.kills, "findings": home.findings.__dict__}
    folder.with_suffix(".json").write_text(json.dumps(said))


if __name__ == "__main__":
    raise SystemExit(main())
