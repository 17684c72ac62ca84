"""Notices within three seconds that a runner far away no longer answers, and then ends the connection.

A thread for each connection, "keep-alive". It asks only while somebody waits for an answer and nothing has come for a
second: records that flow are sign enough, and a question would wake the machine under test.
"""

from __future__ import annotations

import threading
import time

from engines.protocol import PROTOCOL_VERSION
from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.messages import Hello

QUIET_S = 1.0
ANSWER_S = 1.5


def keep_alive(client: RunnerClient) -> None:
    """Watch a connection until it ends."""
    threading.Thread(target=_watch, args=(client,), name="keep-alive", daemon=True).start()


def _watch(client: RunnerClient) -> None:
    while not client.over.wait(QUIET_S):
        asked_at = time.monotonic()
        if not client.waits or asked_at - client.heard_at < QUIET_S:
            continue
        try:
            client.call(Hello(version=PROTOCOL_VERSION, client=client.name), timeout=ANSWER_S)
        except RunnerError:
            if client.heard_at < asked_at:  # else something else came: the answer waits behind it
                client.close()
