"""One link to a machine's runner that is made again whenever it is lost. Owned by `workbench.running.follower`.

Thread "follow": connects, hands the connection to whoever uses it, and says how the link is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.clock_offset import ClockOffset
from workbench.machines.machine import THIS
from workbench.running.events import Event, RunnerLink

_RETRY_S = (1.0, 2.0, 4.0, 8.0)
_PATIENT_S = 60.0
_FOR_THE_USER = frozenset(
    {"config", "host_key", "login", "name", "no_ssh", "not_a_runner", "setup", "start", "unknown_machine", "version"}
)
"""Failures that do not go away by themselves: a server that refuses a login may shut out who asks too often."""
_LOOK_S = 0.2


class KeptLink:
    """`start` once, `stop` once. `use` has the connection until it returns or raises `RunnerError`."""

    def __init__(
        self,
        connect: Callable[[], RunnerClient],
        use: Callable[[RunnerClient], None],
        tell: Callable[[Event], None],
        machine: str = THIS,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        """`give_up` makes a `connect` that is under way fail soon."""
        self._connect = connect
        self._use = use
        self._tell = tell
        self._machine = machine
        self._give_up = give_up
        self._lock = threading.Lock()
        self._client: RunnerClient | None = None
        self._awake = threading.Event()
        self.stopping = threading.Event()
        self.clock: ClockOffset | None = None
        """As it was when the link was last made."""
        self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)

    @property
    def client(self) -> RunnerClient | None:
        """None while the link is down."""
        with self._lock:
            return self._client

    def start(self) -> None:
        self._thread.start()

    def hurry(self) -> None:
        """Try again now, where the link is lost: the user has changed something."""
        self._awake.set()

    def stop(self) -> None:
        """End the link and its thread."""
        self.stopping.set()
        self._awake.set()
        client = self.client
        if client is not None:
            client.close()
        while self._thread.is_alive():
            self._give_up()
            self._thread.join(_LOOK_S)

    # --- thread "follow" ---------------------------------------------------------------------------

    def _follow(self) -> None:
        failures = 0
        self._tell(RunnerLink("connecting", machine=self._machine))
        while not self.stopping.is_set():
            wait = _RETRY_S[min(failures, len(_RETRY_S) - 1)]
            self._awake.clear()
            try:
                with self._connect() as client:
                    failures, wait = 0, _RETRY_S[0]
                    self._use_until_lost(client)
            except RunnerError as error:
                wait = _PATIENT_S if error.code in _FOR_THE_USER and self._machine != THIS else wait
                self._say_lost(error, wait)
            if not self.stopping.is_set():
                self._awake.wait(wait)
            failures += 1

    def _use_until_lost(self, client: RunnerClient) -> None:
        self.clock = client.clock
        with self._lock:
            self._client = client
        try:
            if not self.stopping.is_set():
                self._tell(RunnerLink("connected", machine=self._machine, clock=self.clock))
                self._use(client)
        finally:
            with self._lock:
                self._client = None

    def _say_lost(self, error: RunnerError, wait: float) -> None:
        if self.stopping.is_set():
            return
        text = f"{error} {error.advice}".strip()
        self._tell(RunnerLink("lost", f"{text} Stored figures are safe.", self._machine, error.code, wait))
