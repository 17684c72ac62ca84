"""The application as one object: store, runner and follower together. The window and the commands are thin over it.

Owns its threads (a follower that attaches to the runner and ingests; one executor for the store). All methods may be
called from any thread and block for as long as a store operation or a runner call takes, unless said otherwise.
Listeners are called on the follower's thread, in order; they must return at once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from engines.protocol.messages import ProbeResult, QueueState
from engines.protocol.places import Places
from workbench.events import Event
from workbench.experiment import Experiment
from workbench.plan import Plan
from workbench.store.operations import Operation, Store

R = TypeVar("R")
Listener = Callable[[Event], None]


class Workbench:
    """One database and one runner.

    Opening: becomes the store's owner if nobody is (opens the file, migrates, opens the socket beside it), or a guest
    of the owner that answers. Only the owner ingests. Raises `StoreError` with a message for people.
    """

    def __init__(self, database: Path | None = None, *, places: Places | None = None) -> None:
        raise NotImplementedError

    store: Store
    database: Path
    is_owner: bool

    def close(self) -> None:
        """Stop following, close the store. Trials and queue go on in the runner."""
        raise NotImplementedError

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on. Returns the function that ends it."""
        raise NotImplementedError

    def follow(self) -> None:
        """Start the runner if needed, catch up with every spool of this store, then follow it live, for ever
        reconnecting. Returns at once; what happens comes as events."""
        raise NotImplementedError

    def submit_operation(self, operation: Operation[R]) -> Future[R]:
        """`store.execute` on the store's own thread."""
        raise NotImplementedError

    def probe(self, *, refresh: bool = False) -> ProbeResult:
        """This computer: devices, sensors, packages. Cached for a minute unless `refresh`."""
        raise NotImplementedError

    def plan(self, experiment: Experiment) -> Plan:
        """Look the models up, probe the machine, resolve. Never raises for what the user typed: problems are in it."""
        raise NotImplementedError

    def run(self, plan: Plan) -> str:
        """Store the experiment, submit its trials. -> experiment id. Raises `ProblemsFound` or `StoreError`."""
        raise NotImplementedError

    def queue(self) -> QueueState:
        raise NotImplementedError

    def stop(self, trial: str, *, kill: bool = False) -> None:
        raise NotImplementedError

    def pause(self, paused: bool) -> None:
        raise NotImplementedError

    def reorder(self, trials: tuple[str, ...]) -> None:
        raise NotImplementedError

    def delete(self, trials: tuple[str, ...] = (), experiment: str = "") -> tuple[str, ...]:
        """Delete from the store and bury the spools."""
        raise NotImplementedError

    def retry(self, trials: tuple[str, ...]) -> tuple[str, ...]:
        """Submit failed, stopped or lost trials again as new trials of the same configuration and block. -> new ids"""
        raise NotImplementedError
