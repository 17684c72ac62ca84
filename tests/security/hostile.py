"""A runner that says what a test wants, whatever our own would say."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable

from engines.protocol import MAGIC, PROTOCOL_VERSION
from engines.protocol.client import RunnerClient
from engines.protocol.codec import decode_call, encode_answer
from engines.protocol.messages import Answer, Call, Done, Hello, Reply, Welcome

Say = Callable[[Call], Iterable[Reply | bytes]]
"""What it answers a call with, in order; bytes go out as they are."""


class HostileRunner:
    """`connect` gives a new connection to it, as `RunnerClient` sees any runner."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self.sent_bytes = 0
        self.calls: list[Call] = []
        self._links: list[socket.socket] = []

    def connect(self) -> RunnerClient:
        ours, theirs = socket.socketpair()
        self._links += [ours, theirs]
        threading.Thread(target=self._serve, args=(ours,), daemon=True).start()
        return RunnerClient(
            theirs.makefile("rb"), theirs.makefile("wb"), hang_up=lambda: theirs.shutdown(socket.SHUT_RDWR)
        )

    def close(self) -> None:
        for link in self._links:
            link.close()

    def _serve(self, link: socket.socket) -> None:
        writing = threading.Lock()

        def send(data: bytes) -> None:
            with writing:
                link.sendall(data)
                self.sent_bytes += len(data)

        def answer(call: Call) -> None:
            with contextlib.suppress(OSError):
                for reply in self._answers(call):
                    send(reply if isinstance(reply, bytes) else encode_answer(Answer(call.id, reply)) + b"\n")

        with contextlib.suppress(OSError, ValueError):
            send(f"{MAGIC} {PROTOCOL_VERSION}\n".encode())
            for line in link.makefile("rb"):
                call = decode_call(line)
                self.calls.append(call)
                threading.Thread(target=answer, args=(call,), daemon=True).start()

    def _answers(self, call: Call) -> Iterable[Reply | bytes]:
        if isinstance(call.body, Hello):
            return (
                Welcome(version=PROTOCOL_VERSION, pid=1, boot="b", machine="far", clock_wall_ns=0, clock_mono_ns=0),
            )
        return self._say(call)


def done(_call: Call) -> Iterable[Reply]:
    return (Done(),)
