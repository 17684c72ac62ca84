"""Opening a store from any process: as its owner if there is none, otherwise as a guest of the owner.

One process at a time may use a DuckDB file. Whoever holds the lock beside it (`lockfile`) opens it and a socket for the
others; when it goes away, the next to come (or the first guest that notices) becomes the owner.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from workbench.store.operations import Operation, Store, StoreError
from workbench.store.sharing import lockfile
from workbench.store.sharing.lockfile import OwnerLock
from workbench.store.sharing.remote import NotAnswering, RemoteStore

if TYPE_CHECKING:
    from workbench.store.local import LocalStore
    from workbench.store.sharing.owner import Listener, OwnerServer

R = TypeVar("R")

_PATIENCE_S = 5.0
_PAUSE_S = 0.05
_REOPENINGS = 3


def open_store(
    path: Path, *, patience: float = _PATIENCE_S, listener: Listener | None = None, read_only: bool = False
) -> tuple[Store, bool]:
    """The store of a database file, and whether this process owns it. Any thread; blocks for up to `patience` seconds
    where an owner does not answer.

    `listener` is called after every operation of a guest, on a thread of the owner. `read_only`: a damaged file, as
    `LocalStore` has it. Raises `StoreError`: "locked" where the owner is silent, and all that opening a file can raise.
    """
    database = path.expanduser().resolve()
    deadline = time.monotonic() + patience
    while True:
        try:
            lock = lockfile.try_lock(database)
        except OSError as error:
            raise _cannot_lock(database, error) from error
        if lock is not None:
            return _own(database, lock, listener, read_only), True
        holder = lockfile.holder(database)
        remaining = deadline - time.monotonic()
        if holder is not None and holder.socket and remaining > 0:
            try:
                return RemoteStore(Path(holder.socket), greeting_patience=remaining), False
            except NotAnswering:
                pass  # it is closing, or silent: ask again until patience ends
        if time.monotonic() >= deadline:
            who = f"Process {holder.pid}" if holder is not None else "Another process"
            raise StoreError(
                f"{who} has {database.name} open and does not answer. The file is untouched.",
                "It may be starting, migrating or stopped. Wait, end it, or choose another file with --database.",
                code="locked",
            )
        time.sleep(_PAUSE_S)


class ReopeningStore:
    """A store that outlives its owner: when the owner goes away, it opens the file again, perhaps as the new owner.

    Every operation may be executed twice with the effect of once, so the one whose answer was lost is asked again.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_owner_change: Callable[[], None] | None = None,
        listener: Listener | None = None,
        patience: float = _PATIENCE_S,
        read_only: bool = False,
    ) -> None:
        """Open as `open_store`. `on_owner_change` is called on the thread whose operation noticed, after this process
        has become the owner; it must return at once."""
        self._open = partial(open_store, path, patience=patience, listener=listener, read_only=read_only)
        self._on_owner_change = on_owner_change
        self._lock = threading.Lock()
        self._closed = False
        self._store, self._is_owner = self._open()

    @property
    def is_owner(self) -> bool:
        return self._is_owner

    def execute(self, operation: Operation[R]) -> R:
        """As the store underneath. Raises `StoreError`; "owner_gone" only if owners keep going away."""
        for _ in range(_REOPENINGS):
            store = self._store
            try:
                return store.execute(operation)
            except StoreError as error:
                if error.code != "owner_gone":
                    raise
                self._reopen(store)
        return self._store.execute(operation)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._store.close()

    def _reopen(self, gone: Store) -> None:
        with self._lock:
            if self._closed or self._store is not gone:
                return  # closed, or another thread has been here
            # the old one is closed last: where nothing can be opened now, the next operation tries again
            self._store, self._is_owner = self._open()
            became_owner = self._is_owner
            gone.close()
        if became_owner and self._on_owner_change is not None:
            self._on_owner_change()


class OwnedStore:
    """The local store together with what owning it takes: the lock and the socket."""

    def __init__(self, local: LocalStore, server: OwnerServer, lock: OwnerLock) -> None:
        self._local = local
        self._server = server
        self._lock = lock

    def execute(self, operation: Operation[R]) -> R:
        return self._local.execute(operation)

    @property
    def reading(self) -> int:
        """Operations that read at this moment, guests' among them."""
        return self._local.reading

    def close(self) -> None:
        """Interrupt what is being asked, close the file, then let the next owner in. Twice is once."""
        try:
            self._server.stop_listening()
            self._local.close()
            self._server.close()
        finally:
            self._lock.release()


def _own(database: Path, lock: OwnerLock, listener: Listener | None, read_only: bool) -> OwnedStore:
    # duckdb is loaded by the first store that is opened, not by whoever imports this module
    from workbench.store import faults
    from workbench.store.local import LocalStore
    from workbench.store.sharing.owner import OwnerServer

    local: LocalStore | None = None
    try:
        lock.announce()
        local = LocalStore(database, read_only=read_only)
        server = OwnerServer(local, database, listener=listener, interrupt=local.interrupt)
        lock.announce(str(server.path))
    except OSError as error:
        _give_up(local, lock)
        raise faults.from_system(error, database) from error
    except BaseException:
        _give_up(local, lock)
        raise
    return OwnedStore(local, server, lock)


def _give_up(local: LocalStore | None, lock: OwnerLock) -> None:
    if local is not None:
        local.close()
    lock.release()


def _cannot_lock(database: Path, error: OSError) -> StoreError:
    from workbench.store import faults

    return faults.from_system(error, database)
