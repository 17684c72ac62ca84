"""The application as one object: store, runner and follower together. The window and the commands are thin over it.

Owns its threads (a follower for each machine, which attaches to its runner and ingests; one executor for the store).
All methods may be called from any thread and block for as long as a store operation or a runner call takes, unless said
otherwise.
Listeners are called on the follower's threads, in order; they must return at once.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from engines.models import artifacts
from engines.models.identity import Digests
from engines.models.lookup.local_model import LocalModel
from engines.protocol.client import RunnerError
from engines.protocol.client_environment import submission
from engines.protocol.messages import (
    Bury,
    ProbeResult,
    QueueState,
    Reorder,
    SetPaused,
    Stop,
    Submit,
)
from engines.protocol.orders import TrialOrder
from engines.protocol.places import Places, places
from engines.protocol.problems import Problem, ProblemsFound
from workbench.experiment.experiment import Experiment
from workbench.experiment.file import dump
from workbench.machines.copying import Parcel
from workbench.machines.links import Connector, known, lasting_connector
from workbench.machines.machine import THIS
from workbench.models.fetching import Report
from workbench.models.identity import Identities
from workbench.plan.history import History
from workbench.plan.memory import FORMULA
from workbench.plan.plan import (
    Plan,
    Site,
    another_order,
    block_order,
    hosts,
    new_id,
    orders,
    plan_sites,
    with_seed,
)
from workbench.plan.trained_first import first_in_each_block
from workbench.running.burials import Burials
from workbench.running.chains import linked, trained_by
from workbench.running.copies import Copies
from workbench.running.early_end import EarlyEnds
from workbench.running.events import Event, Notice, StoreChanged
from workbench.running.follower import Follower
from workbench.running.intake import catch_up, judge_leftovers
from workbench.running.machine_link import MachineLink
from workbench.running.resuming import checkpoint_of
from workbench.running.sites import Sites
from workbench.running.stored import StoredWork
from workbench.store.artifacts import artifacts_of
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
_GLANCE_S = 5.0
"""What a command that only reads waits for a machine elsewhere."""


def _silent(_share: float | None, _text: str) -> None:
    pass


class Workbench:
    """One database, and the machines its trials run on.

    Opening: becomes the store's owner if nobody is (opens the file, migrates, opens the socket beside it), or a guest
    of the owner that answers. Only the owner ingests; a guest becomes the owner when the owner goes away.
    `read_only`: a damaged file, to be looked at; nothing is ingested, runners keep what their trials say.
    Raises `StoreError` with a message for people.
    """

    def __init__(
        self,
        database: Path | None = None,
        *,
        places_: Places | None = None,
        client: str = "workbench",
        read_only: bool = False,
    ) -> None:
        self.places = places_ or places()
        self.database = (database or self.places.database).expanduser().absolute()
        self.read_only = read_only
        self._client_name = client
        self._listeners: list[Listener] = []
        self._lock = threading.RLock()
        self._links: dict[str, MachineLink] = {}
        """By machine's id, those that were asked for."""
        self._following = False
        self._taking_over: threading.Thread | None = None
        self._closed = False
        # guests are heard, and the owner may go, from here on
        self._store = ReopeningStore(
            self.database, on_owner_change=self._owner_changed, listener=self._guest_did, read_only=read_only
        )
        self.store: Store = self._store
        try:
            self.store_id: str = self._store.execute(GetStoreId())
        except BaseException:
            self._store.close()
            raise
        self.stored = StoredWork(self._store, self.places, self._tell)
        """Work on trials that are stored, and the settings their figures rest on."""
        self._early = EarlyEnds(self._store)
        self._burials = Burials(self.places.state / "burials")
        self._burying: dict[str, threading.Thread] = {}
        self._identities = Identities(Digests(self.places.digests))
        self.copies = Copies(self.places)
        """What is on its way to other machines."""
        self._sites = Sites(self.places, self._identities, self.copies)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    @property
    def is_owner(self) -> bool:
        return self._store.is_owner

    @property
    def _ingests(self) -> bool:
        return self.is_owner and not self.read_only

    def close(self) -> None:
        """Stop following, close the store. Trials and queue continue in the runner."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            links, taking_over = tuple(self._links.values()), self._taking_over
        if taking_over is not None:
            taking_over.join()  # it may be stopping a follower that this method finds gone
        for link in links:
            link.close()
        self._identities.close()
        self._executor.shutdown(wait=True, cancel_futures=True)
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
        """Start the runner here if needed, catch up with every spool of this store on the machines where it has trials,
        then follow them live, for ever reconnecting. Returns at once; what happens comes as events."""
        with self._lock:
            self._following = True
        self._follow_all()

    def _follow_all(self) -> None:
        """Follow this computer, and every machine with trials that have not ended or that it has still to drop."""
        with self._lock:
            if self._closed or not self._following:
                return
        self.link(THIS).follow()
        try:
            unfinished = self._store.execute(ListUnfinished())
        except StoreError as error:  # the file is damaged there
            self._tell(Notice("error", str(error), error.advice, error.code))
            return
        for machine in {*self._burials.machines(), *(row.machine for row in unfinished)}:
            with contextlib.suppress(RunnerError):  # a machine that was removed: its trials wait for it
                self.link(machine).follow()

    def _follower_of(self, machine: str, connect: Connector) -> Follower:
        return Follower(
            self._store,
            self.store_id,
            connect,
            self._tell,
            ingest=self._ingests,
            machine=machine,
            assumed=self.stored.assumed,
            judged=self._judged,
            linked=lambda client: self._burials.pay(machine, client.call),
            give_up=connect.give_up,
        )

    def _owner_changed(self) -> None:
        """The store's owner went away and this process became it: take over the ingesting."""
        with self._lock:
            if not self._closed:
                self._taking_over = threading.Thread(target=self._restart_followers, name="take-over", daemon=True)
                self._taking_over.start()

    def _guest_did(self, operation: Operation[object]) -> None:
        """Another process changed something through this owner: views refresh as if this one had."""
        if isinstance(operation, (AddExperiment, AddTrials)):
            self._follow_elsewhere(operation.orders)
        if isinstance(operation, AddExperiment):
            self._tell(StoreChanged(experiments=(operation.experiment,)))
        elif isinstance(operation, DeleteTrials):
            self._tell(StoreChanged(experiments=(operation.experiment,), trials=operation.trials))
        elif isinstance(operation, (SetMetrics, AddSamples)):
            self._tell(StoreChanged(trials=(operation.trial,)))
        elif isinstance(operation, (AddTrials, ImportBundle, Rename, SetBaseline)):
            self._tell(StoreChanged())

    def _restart_followers(self) -> None:
        for link in tuple(self._links.values()):
            link.unfollow()
        self._follow_all()
        self._tell(StoreChanged())

    def _follow_elsewhere(self, batch: Sequence[TrialOrder]) -> None:
        """Another process sends trials to machines that nobody needed so far."""
        if any(order.machine != THIS for order in batch):
            self._executor.submit(self._follow_all)

    def catch_up(self) -> None:
        """Take in what trials said while nobody followed, for commands that only read. Without a runner that answers
        the store is read as it is."""
        if not self._ingests:
            return
        judge_leftovers(self._store, self.stored.assumed)
        unfinished = self._store.execute(ListUnfinished())
        for machine in {row.machine for row in unfinished}:
            with contextlib.suppress(RunnerError), self.link(machine).connect.within(_GLANCE_S) as client:
                self._burials.pay(machine, client.call)
                for trial in catch_up(self._store, self.store_id, client, machine, self.stored.assumed):
                    self._judged(trial)

    def _judged(self, trial: str) -> None:
        """A trial's figures were stored, by this owner: perhaps its experiment needs no more. On any one thread."""
        end = self._early.consider(trial)
        if end is None:
            return
        if end.trials:
            self._bury(end.trials, end.machines)
        self._tell(StoreChanged(experiments=(end.experiment,), trials=end.trials))
        self._tell(Notice("info", f"{end.name}: {end.note}"))

    # --- store ----------------------------------------------------------------------------------------

    def submit_operation(self, operation: Operation[R]) -> Future[R]:
        """`store.execute` on the store's own thread."""
        return self._executor.submit(self._store.execute, operation)

    # --- runner ---------------------------------------------------------------------------------------

    def link(self, machine: str = THIS) -> MachineLink:
        """The link to a machine, by id. Raises `RunnerError` where there is no such machine."""
        with self._lock:
            found = self._links.get(machine)
            if found is None:
                one = known(self.places, machine)
                connect = lasting_connector(one, self.places, self._client_name)
                found = MachineLink(one, connect, self._tell, lambda: self._follower_of(machine, connect))
                self._links[machine] = found
            return found

    def title_of(self, machine: str) -> str:
        """What people call it; the id of one that was removed."""
        with self._lock:
            link = self._links.get(machine)
        if link is not None:
            return link.machine.title
        try:
            return known(self.places, machine).title
        except RunnerError:
            return machine

    def forget(self, machine: str) -> None:
        """End the link to a machine that was removed, or is reached another way from now on."""
        with self._lock:
            link = self._links.pop(machine, None)
        if link is not None:
            link.close()

    def probe(self, machine: str = THIS, *, refresh: bool = False) -> ProbeResult:
        """What a machine has: devices, sensors, packages. Cached for a minute unless `refresh`."""
        return self.link(machine).probe(refresh=refresh)

    def queue(self, machine: str = THIS) -> QueueState:
        return self.link(machine).queue()

    def stop(self, trial: str, *, kill: bool = False, machine: str = "") -> None:
        """`machine`: where it runs, if that is known; otherwise the store says."""
        where = machine or next(iter(self._by_machine((trial,))))
        self.link(where).call(Stop(trial=trial, how="kill" if kill else "keep"))

    def pause(self, paused: bool, machine: str = THIS) -> None:
        self.link(machine).call(SetPaused(paused=paused))

    def reorder(self, trials: tuple[str, ...], machine: str = THIS) -> None:
        """Of one machine's queue."""
        self.link(machine).call(Reorder(trials=trials))

    def _bury(self, trials: tuple[str, ...], machines: Iterable[str]) -> None:
        """Have the runners of these machines drop the trials' spools: here at once, elsewhere as soon as they answer,
        which nobody waits for."""
        for machine in machines:
            if machine == THIS:
                with contextlib.suppress(RunnerError):
                    self.link(THIS).call(Bury(trials=trials))
                continue
            self._burials.owe(machine, trials)
            thread = threading.Thread(target=self._pay_burials, args=(machine,), name="bury", daemon=True)
            self._burying[machine] = thread
            thread.start()

    def _pay_burials(self, machine: str) -> None:
        with contextlib.suppress(RunnerError):  # then when it is linked again
            self._burials.pay(machine, self.link(machine).call)

    def unburied(self, patience_s: float = 0.0) -> tuple[str, ...]:
        """Titles of machines that have not heard yet of trials that were deleted, after at most so many seconds: they
        hear of it when they are linked again."""
        deadline = time.monotonic() + patience_s
        for thread in tuple(self._burying.values()):
            thread.join(max(0.0, deadline - time.monotonic()))
        owed = self._burials.machines()
        return tuple(self.title_of(machine) for machine in self._burying if machine in owed)

    def _by_machine(self, trials: Sequence[str]) -> dict[str, list[str]]:
        """Where stored trials are; one that the store does not know may be another store's, on this computer."""
        found: dict[str, list[str]] = {}
        for trial in trials:
            try:
                machine = self._store.execute(GetTrial(trial=trial)).machine
            except StoreError as error:
                if error.code != "not_found":
                    raise
                machine = THIS
            found.setdefault(machine, []).append(trial)
        return found

    # --- experiments ----------------------------------------------------------------------------------

    def plan(
        self,
        experiment: Experiment,
        base: Path | None = None,
        *,
        wait: bool = True,
        report: Report = _silent,
    ) -> Plan:
        """Look the models up, probe the machine, resolve. Relative paths of models, prompts and data start at `base`.

        Files of models that nobody has read are read, about a second a gigabyte, with `report`; without `wait` that
        goes on in the background, and the plan is not `identified` until it has ended. Never raises for what the user
        typed: problems are in the plan. Raises `RunnerError` without a runner."""
        sites: list[Site] = []
        unreached: dict[str, Problem] = {}
        for machine in hosts(experiment) or (THIS,):
            try:
                link = self.link(machine)
                if not (wait or machine == THIS):
                    link.glance()
                sites.append(self._sites.look(link, experiment, base or Path.cwd(), wait=wait, report=report))
            except RunnerError as error:
                if machine == THIS:
                    raise
                if error.code != "unknown_machine":
                    unreached[machine] = Problem(
                        severity="error", place="run.machines", message=f"{machine}: {error}", hint=error.advice
                    )
        plan = plan_sites(experiment, sites, unreached)
        known = [self._known(site, plan) for site in sites]
        return plan if known == sites else plan_sites(experiment, known, unreached)

    def models_on(self, machine: str) -> tuple[LocalModel, ...]:
        """The models that are on another machine; each `ref` can be written in an experiment for it. Raises
        `RunnerError`."""
        return self._sites.models_on(self.link(machine))

    def copy_model(self, ref: str, machine: str, base: Path | None = None, *, report: Report = _silent) -> str:
        """Copy a model of this computer to another machine, where plans then find it by its contents. -> its path
        there. Continues where an earlier copy ended; what `report` raises interrupts it.

        Raises `ProblemsFound` where it cannot be copied, `CopyError`, `RunnerError`."""
        there = ""
        for parcel in self._sites.parcels_of_model(self.link(machine), ref, base or Path.cwd(), report):
            there = self._copy(ref, machine, parcel, report)
        return there

    def copy_data(self, path: str, machine: str, base: Path | None = None, *, report: Report = _silent) -> str:
        """The same of a file of prompts, or a file or folder of training data."""
        return self._copy(path, machine, self._sites.parcel_of_data(path, base or Path.cwd()), report)

    def _copy(self, named: str, machine: str, parcel: Parcel, report: Report) -> str:
        there = self.copies.copy(known(self.places, machine), named, parcel, report)
        self._sites.forget()
        return there

    def _known(self, site: Site, plan: Plan) -> Site:
        """The same with what trials of the plan's configurations have shown there."""
        mine = [c for c in plan.configurations if c.machine == site.machine]
        hashes = tuple(c.hash for c in mine)
        trains = any(c.memory.by_formula for c in mine)
        history = History(
            durations=self._store.execute(Durations(configurations=hashes)),
            memory=self._store.execute(MemoryRatios(expected_by=FORMULA, machine=site.machine)) if trains else {},
            losses=self._store.execute(Losses(configurations=hashes)) if trains else {},
        )
        return replace(site, history=history)

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
                orders=batch,
            )
        )
        self._hand_over(batch, experiment)
        self._tell(StoreChanged(experiments=(experiment,)))
        return experiment

    def _hand_over(self, batch: Sequence[TrialOrder], experiment: str = "") -> None:
        """Submit stored trials to their machines, all or none: what a runner refuses does not wait in the store for
        ever. Raises `RunnerError`.

        `experiment`: that goes with its trials."""
        machines = list(dict.fromkeys(order.machine for order in batch))
        try:
            for machine in machines:
                mine = [order for order in batch if order.machine == machine]
                # variables and processors of this computer mean nothing on another, and its secrets stay here
                self.link(machine).call(submission(mine) if machine == THIS else Submit(orders=tuple(mine)))
        except RunnerError:
            trials = tuple(order.trial for order in batch)
            with contextlib.suppress(StoreError):  # then they are lost once the runner says that it does not know them
                self._store.execute(DeleteTrials(trials=trials, experiment=experiment))
            self._bury(trials, machines)  # some may have been taken before the link broke
            raise
        if self._following:
            for machine in machines:
                self.link(machine).follow()

    def delete(self, trials: tuple[str, ...] = (), experiment: str = "") -> tuple[str, ...]:
        """Delete from the store and bury the spools; waiting and running trials among them are stopped."""
        rows = self._store.execute(GetExperiment(experiment=experiment)).trials if experiment else ()
        machines = {*(row.machine for row in rows), *self._by_machine(trials)}
        deleted = self._store.execute(DeleteTrials(trials=trials, experiment=experiment))
        if deleted:
            self._bury(deleted, machines)
            self._tell(StoreChanged(experiments=(experiment,) if experiment else (), trials=deleted))
        return deleted

    def retry(self, trials: tuple[str, ...]) -> tuple[str, ...]:
        """Submit failed, stopped or lost trials again as new trials of the same configuration and block. -> new ids"""
        return self._add([self._again(self._store.execute(GetTrial(trial=trial))) for trial in trials])

    def can_resume(self, trial: str) -> bool:
        """Whether a trial left a checkpoint where it ran; on another machine by what it has said. Takes milliseconds,
        so that a menu may ask."""
        if artifacts.checkpoints(self.places.artifacts, trial):
            return True
        try:
            row = self._store.execute(GetTrial(trial=trial))
        except StoreError:
            return False
        left = artifacts_of(self._store, row.experiment).get(trial, ()) if row.machine != THIS else ()
        return any(one.artifact == "checkpoint" for one in left)

    def resume(self, trials: tuple[str, ...]) -> tuple[str, ...]:
        """Continue training trials that were stopped, failed or lost from their last checkpoints, as new trials of the
        same configuration and block, on the machines where they ran. -> new ids. Raises `ProblemsFound`, and
        `RunnerError` where one cannot be asked."""
        batch: list[TrialOrder] = []
        for trial in trials:
            row = self._store.execute(GetTrial(trial=trial))
            link = self.link(row.machine)
            where = "this computer" if row.machine == THIS else link.machine.title
            checkpoint = checkpoint_of(self._store, row, partial(self._sites.resumable, link), where)
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
            self._store.execute(AddTrials(orders=tuple(batch)))
            self._hand_over(batch)
            self._tell(StoreChanged(experiments=tuple({order.experiment for order in batch})))
        return tuple(order.trial for order in batch)
