"""What happens in the background, as values. Sent by `workbench.running.workbench.Workbench` to its listeners, on its
threads.
"""

from __future__ import annotations

from dataclasses import dataclass

from engines.protocol.clock_offset import ClockOffset
from engines.protocol.messages import ProbeResult, QueueState
from engines.protocol.records import Record
from workbench.machines.machine import THIS


@dataclass(frozen=True)
class QueueChanged:
    """The queue of one machine's runner; also sent once when following begins."""

    state: QueueState
    machine: str = THIS


@dataclass(frozen=True)
class RecordsArrived:
    """New records of a trial, in order, already handed to the store."""

    trial: str
    records: tuple[Record, ...]


@dataclass(frozen=True)
class StoreChanged:
    """Rows changed: which experiments and trials; views refresh only if they show them. Empty tuples: everything."""

    experiments: tuple[str, ...] = ()
    trials: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunnerLink:
    """The link to a machine's runner: "connected", "connecting", "lost"; `message` says what happened, what is safe and
    what to do."""

    state: str
    message: str = ""
    machine: str = THIS
    code: str = ""
    """Of a lost link: why, as `engines.protocol.client.RunnerError.code`."""
    retry_s: float | None = None
    """Of a lost link: seconds from now to the next try; None where there is none."""
    clock: ClockOffset | None = None
    """Of a far machine that is connected."""


@dataclass(frozen=True)
class ProbeFinished:
    result: ProbeResult
    machine: str = THIS


@dataclass(frozen=True)
class Notice:
    """Something a person should see: a toast in the window, a line on standard error in a command."""

    severity: str
    """ "info", "warning", "error"."""
    message: str
    advice: str = ""
    code: str = ""
    """Of an error of the store, as `StoreError.code`."""


Event = QueueChanged | RecordsArrived | StoreChanged | RunnerLink | ProbeFinished | Notice
