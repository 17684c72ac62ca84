"""One-to-many wake-ups on the runner's loop: something changed, look again. Never lost, never queued up."""

from __future__ import annotations

import asyncio


class Wakeups:
    """Take `next_change` before looking at the state, then await it: a change in between is not missed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    def next_change(self) -> asyncio.Event:
        """Set at the next `notify`."""
        return self._event
