"""What the Monitor page says while no trial is in it. No Qt."""

from __future__ import annotations

from typing import NamedTuple

from engines.protocol.messages import QueueState


class Nothing(NamedTuple):
    """What would stand here; `action` where setting up an experiment is what fills it."""

    title: str
    text: str
    action: bool


def nothing_shown(queue: QueueState | None) -> Nothing:
    """`queue` None: the runner has not told it yet."""
    waiting = 0 if queue is None else len(queue.in_state("waiting"))
    if waiting and queue is not None and queue.paused:
        text = queue.pause_reason or f"{waiting} waiting. Press Go on in the strip below to start them."
        return Nothing("The queue is paused", text, False)
    if queue is not None and queue.entries:
        text = "Choose one in the queue, or any stored one in Compare."
        return Nothing("No trial is shown", text, not waiting)
    return Nothing("Nothing is running", "What you run in Setup is drawn here while it is measured.", True)
