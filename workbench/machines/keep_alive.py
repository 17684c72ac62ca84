"""Notices within three seconds that a runner far away no longer answers, and then ends the connection.

A thread for each connection, "keep-alive". It asks only while somebody waits for an answer and nothing has come for a
second: records that flow are sign enough, and a question would wake the machine under test.
"""

from __future__ import annotations

import threading
import time

from engines.protocol.client import RunnerClient

QUIET_S = 1.0
ANSWER_S = 1.5


def keep_alive(client: RunnerClient) -> None:
    """Watch a connection until it ends."""
    threading.Thread(target=_watch, args=(client,), name="keep-alive", daemon=True).start()


def _watch(client: RunnerClient) -> None:
    while not client.over.wait(QUIET_S):
        is_quiet = client.waits and time.monotonic() - client.heard_at >= QUIET_S
        if is_quiet and not client.answers(ANSWER_S):
            client.close()
