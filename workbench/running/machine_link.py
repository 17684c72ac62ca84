"""One machine as the application uses it: calls to its runner, what it has, and the follower of its trials.

All machines look alike here; what differs is how a connection is made (`workbench.machines.links`). Any thread.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.messages import GetQueue, Probe, ProbeResult, QueueState, Reply, Request
from workbench.machines.links import Connector
from workbench.machines.machine import Machine
from workbench.running.events import Event, ProbeFinished
from workbench.running.follower import Follower

_PROBE_FOR_S = 60.0
_LOOK_S = 0.2


class MachineLink:
    """See the module. `close` ends its connection and its follower; trials and queue continue there."""

    def __init__(
        self, machine: Machine, connect: Connector, tell: Callable[[Event], None], make_follower: Callable[[], Follower]
    ) -> None:
        self.machine = machine
        self.connect = connect
        self._tell = tell
        self._make_follower = make_follower
        self._linking = threading.Lock()
        """Held while a connection is made, which can take seconds, in which nobody else needs to wait."""
        self._client: RunnerClient | None = None
        self._probed: tuple[float, ProbeResult] | None = None
        self._lock = threading.RLock()
        self._follower: Follower | None = None
        self._unreached: RunnerError | None = None
        """Why the last attempt to connect failed."""
        self._trying: threading.Thread | None = None
        self._closed = False

    # --- calls ----------------------------------------------------------------------------------------

    def call(self, request: Request, timeout: float = 30.0) -> Reply:
        """One call; a broken connection is made anew once, so only for what may be repeated safely."""
        client: RunnerClient | None = None
        try:
            client = self._runner()
            return client.call(request, timeout=timeout)
        except RunnerError as error:
            if error.code != "link":
                raise
            self._drop(client)
            return self._runner().call(request, timeout=timeout)

    def stream(self, request: Request) -> Iterator[Reply]:
        """As `RunnerClient.stream`; a connection that broke earlier is made anew once. Raises `RunnerError`."""
        client = self._runner()
        replies = client.stream(request)
        try:
            first = next(replies, None)
        except RunnerError as error:
            if error.code != "link" or self._closed:
                raise
            self._drop(client)
            replies = self._runner().stream(request)
            first = next(replies, None)
        with contextlib.closing(replies):  # type: ignore[type-var]
            if first is not None:
                yield first
                yield from replies

    def glance(self) -> None:
        """Raise at once what the last attempt to connect raised, and try again in the background: for who asks often
        and waits for nobody. When it is reached, a probe says so. Raises `RunnerError`."""
        with self._lock:
            unreached = self._unreached
            if unreached is None or (self._follower is not None and self._follower.is_linked):
                return
            if self._trying is None or not self._trying.is_alive():
                self._trying = threading.Thread(target=self._try, name="try-link", daemon=True)
                self._trying.start()
        raise unreached

    def _try(self) -> None:
        with contextlib.suppress(RunnerError):  # whoever asks next is told
            self.probe(refresh=True)

    def _drop(self, client: RunnerClient | None) -> None:
        """Of a connection that has broken."""
        with self._linking:
            if self._client is client:  # else another thread has made it anew already
                self._client = None
        if client is not None:
            client.close()

    def _runner(self) -> RunnerClient:
        with self._linking:
            if self._closed:
                raise RunnerError(f"The link to {self.machine.title} is closed.", code="closed")
            if self._client is None:
                try:
                    self._client = self.connect()
                except RunnerError as error:
                    self._unreached = error
                    raise
                self._unreached = None
            return self._client

    def probe(self, *, refresh: bool = False) -> ProbeResult:
        """Its devices, sensors, packages. Cached for a minute unless `refresh`."""
        now = time.monotonic()
        if not refresh and self._probed is not None and now - self._probed[0] < _PROBE_FOR_S:
            return self._probed[1]
        reply = self.call(Probe(), timeout=60.0)
        if not isinstance(reply, ProbeResult):
            raise RunnerError(f"The runner answered a probe with {type(reply).__name__}.", code="version")
        found = reply.plausible()
        self._probed = (now, found)
        self._tell(ProbeFinished(found, self.machine.id))
        return found

    def queue(self) -> QueueState:
        reply = self.call(GetQueue())
        if not isinstance(reply, QueueState):
            raise RunnerError(f"The runner answered a queue request with {type(reply).__name__}.", code="version")
        client = self._client
        clock = None if client is None else client.clock
        return reply.of_machine(self.machine.id, 0.0 if clock is None else clock.ahead_s)

    # --- following ------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Catch up with every spool of this store there, then follow, for ever reconnecting. Returns at once."""
        with self._lock:
            if self._follower is None and not self._closed:
                self._follower = self._make_follower()
                self._follower.start()

    def retry(self) -> None:
        """Try a lost link again now; follow where nobody did."""
        self.follow()
        with self._lock:
            if self._follower is not None:
                self._follower.hurry()

    def unfollow(self) -> None:
        """What has arrived is stored first."""
        with self._lock:
            follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()

    def close(self) -> None:
        self._closed = True
        self.unfollow()
        while not self._linking.acquire(timeout=_LOOK_S):
            self.connect.give_up()
        client, self._client = self._client, None
        self._linking.release()
        if client is not None:
            client.close()
