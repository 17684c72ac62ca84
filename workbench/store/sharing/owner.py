"""The socket beside a database: its owner runs the operations of other processes of the same user.

One thread accepts, one more per guest; operations run in the guest's thread, so a long query keeps nobody else waiting.
What a guest asked is given up when it goes away: a killed command must not keep a core of the machine under test busy.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from engines.protocol.places import places, short_socket
from engines.protocol.unix_socket import hang_up, listen, same_user
from workbench.store.operations import Operation, Store, StoreError
from workbench.store.sharing import wire

Listener = Callable[[Operation[Any]], None]
"""Called after an operation of a guest, on the guest's thread."""

_HELLO_PATIENCE_S = 5.0
_CLOSING_PATIENCE_S = 5.0
_GIVE_UP_EVERY_MS = 50
"""An interruption that falls between two statements of an operation is forgotten: it is said again."""


class OwnerServer:
    """Serves `store` to guests until closed. `path` is where it listens."""

    def __init__(
        self,
        store: Store,
        database: Path,
        *,
        listener: Listener | None = None,
        interrupt: Callable[[int], None],
    ) -> None:
        """Start listening. `interrupt` gives up what a thread reads in the store. Raises OSError where no socket can be
        made."""
        self._store = store
        self._listener = listener
        self._interrupt = interrupt
        self._guests: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._closing = False
        self._gone = False
        self._socket, self.path = _listen(database)
        self._accepting = threading.Thread(target=self._accept, name="store-owner", daemon=True)
        self._accepting.start()

    def stop_listening(self) -> None:
        """Refuse new guests and further operations; answers that are being made still go out. Twice is once."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            guests = list(self._guests.values())
        hang_up(self._socket)
        self._accepting.join()
        self._socket.close()
        for link in guests:
            hang_up(link, socket.SHUT_RD)

    def close(self) -> None:
        """Stop listening, wait for the answers that are being made, end every link, remove the socket. Twice is once.

        Close the store in between where a query may run long: that interrupts it.
        """
        self.stop_listening()
        with self._lock:
            if self._gone:
                return  # what is at `path` by now is the next owner's
            self._gone = True
            guests = dict(self._guests)
        for thread in guests:
            thread.join(_CLOSING_PATIENCE_S)
        for link in guests.values():
            hang_up(link)
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        gone: set[threading.Thread] = set()
        """Threads of guests that have gone away, while they are being served."""
        while True:
            with self._lock:
                guests = {link.fileno(): thread for thread, link in self._guests.items()}
            gone &= set(guests.values())
            events = select.poll()
            events.register(self._socket, select.POLLIN)
            for descriptor, thread in guests.items():
                if thread in gone:
                    self._interrupt(thread.ident or 0)
                elif descriptor >= 0:  # else its thread is ending
                    events.register(descriptor, select.POLLRDHUP)
            for descriptor, event in events.poll(_GIVE_UP_EVERY_MS if gone else None):
                if descriptor in guests:
                    gone |= {guests[descriptor]} if event & select.POLLRDHUP else set()
                elif not self._accept_one():
                    return

    def _accept_one(self) -> bool:
        """-> whether more may come."""
        try:
            link, _ = self._socket.accept()
        except OSError:
            return False  # closed
        thread = threading.Thread(target=self._serve, args=(link,), name="store-guest", daemon=True)
        with self._lock:
            if self._closing:
                link.close()
                return False
            self._guests[thread] = link
        thread.start()
        return True

    def _serve(self, link: socket.socket) -> None:
        try:
            with link:
                if same_user(link) and _greet(link):
                    while (frame := wire.receive_frame(link)) is not None:
                        _answer(link, self._run(frame))
                hang_up(link)  # closing alone is put off while the other thread waits for its events
        except OSError:
            return  # the guest went away
        finally:
            with self._lock:
                self._guests.pop(threading.current_thread(), None)

    def _run(self, frame: bytes) -> wire.Result | wire.Refusal:
        try:
            operation = wire.operation_decoder.decode(frame)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return wire.Refusal(
                "version",
                f"The process that has this database open does not know this operation ({error}).",
                "It runs another version of LLM Workbench: close it, or use the same version.",
            )
        try:
            value = self._store.execute(operation)
        except StoreError as error:
            return wire.Refusal.of(error)
        if self._listener is not None:
            self._listener(operation)
        return wire.Result(msgspec.Raw(wire.encode(value)))


def _greet(link: socket.socket) -> bool:
    """Exchange versions. False ends the link."""
    link.settimeout(_HELLO_PATIENCE_S)
    frame = wire.receive_frame(link, wire.LARGEST_GREETING)
    link.settimeout(None)
    if frame is None:
        return False
    try:
        version = wire.hello_decoder.decode(frame).version
    except (msgspec.MsgspecError, UnicodeDecodeError):
        version = 0
    if version != wire.WIRE_VERSION:
        refusal = wire.Refusal(
            "version",
            f"This database is open in process {os.getpid()}, which runs another version of LLM Workbench.",
            "Close the older one of the two programs, then try again. The database is safe.",
        )
        wire.send_frame(link, wire.encode(refusal))
        return False
    wire.send_frame(link, wire.encode(wire.Welcome(wire.WIRE_VERSION, os.getpid())))
    return True


def _answer(link: socket.socket, answer: wire.Result | wire.Refusal) -> None:
    try:
        wire.send_frame(link, wire.encode(answer))
    except StoreError as error:
        wire.send_frame(link, wire.encode(wire.Refusal.of(error)))


def _listen(database: Path) -> tuple[socket.socket, Path]:
    """A listening socket only its user can open: beside the database, or in the runtime folder where that cannot be.

    Only the holder of the owner's lock comes here, so a socket that is already there belongs to nobody.
    """
    runtime = places().runtime
    wanted = short_socket(database.with_name(f"{database.name}.sock"), runtime)
    try:
        return _bind(wanted), wanted
    except OSError:  # no sockets on this file system, or no space
        elsewhere = short_socket(runtime / f"{database.name}.{os.getpid()}.sock", runtime)
        return _bind(elsewhere), elsewhere


def _bind(path: Path) -> socket.socket:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.parent.stat()
    if found.st_uid not in (os.getuid(), 0) or (found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX):
        raise PermissionError(f"{path.parent} can be changed by other users")
    return listen(path)
