"""Entries of the runner's queue, as the tests of pages and panels need them."""

from __future__ import annotations

from typing import Any

from engines.protocol.messages import QueueEntry, QueueState


def entry(trial: str, state: str, position: int = 0, **more: Any) -> QueueEntry:
    """A trial of one experiment; `more` are fields in place of its own."""
    values: dict[str, Any] = {
        "title": "SmolLM2 · int8",
        "experiment": "e",
        "store": "s",
        "experiment_title": "precision",
        "configuration": "c",
        "color": 2,
        "block": 0,
        "total": 5,
        "device": "cpu",
        "expected_s": 40.0,
    } | more
    return QueueEntry(trial=trial, state=state, position=position, **values)


def queue(*entries: QueueEntry, paused: bool = False) -> QueueState:
    return QueueState(entries=entries, paused=paused)
