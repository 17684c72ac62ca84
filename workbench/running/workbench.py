"""The application as one object: store, runner and follower together. The window and the commands are thin over it.

Owns its threads (a follower that attaches to the runner and ingests; one executor for the store). All methods may be
called from any thread and block for as long as a store operation or a runner call takes, unless said otherwise.
Listeners are called on the follower's threads, in order; they must return at once.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from engines.models import artifacts
from engines.models.identity import Digests
from engines.protocol.client import RunnerClient, RunnerError, connect_local
from engines.protocol.client_environment import submission
from engines.protocol.messages import (
    Bury,
    GetQueue,
    Probe,
    ProbeResult,
    QueueState,
    Reorder,
    SetPaused,
    Stop,
    Submit,
)
from engines.protocol.orders import TrialOrder
from engines.protocol.places import Places, places
from workbench.experiment.experiment import TRAINED, Experiment
from workbench.experiment.file import dump
from workbench.experiment.problems import Problem, ProblemsFound
from workbench.machines.facts import visible
from workbench.models.fetching import Report
from workbench.models.identity import Identities
from workbench.models.lookup import resolve
from workbench.plan.history import History
from workbench.plan.memory import FORMULA
from workbench.plan.plan import Plan, another_order, block_order, make_plan, new_id, orders, with_seed
from workbench.plan.trained_first import first_in_each_block
from workbench.plan.workload import find_own
from workbench.running.chains import linked, trained_by
from workbench.running.early_end import EarlyEnds
from workbench.running.events import Event, Notice, ProbeFinished, StoreChanged
from workbench.running.follower import Follower
from workbench.running.intake import catch_up, judge_leftovers
from workbench.running.resuming import checkpoint_of
from workbench.running.stored import StoredWork
from workbench.store.open import ReopeningStore
from workbench.store.operations import (
    AddExperiment,
    AddSamples,
    AddTrials,
    DeleteTrials,
    Durations,
    GetExperiment,
    GetStoreId,
    GetTrial,
    ImportBundle,
    ListUnfinished,
    Losses,
    MemoryRatios,
    Operation,
    Rename,
    SetBaseline,
    SetMetrics,
    Store,
    StoreError,
    TrialRow,
)

R = TypeVar("R")
Listener = Callable[[Event], None]

_PROBE_FOR_S = 60.0


class Workbench:
    """One database and one runner.

    Opening: becomes the store's owner if nobody is (opens the file, migrates, opens the socket beside it), or a guest
    of the owner that answers. Only the owner ingests; a guest becomes the owner when the owner goes away.
    Raises `StoreError` with a message for people.
    """

    def __init__(
        self, database: Path | None = None, *, places_: Places | None = None, client: str = "workbench"
    ) -> None:
        self.places = places_ or places()
        self.database = (database or self.places.database).expanduser().absolute()
        self._client_name = client
        self._listeners: list[Listener] = []
        self._lock = threading.RLock()
        self._linking = threading.Lock()
        """Held while a connection is made, which can take seconds, in which nobody else needs to wait."""
        self._follower: Follower | None = None
        self._taking_over: threading.Thread | None = None
        self._client: RunnerClient | None = None
        self._probed: tuple[float, ProbeResult] | None = None
        self._closed = False
        # guests are heard, and the owner may go, from here on
        self._store = ReopeningStore(self.database, on_owner_change=self._owner_changed, listener=self._guest_did)
        self.store: Store = self._store
        try:
            self.store_id: str = self._store.execute(GetStoreId())
        except BaseException:
            self._store.close()
            raise
        self.stored = StoredWork(self._store, self.places, self._tell)
        """Work on trials that are stored, and the settings their figures rest on."""
        self._early = EarlyEnds(self._store)
        self._identities = Identities(Digests(self.places.digests))
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    @property
    def is_owner(self) -> bool:
        return self._store.is_owner

    def close(self) -> None:
        """Stop following, close the store. Trials and queue continue in the runner."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            follower, self._follower = self._follower, None
            taking_over = self._taking_over
        if taking_over is not None:
            taking_over.join()  # it may be stopping the follower that this method found gone
        if follower is not None:
            follower.stop()
        self._identities.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
        with self._linking:
            client, self._client = self._client, None
        if client is not None:
            client.close()
        self._store.close()

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- events -------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on. Returns the function that ends it."""
        with self._lock:
            self._listeners.append(listener)

        def end() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        return end

    def _tell(self, event: Event) -> None:
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(event)

    def follow(self) -> None:
        """Start the runner if needed, catch up with every spool of this store, then follow it live, for ever
        reconnecting. Returns at once; what happens comes as events."""
        with self._lock:
            if self._follower is not None or self._closed:
                return
            self._follower = Follower(
                self._store,
                self.store_id,
                lambda: connect_local(self.places, client=self._client_name),
                self._tell,
                ingest=self.is_owner,
                assumed=self.stored.assumed,
                judged=self._judged,
            )
            self._follower.start()

    def _owner_changed(self) -> None:
        """The store's owner went away and this process became it: take over the ingesting."""
        with self._lock:
            if not self._closed:
                self._taking_over = threading.Thread(target=self._restart_follower, name="take-over", daemon=True)
                self._taking_over.start()

    def _guest_did(self, operation: Operation[object]) -> None:
        """Another process changed something through this owner: views refresh as if this one had."""
        if isinstance(operation, AddExperiment):
            self._tell(StoreChanged(experiments=(operation.experiment,)))
        elif isinstance(operation, DeleteTrials):
            self._tell(StoreChanged(experiments=(operation.experiment,), trials=operation.trials))
        elif isinstance(operation, (SetMetrics, AddSamples)):
            self._tell(StoreChanged(trials=(operation.trial,)))
        elif isinstance(operation, (AddTrials, ImportBundle, Rename, SetBaseline)):
            self._tell(StoreChanged())

    def _restart_follower(self) -> None:
        with self._lock:
            if self._closed or self._follower is None:
                return
            follower, self._follower = self._follower, None
        follower.stop()
        self.follow()
        self._tell(StoreChanged())

    def catch_up(self) -> None:
        """Take in what trials said while nobody followed, for commands that only read. Without a runner that answers
        the store is read as it is."""
        if not self.is_owner:
            return
        judge_leftovers(self._store, self.stored.assumed)
        if not self._store.execute(ListUnfinished()):
            return
        with (
            contextlib.suppress(RunnerError),
            connect_local(self.places, client=self._client_name) as client,
        ):
            for trial in catch_up(self._store, self.store_id, client, self.stored.assumed):
                self._judged(trial)

    def _judged(self, trial: str) -> None:
        """A trial's figures were stored, by this owner: perhaps its experiment needs no more. On any one thread."""
        end = self._early.consider(trial)
        if end is None:
            return
        if end.trials:
            with contextlib.suppress(RunnerError):  # the tombstones stand
                self._call(Bury(trials=end.trials))
        self._tell(StoreChanged(experiments=(end.experiment,), trials=end.trials))
        self._tell(Notice("info", f"{end.name}: {end.note}"))

    # --- store ----------------------------------------------------------------------------------------

    def submit_operation(self, operation: Operation[R]) -> Future[R]:
        """`store.execute` on the store's own thread."""
        return self._executor.submit(self._store.execute, operation)

    def submit_call(self, work: Callable[[], R]) -> Future[R]:
        """Any blocking work on the same thread, so that it keeps its order with the operations."""
        return self._executor.submit(work)

    # --- runner ---------------------------------------------------------------------------------------

    def _runner(self) -> RunnerClient:
        with self._linking:
            if self._client is None:
                self._client = connect_local(self.places, client=self._client_name)
            return self._client

    def _call(
        self, request: Submit | Stop | GetQueue | SetPaused | Reorder | Bury | Probe, timeout: float = 30.0
    ) -> object:
        """One call; a broken connection is made anew once, because every request here may be repeated safely."""
        client: RunnerClient | None = None
        try:
            client = self._runner()
            return client.call(request, timeout=timeout)
        except RunnerError as error:
            if error.code != "link":
                raise
            with self._linking:
                if self._client is client:  # else another thread has made it anew already
                    self._client = None
            if client is not None:
                client.close()
            return self._runner().call(request, timeout=timeout)

    def probe(self, *, refresh: bool = False) -> ProbeResult:
        """This computer: devices, sensors, packages. Cached for a minute unless `refresh`."""
        now = time.monotonic()
        if not refresh and self._probed is not None and now - self._probed[0] < _PROBE_FOR_S:
            return self._probed[1]
        reply = self._call(Probe(), timeout=60.0)
        if not isinstance(reply, ProbeResult):
            raise RunnerError(f"The runner answered a probe with {type(reply).__name__}.", code="version")
        self._probed = (now, reply)
        self._tell(ProbeFinished(reply))
        return reply

    def queue(self) -> QueueState:
        reply = self._call(GetQueue())
        if not isinstance(reply, QueueState):
            raise RunnerError(f"The runner answered a queue request with {type(reply).__name__}.", code="version")
        return reply

    def stop(self, trial: str, *, kill: bool = False) -> None:
        self._call(Stop(trial=trial, how="kill" if kill else "keep"))

    def pause(self, paused: bool) -> None:
        self._call(SetPaused(paused=paused))

    def reorder(self, trials: tuple[str, ...]) -> None:
        self._call(Reorder(trials=trials))

    # --- experiments ----------------------------------------------------------------------------------

    def plan(
        self,
        experiment: Experiment,
        base: Path | None = None,
        *,
        wait: bool = True,
        report: Report = lambda _share, _text: None,
    ) -> Plan:
        """Look the models up, probe the machine, resolve. Relative paths of models, prompts and data start at `base`.

        Files of models that nobody has read are read, about a second a gigabyte, with `report`; without `wait` that
        goes on in the background, and the plan is not `identified` until it has ended. Never raises for what the user
        typed: problems are in the plan. Raises `RunnerError` without a runner."""
        machine = visible(self.probe(), os.environ)
        base = base or Path.cwd()
        refs = [*(r for r in experiment.models if not r.startswith(TRAINED)), *(t.model for t in experiment.trained)]
        found = {ref: resolve(ref, self.places, base) for ref in refs}
        models = self._identities.read(found, report) if wait else self._identities.glance(found)
        own = find_own(experiment, base)
        own_of_trained = {t.name: find_own(experiment.training_of(t), base) for t in experiment.trained}
        plan = make_plan(experiment, models, machine, own=own, own_of_trained=own_of_trained)
        hashes = tuple(c.hash for c in plan.configurations)
        durations = self._store.execute(Durations(configurations=hashes))
        trains = any(c.memory.by_formula for c in plan.configurations)
        memory = self._store.execute(MemoryRatios(expected_by=FORMULA)) if trains else {}
        losses = self._store.execute(Losses(configurations=hashes)) if trains else {}
        if not (durations or memory or losses):
            return plan
        return make_plan(experiment, models, machine, History(durations, memory, losses), own, own_of_trained)

    def run(self, plan: Plan) -> str:
        """Store the experiment, submit its trials. -> experiment id.

        Raises `ProblemsFound`, `StoreError`, `RunnerError`."""
        if not plan.order:
            problems = plan.problems + tuple(p for c in plan.configurations for p in c.problems)
            nothing = Problem(severity="error", place=plan.experiment.name, message="There is no trial to run.")
            raise ProblemsFound(problems or (nothing,))
        if not plan.identified:
            raise ProblemsFound(tuple(p for p in plan.problems if p.severity != "error"))
        plan = with_seed(plan)
        experiment = new_id("e")
        batch = orders(plan, store=self.store_id, experiment=experiment)
        self._store.execute(
            AddExperiment(
                experiment=experiment,
                name=plan.experiment.name,
                definition=dump(plan.experiment),
                seed=batch[0].seed,
                machine="this",
                orders=batch,
            )
        )
        self._hand_over(batch, experiment)
        self._tell(StoreChanged(experiments=(experiment,)))
        return experiment

    def _hand_over(self, batch: Sequence[TrialOrder], experiment: str = "") -> None:
        """Submit stored trials, all or none: what the runner refuses does not wait in the store for ever. Raises
        `RunnerError`.

        `experiment`: that goes with its trials."""
        try:
            self._call(submission(batch))
        except RunnerError as error:
            trials = tuple(order.trial for order in batch)
            with contextlib.suppress(StoreError):  # then they are lost once the runner says that it does not know them
                self._store.execute(DeleteTrials(trials=trials, experiment=experiment))
            if error.code == "link":  # it may have been taken before the link broke
                with contextlib.suppress(RunnerError):
                    self._call(Bury(trials=trials))
            raise

    def delete(self, trials: tuple[str, ...] = (), experiment: str = "") -> tuple[str, ...]:
        """Delete from the store and bury the spools; waiting and running trials among them are stopped."""
        deleted = self._store.execute(DeleteTrials(trials=trials, experiment=experiment))
        if deleted:
            # the tombstones stand: a runner that is down buries when an ingest is refused
            with contextlib.suppress(RunnerError):
                self._call(Bury(trials=deleted))
            self._tell(StoreChanged(experiments=(experiment,) if experiment else (), trials=deleted))
        return deleted

    def retry(self, trials: tuple[str, ...]) -> tuple[str, ...]:
        """Submit failed, stopped or lost trials again as new trials of the same configuration and block. -> new ids"""
        return self._add([self._again(self._store.execute(GetTrial(trial=trial))) for trial in trials])

    def can_resume(self, trial: str) -> bool:
        """Whether a trial left a checkpoint here. Takes a millisecond, so that a menu may ask."""
        return bool(artifacts.checkpoints(self.places.artifacts, trial))

    def resume(self, trials: tuple[str, ...]) -> tuple[str, ...]:
        """Continue training trials that were stopped, failed or lost from their last checkpoints, as new trials of the
        same configuration and block. -> new ids. Raises `ProblemsFound`."""
        batch: list[TrialOrder] = []
        for trial in trials:
            row = self._store.execute(GetTrial(trial=trial))
            checkpoint = checkpoint_of(self._store, self.places.artifacts, row)
            batch.append(msgspec.structs.replace(self._again(row), resume=checkpoint))
        return self._add(batch)

    def _again(self, row: TrialRow) -> TrialOrder:
        detail = self._store.execute(GetExperiment(experiment=row.experiment))
        of = next(c for c in detail.configurations if c.configuration == row.configuration)
        return another_order(of, block=row.block, position=row.position, seed=row.seed)

    def more_blocks(self, experiment: str, blocks: int) -> tuple[str, ...]:
        """Submit further blocks of an experiment (id, number or name), of the configurations that have completed a
        trial, in the order that a longer experiment with its seed has. -> new trial ids. Raises `ProblemsFound`."""
        detail = self._store.execute(GetExperiment(experiment=experiment))
        configurations = sorted(detail.configurations, key=lambda c: c.position)
        completed = {t.configuration for t in detail.trials if t.outcome == "completed"}
        if not completed:
            hint = "Edit it as a new experiment, or retry its failed trials."
            message = "No trial of this experiment has completed."
            raise ProblemsFound((Problem(severity="error", place=detail.experiment.name, message=message, hint=hint),))
        first = max(t.block for t in detail.trials) + 1
        position, seed = max(t.position for t in detail.trials) + 1, detail.trials[0].seed
        by_name = {c.configuration: c for c in configurations}
        in_blocks = first_in_each_block(block_order(seed, first + blocks, list(by_name)), trained_by(configurations))
        order = [(block, name) for block, name in in_blocks if block >= first and name in completed]
        return self._add(
            [
                another_order(by_name[name], block=block, position=position + place, seed=seed)
                for place, (block, name) in enumerate(order)
            ]
        )

    def _add(self, batch: list[TrialOrder]) -> tuple[str, ...]:
        """Submit further trials of stored experiments. -> their ids. Raises `ProblemsFound`."""
        for experiment in {order.experiment for order in batch if order.model.trained}:
            detail = self._store.execute(GetExperiment(experiment=experiment))
            own = linked([order for order in batch if order.experiment == experiment], detail)
            batch = [*own, *(order for order in batch if order.experiment != experiment)]
        if batch:
            self._store.execute(AddTrials(machine="this", orders=tuple(batch)))
            self._hand_over(batch)
            self._tell(StoreChanged(experiments=tuple({order.experiment for order in batch})))
        return tuple(order.trial for order in batch)
