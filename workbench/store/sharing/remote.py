"""The store of a guest: every operation goes to the process that owns the database. Safe from any thread.

Operations of several threads run side by side, each on a link of its own; idle links are kept for the next one.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from engines.protocol.unix_socket import closed_on_failure, connect
from workbench.store.operations import Operation, StoreError, not_utf8
from workbench.store.sharing import wire

R = TypeVar("R")

_ANSWER_PATIENCE_S = 300.0
_GREETING_PATIENCE_S = 5.0
_IDLE_LINKS = 4


class NotAnswering(Exception):
    """Nobody listens at the socket, or whoever does is silent."""


class RemoteStore:
    """A store that somebody else owns. Raises `StoreError` code "owner_gone" once the owner has left."""

    def __init__(
        self,
        path: Path,
        *,
        greeting_patience: float = _GREETING_PATIENCE_S,
        answer_patience: float = _ANSWER_PATIENCE_S,
    ) -> None:
        """Connect to the owner's socket `path`. Raises `NotAnswering`, or `StoreError` code "version"."""
        self._path = path
        self._greeting_patience = greeting_patience
        self._answer_patience = answer_patience
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()
        self._closed = False
        self.owner_pid = 0
        self._idle.append(self._connect())

    def execute(self, operation: Operation[R]) -> R:
        """Run one operation in the owner. Raises `StoreError`."""
        try:
            question = wire.encode(operation)
        except UnicodeEncodeError as error:
            raise not_utf8(error) from error
        try:
            with closed_on_failure(self._take_link()) as link:
                wire.send_frame(link, question)
                frame = wire.receive_frame(link)
                if frame is None:
                    raise ConnectionResetError
        except TimeoutError as error:
            raise StoreError(
                f"Process {self.owner_pid}, which has the database open, "
                f"has not answered for {self._answer_patience:.0f} s.",
                "It may be busy or stopped. Try again, or end it.",
                code="timeout",
            ) from error
        except OSError as error:
            raise self._gone() from error
        self._give_back(link)
        answer = wire.answer_decoder.decode(frame)
        if isinstance(answer, wire.Refusal):
            raise answer.error() if answer.code != "closed" else self._gone()
        try:
            return cast("R", wire.result_decoder(type(operation)).decode(answer.value))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StoreError(
                f"Process {self.owner_pid}, which has the database open, "
                f"gave an answer this version cannot read ({error}).",
                "It runs another version of LLM Workbench: close it, or use the same version.",
                code="version",
            ) from error

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()

    def _take_link(self) -> socket.socket:
        with self._lock:
            if self._closed:
                raise StoreError("This store has been closed.", "Open it again.", code="closed")
            if self._idle:
                return self._idle.pop()
        try:
            return self._connect()
        except NotAnswering as error:
            raise self._gone() from error

    def _give_back(self, link: socket.socket) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE_LINKS:
                self._idle.append(link)
                return
        link.close()

    def _connect(self) -> socket.socket:
        try:
            with closed_on_failure(connect(self._path, self._greeting_patience)) as link:
                wire.send_frame(link, wire.encode(wire.Hello(wire.WIRE_VERSION)))
                frame = wire.receive_frame(link, wire.LARGEST_GREETING)
                if frame is None:
                    raise NotAnswering(f"{self._path} closed the link")
                greeting = wire.greeting_decoder.decode(frame)
                if isinstance(greeting, wire.Refusal):
                    raise greeting.error()
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotAnswering(str(error)) from error
        link.settimeout(self._answer_patience)
        self.owner_pid = greeting.pid
        return link

    def _gone(self) -> StoreError:
        return StoreError(
            f"Process {self.owner_pid}, which had the database open, has ended.",
            "Nothing that was stored is lost. Open the database again.",
            code="owner_gone",
        )
