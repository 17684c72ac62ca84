"""The self-check from its first question to its stored result. Blocks for minutes; main thread of a command.

The database is open only between groups of trials: while one runs, this process sleeps, and the window of the arm that
has one is the database's owner and takes the records in, as a user's window does.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from engines.protocol.client import RunnerError, connect_local
from engines.protocol.instruments import Instruments
from engines.protocol.messages import ProbeResult
from engines.protocol.orders import TrialOrder
from engines.protocol.places import Places, places
from engines.protocol.problems import Advised
from workbench.experiment.experiment import MAX_SEED
from workbench.experiment.file import dump
from workbench.plan.plan import new_id
from workbench.running.workbench import Workbench
from workbench.selfcheck import load
from workbench.selfcheck.blocks import OFF, ON, TrialFigures, effect, enough, processor_rates, rates, share, turn_rates
from workbench.selfcheck.instruments import NoInstruments, measure_instruments
from workbench.selfcheck.load import ARMS, TURNS, Arm, TurnPlan
from workbench.selfcheck.result import TARGET, Ended, SelfCheck
from workbench.selfcheck.trials import TrialFailed, Trials
from workbench.selfcheck.window import NoWindow, OwnWindow
from workbench.store.operations import AddExperiment, AddSelfCheck, AddTrials, DeleteTrials, ListTrials
from workbench.units import format_duration
from workbench.version import version

MOST_BLOCKS = 200
_MOST_FAILURES = 3
_PER_MINUTE = 60.0


class SelfCheckError(Advised):
    """Why there is no self-check, with what is safe and what to do in `advice`."""


@dataclass(frozen=True)
class Options:
    minutes: float = 20.0
    """The blocks end after this time at the latest."""
    blocks: int | None = None
    """Exactly so many, instead of as many as the answer takes."""
    quick: bool = False
    device: str = ""
    window: bool = True
    offscreen: bool = True
    target: float = TARGET
    seed: int = field(default_factory=lambda: secrets.randbelow(MAX_SEED + 1))
    """Of the order of the arms; stored with the self-check."""
    sensor_s: float = 2.0
    """How long each sensor is watched."""
    window_s: float | None = None
    """Measured seconds of each trial without turns; None: as `load` has it."""
    turns: TurnPlan = TURNS

    @classmethod
    def of_quick(cls) -> Options:
        return cls(minutes=4.0, quick=True, sensor_s=1.0)


@dataclass(frozen=True)
class Progress:
    fraction: float
    text: str
    left_s: float | None = None


Report = Callable[[Progress], None]


@dataclass
class _State:
    """What has been found so far."""

    started_at: str
    begun: float
    machine: str = ""
    device: str = ""
    experiment: str = ""
    instruments: Instruments | None = None
    trials: list[TrialFigures] = field(default_factory=list)
    failed: int = 0
    blocks: int = 0
    ended: Ended = "blocks"
    other_window: bool = False
    notes: list[str] = field(default_factory=list)


def self_check(
    options: Options, report: Report, *, database: Path | None = None, places_: Places | None = None
) -> SelfCheck:
    """Run it, store it, return it. An interruption keeps what two blocks and more have shown, and passes through
    otherwise. Raises `SelfCheckError`, `StoreError`, `RunnerError`, `ProblemsFound`."""
    where = places_ or places()
    check = _Check(options, report, where, database or where.database)
    return check.run()


class _Check:
    def __init__(self, options: Options, report: Report, where: Places, database: Path) -> None:
        self._options = options
        self._report = report
        self._places = where
        self._database = database
        self._state = _State(started_at=datetime.now(UTC).isoformat(timespec="seconds"), begun=time.monotonic())
        self._arms = tuple(arm for arm in ARMS if options.window or not arm.window)
        self._pattern: TrialOrder | None = None
        self._position = 0

    def run(self) -> SelfCheck:
        self._say(0.0, "Looking at this computer")
        with self._session() as session:
            machine = self._ask(session)
            self._state.other_window = not session.is_owner
            self._begin(session, machine)
        try:
            self._measure_instruments()
            self._run_blocks()
        except KeyboardInterrupt:
            self._state.ended = "stopped"
            if self._state.blocks < 2:
                raise
        finally:
            self._tidy()
        result = self._result()
        with self._session() as session:
            session.store.execute(AddSelfCheck(result=result))
        return result

    def _session(self) -> Workbench:
        return Workbench(self._database, places_=self._places, client="self-check")

    # --- before -----------------------------------------------------------------------------------

    def _ask(self, session: Workbench) -> ProbeResult:
        queue = session.queue()
        busy = queue.in_state("running") + queue.in_state("waiting")
        if busy:
            raise SelfCheckError(
                f"{len(busy)} trials run or wait on this computer; a self-check needs it to itself. Nothing was run.",
                "Wait until the queue is empty, or stop what waits: `llm-workbench queue` shows it.",
            )
        if queue.paused:
            raise SelfCheckError(
                "The queue is paused, so no trial would start. Nothing was run.", "Resume it: `queue --resume`."
            )
        return session.probe(refresh=True)

    def _begin(self, session: Workbench, machine: ProbeResult) -> None:
        state, options = self._state, self._options
        wanted = load.experiment(options.device, options.seed, options.window_s)
        state.experiment = new_id("e")
        pattern = load.pattern(wanted, machine, store=session.store_id, id=state.experiment)
        state.machine, state.device = machine.machine, pattern.device
        session.store.execute(
            AddExperiment(
                experiment=state.experiment,
                name=wanted.name,
                definition=dump(wanted),
                seed=options.seed,
                orders=(),
                baseline=f"{pattern.configuration}+{ARMS[0].name}",
            )
        )
        self._pattern = pattern

    def _measure_instruments(self) -> None:
        self._say(0.01, "Clocks and sensors")
        try:
            self._state.instruments = measure_instruments(self._places, self._options.sensor_s)
        except NoInstruments as error:
            self._state.notes.append(str(error))

    # --- blocks -----------------------------------------------------------------------------------

    def _run_blocks(self) -> None:
        window = OwnWindow(self._places, self._database, offscreen=self._options.offscreen)
        try:
            with connect_local(self._places, client="self-check") as client:
                trials = Trials(client)
                try:
                    self._one_after_the_other(trials, window)
                finally:
                    with contextlib.suppress(RunnerError):
                        trials.stop()
        finally:
            window.end()

    def _one_after_the_other(self, trials: Trials, window: OwnWindow) -> None:
        state, options = self._state, self._options
        begun, longest = time.monotonic(), 0.0
        while True:
            started = time.monotonic()
            self._run_block(trials, window)
            state.blocks += 1
            longest = max(longest, time.monotonic() - started)
            with self._session() as session:
                session.catch_up()
            if options.blocks is not None:
                if state.blocks >= options.blocks:
                    state.ended = "blocks"
                    return
                continue
            if enough(state.trials, options.target).stop:
                state.ended = "answered"
                return
            if state.blocks >= MOST_BLOCKS or time.monotonic() - begun + longest > options.minutes * _PER_MINUTE:
                state.ended = "time"
                return

    def _run_block(self, trials: Trials, window: OwnWindow) -> None:
        assert self._pattern is not None
        block = self._state.blocks
        groups = load.block_order(self._arms, self._options.seed, block)
        orders = [[(arm, self._order(arm, block)) for arm in group] for group in groups]
        with self._session() as session:
            session.store.execute(AddTrials(orders=tuple(order for trials_ in orders for _, order in trials_)))
        for wanted in orders:
            if not wanted[0][0].window:
                self._run_group(trials, wanted, None)
                continue
            try:
                self._say_block("opening a window")
                window.open()
            except NoWindow as error:
                window.close()
                self._state.notes.append(f"The window's own cost is not measured. {error}")
                self._arms = tuple(arm for arm in self._arms if not arm.window)
                continue
            try:
                self._run_group(trials, wanted, window.pid)
            finally:
                window.close()

    def _order(self, arm: Arm, block: int) -> TrialOrder:
        assert self._pattern is not None
        planned = (self._options.blocks or 1) * len(self._arms)
        order = load.trial_order(self._pattern, arm, block, self._position, planned, self._options.turns)
        self._position += 1
        return order

    def _run_group(self, trials: Trials, group: list[tuple[Arm, TrialOrder]], window_pid: int | None) -> None:
        state = self._state
        for arm, order in group:
            self._say_block(arm.title)
            try:
                state.trials.append(trials.run(order, arm, window_pid))
            except TrialFailed as error:
                state.failed += 1
                if state.failed >= _MOST_FAILURES:
                    raise SelfCheckError(
                        f"{state.failed} trials of the self-check did not complete. {error}",
                        "What ran is kept as an experiment: `llm-workbench list` shows it.",
                    ) from error
                state.notes.append(f"Left out: {error}")

    # --- after ------------------------------------------------------------------------------------

    def _tidy(self) -> None:
        """Take in what ran; take back what never started. What cannot be done now is done at the next start."""
        with contextlib.suppress(Exception), self._session() as session:
            session.catch_up()
            waiting = session.store.execute(ListTrials(experiment=self._state.experiment, state="waiting"))
            if waiting:
                session.store.execute(DeleteTrials(trials=tuple(row.trial for row in waiting)))

    def _result(self) -> SelfCheck:
        state, options = self._state, self._options
        speed, work = rates(state.trials), processor_rates(state.trials)
        turns = [t.turns for t in state.trials if t.turns is not None]
        foreign = [t.foreign_cores for t in state.trials if t.foreign_cores is not None]
        shown = any(arm.window for arm in self._arms)
        return SelfCheck(
            id=new_id("c"),
            machine=state.machine,
            device=state.device,
            started_at=state.started_at,
            duration_s=time.monotonic() - state.begun,
            quick=options.quick,
            ended=state.ended,
            blocks=state.blocks,
            trials=len(state.trials),
            failed=state.failed,
            experiment=state.experiment,
            target=options.target,
            method="turns",
            version=version(),
            instruments=state.instruments,
            telemetry=effect(turn_rates(state.trials), ON, OFF),
            window=effect(speed, "window", "on"),
            window_processor=effect(work, "window", "on"),
            again=effect(speed, "again", "on"),
            again_processor=effect(work, "again", "on"),
            runner=share(t.on.runner_share for t in turns),
            runner_bare=share(t.off.runner_share for t in turns),
            window_process=share(t.window_share for t in state.trials if t.arm == "window"),
            window_shown=("offscreen" if options.offscreen else "on the display") if shown else "",
            other_window=state.other_window,
            foreign_cores=sum(foreign) / len(foreign) if foreign else None,
            notes=tuple(dict.fromkeys(state.notes)),
        )

    # --- progress ---------------------------------------------------------------------------------

    def _say(self, fraction: float, text: str, left_s: float | None = None) -> None:
        self._report(Progress(min(max(fraction, 0.0), 1.0), text, left_s))

    def _say_block(self, what: str) -> None:
        """By the blocks asked for, or by the time allowed: when the answer comes earlier it ends earlier."""
        options, state = self._options, self._state
        elapsed = time.monotonic() - state.begun
        done = self._position_done() / len(self._arms)
        if options.blocks is not None:
            fraction = done / options.blocks
            left = elapsed * (1 - fraction) / fraction if done >= 1 else None
            of = f" of {options.blocks}"
        else:
            most_s = options.minutes * _PER_MINUTE
            fraction, left, of = elapsed / most_s, max(0.0, most_s - elapsed), ""
        width = ""
        decision = enough(state.trials, options.target)
        if decision.half_width is not None:
            width = f", ±{100 * decision.half_width:.1f} % so far"
        self._say(0.02 + 0.97 * fraction, f"Block {state.blocks + 1}{of}{width}: {what}", left)

    def _position_done(self) -> int:
        return len(self._state.trials) + self._state.failed


def at_most(options: Options) -> str:
    """How long it takes, for people: "at most 20 min"."""
    if options.blocks is not None:
        return f"{options.blocks} blocks"
    return f"at most {format_duration(options.minutes * _PER_MINUTE)}"
