"""Frames between a database's owner and its guests: a length of 4 bytes, then one msgpack message.

A guest opens with `Hello`, the owner answers `Welcome` or `Refusal`; then every operation gets one `Result` or
`Refusal`. Used at both ends, on any thread.
"""

from __future__ import annotations

import functools
import operator
import socket
import struct
from typing import Any

import msgspec

from workbench.store import operations
from workbench.store.operations import Operation, StoreError

WIRE_VERSION = 1
"""Rises when an operation or a result changes so that the other end would misread it."""

_LENGTH = struct.Struct(">I")
_LARGEST = 2**31
LARGEST_GREETING = 1 << 14
"""Bytes of a first frame: nobody has said yet that they speak this language."""
_PIECE = 1 << 20


class Hello(msgspec.Struct, frozen=True, tag_field="say", tag="hello"):
    version: int


class Welcome(msgspec.Struct, frozen=True, tag_field="say", tag="welcome"):
    version: int
    pid: int


class Result(msgspec.Struct, frozen=True, tag_field="say", tag="result"):
    value: msgspec.Raw


class Refusal(msgspec.Struct, frozen=True, tag_field="say", tag="refusal"):
    """A `StoreError` on its way to the guest."""

    code: str
    message: str
    advice: str

    def error(self) -> StoreError:
        return StoreError(self.message, self.advice, code=self.code)

    @classmethod
    def of(cls, error: StoreError) -> Refusal:
        return cls(error.code, str(error), error.advice)


OPERATIONS: tuple[type[Operation[Any]], ...] = tuple(
    kind
    for kind in vars(operations).values()
    if isinstance(kind, type) and issubclass(kind, Operation) and kind is not Operation
)

hello_decoder: msgspec.msgpack.Decoder[Hello] = msgspec.msgpack.Decoder(Hello)
greeting_decoder: msgspec.msgpack.Decoder[Welcome | Refusal] = msgspec.msgpack.Decoder(Welcome | Refusal)
answer_decoder: msgspec.msgpack.Decoder[Result | Refusal] = msgspec.msgpack.Decoder(Result | Refusal)
operation_decoder: msgspec.msgpack.Decoder[Operation[Any]] = msgspec.msgpack.Decoder(
    functools.reduce(operator.or_, OPERATIONS)
)


@functools.cache
def result_decoder(kind: type[Operation[Any]]) -> msgspec.msgpack.Decoder[Any]:
    """Decoder of what `Store.execute` returns for an operation of this kind, read off its base `Operation[R]`."""
    base = kind.__orig_bases__[0]  # type: ignore[attr-defined]
    return msgspec.msgpack.Decoder(base.__args__[0])


def encode(message: object) -> bytes:
    return msgspec.msgpack.encode(message)


def send_frame(link: socket.socket, payload: bytes) -> None:
    """Raises OSError when the other end is gone, `StoreError` for an answer too large to send."""
    if len(payload) >= _LARGEST:
        raise StoreError("The answer is too large to be sent to another process.", "Ask for less at a time.")
    link.sendall(_LENGTH.pack(len(payload)) + payload)


def receive_frame(link: socket.socket, largest: int = _LARGEST) -> bytes | None:
    """One message of less than `largest` bytes; None when the other end has closed (also in the middle of one) or
    announces more. Raises OSError."""
    head = _receive(link, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    return None if length >= largest else _receive(link, length)


def _receive(link: socket.socket, length: int) -> bytes | None:
    """Takes memory for what has come, not for what was announced: four bytes of nonsense may announce a gigabyte."""
    parts = bytearray()
    while len(parts) < length:
        part = link.recv(min(length - len(parts), _PIECE))
        if not part:
            return None
        parts += part
    return bytes(parts)
