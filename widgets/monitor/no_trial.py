"""What the Monitor page says while it shows no trial. No Qt."""

from __future__ import annotations

from typing import NamedTuple

from engines.protocol.messages import QueueState


class NoTrial(NamedTuple):
    """An empty page's words; `action` where setting up an experiment would fill it."""

    title: str
    text: str
    action: bool


def no_trial(queue: QueueState | None) -> NoTrial:
    """`queue` is None until the runner has sent it."""
    waiting = 0 if queue is None else len(queue.in_state("waiting"))
    if waiting and queue is not None and queue.paused:
        text = queue.pause_reason or f"{waiting} waiting. Press Resume in the strip below to start them."
        return NoTrial("The queue is paused", text, False)
    if queue is not None and queue.entries:
        text = "Choose one in the queue, or any stored one in Compare."
        return NoTrial("No trial is shown", text, not waiting)
    return NoTrial("No trials running or queued", "Run an experiment from Setup to see its trials here, live.", True)
