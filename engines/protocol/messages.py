"""Requests and replies between a client and a runner, one JSON line each.

A connection opens with the runner's line `MAGIC version` (see `engines.protocol`), then carries `Call` lines
from the client and `Answer` lines from the runner, matched by `id`. `Attach`, `Watch` and `LookUp` are streams: answers
with the same id keep coming until `StreamEnded` (or the client's `Cancel`). Calls of one connection run
side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec

from engines.protocol.orders import TrialOrder
from engines.protocol.records import Sensor
from engines.protocol.work import Inference, Pretraining, Training

_S = TypeVar("_S", bound=msgspec.Struct)
_LONGEST_TEXT = 4_000
_LATEST_NS = 1 << 62
_LONGEST_S = 1e9
_LARGEST = 1 << 31
_MOST_MEMORY_BYTES = 1 << 50


class _Tagged(msgspec.Struct, frozen=True, kw_only=True, tag_field="do"):
    pass


# --- what a client asks ---------------------------------------------------------------------------


class Hello(_Tagged, frozen=True, kw_only=True, tag="hello"):
    """First call of a connection."""

    version: int
    client: str


class Submit(_Tagged, frozen=True, kw_only=True, tag="submit"):
    """Append trials to the queue. A trial already known is not queued twice."""

    orders: tuple[TrialOrder, ...]
    secrets: dict[str, str] = {}
    """Variables of the workers that must not be stored: kept in the runner's memory until the trials have ended."""


class Attach(_Tagged, frozen=True, kw_only=True, tag="attach"):
    """Stream a trial's records with seq > `after`, then follow it to its end."""

    trial: str
    after: int = 0


class Watch(_Tagged, frozen=True, kw_only=True, tag="watch"):
    """Stream `QueueState` now and at every change."""


class Stop(_Tagged, frozen=True, kw_only=True, tag="stop"):
    """End a running trial (`keep`: politely, data kept and outcome "stopped"; `kill`: SIGKILL), or remove a
    waiting one from the queue (outcome "stopped", no data)."""

    trial: str
    how: Literal["keep", "kill"] = "keep"


class GetQueue(_Tagged, frozen=True, kw_only=True, tag="queue"):
    pass


class SetPaused(_Tagged, frozen=True, kw_only=True, tag="set_paused"):
    """A paused queue finishes what runs and starts nothing."""

    paused: bool


class Reorder(_Tagged, frozen=True, kw_only=True, tag="reorder"):
    """Waiting trials in the wanted order; those not named keep their order behind."""

    trials: tuple[str, ...]


class ListSpools(_Tagged, frozen=True, kw_only=True, tag="list"):
    """Spools on this machine, of one store or of all ("")."""

    store: str = ""


class Acknowledge(_Tagged, frozen=True, kw_only=True, tag="acknowledge"):
    """The store has everything up to `seq`; a complete, acknowledged spool may be deleted after its time."""

    trial: str
    seq: int


class Bury(_Tagged, frozen=True, kw_only=True, tag="bury"):
    """The store deleted these trials: drop their spools, keep a tombstone, never offer them again."""

    trials: tuple[str, ...]


class Probe(_Tagged, frozen=True, kw_only=True, tag="probe"):
    """What this machine has: devices, sensors, engines."""


class Wanted(msgspec.Struct, frozen=True):
    """A model that is known by its files' contents: is it on this machine, wherever it lies?"""

    fingerprint: str
    weights_bytes: int


class Checkpoint(msgspec.Struct, frozen=True):
    """The last state of a training trial, or where it lies that the trial continued from itself (`before`)."""

    trial: str
    before: str = ""


class LookUp(_Tagged, frozen=True, kw_only=True, tag="look_up"):
    """Stream what this machine has of an experiment: `LookedUp` at once and, while files that nobody has read are
    being read, again as that continues; the last one has every fingerprint. Relative paths start at the user's home."""

    refs: tuple[str, ...] = ()
    """Models, as the experiment names them."""
    wanted: tuple[Wanted, ...] = ()
    own: tuple[Inference | Training | Pretraining, ...] = ()
    """Workloads whose prompts or data are looked up."""
    own_copies: tuple[str, ...] = ()
    """Fingerprints of prompts or data, as many as `own`: one that was copied there counts, whatever the path."""
    copies: tuple[str, ...] = ()
    """Fingerprints of what may have been copied there."""
    checkpoints: tuple[Checkpoint, ...] = ()
    every_model: bool = False
    """Whether all models that are found there are listed."""


class Cancel(_Tagged, frozen=True, kw_only=True, tag="cancel"):
    """End the stream that call `call` opened."""

    call: int


class Shutdown(_Tagged, frozen=True, kw_only=True, tag="shutdown"):
    """End the runner: running trials are stopped keeping their data, the queue stays on disk."""


Request = (
    Hello
    | Submit
    | Attach
    | Watch
    | Stop
    | GetQueue
    | SetPaused
    | Reorder
    | ListSpools
    | Acknowledge
    | Bury
    | Probe
    | LookUp
    | Cancel
    | Shutdown
)


# --- what the runner answers ----------------------------------------------------------------------


class Done(_Tagged, frozen=True, kw_only=True, tag="done"):
    text: str = ""


class Failure(_Tagged, frozen=True, kw_only=True, tag="failure"):
    """`code`: "unknown_trial", "bad_request", "version", "disk_full", "disk_error", "internal"."""

    code: str
    message: str
    advice: str = ""


class Welcome(_Tagged, frozen=True, kw_only=True, tag="welcome"):
    version: int
    pid: int
    boot: str
    machine: str
    """Host name, for people."""
    clock_wall_ns: int
    clock_mono_ns: int


class RecordLine(_Tagged, frozen=True, kw_only=True, tag="record"):
    """One record of an attached trial, as JSON text exactly as in the spool."""

    trial: str
    seq: int
    line: str


class StreamEnded(_Tagged, frozen=True, kw_only=True, tag="stream_ended"):
    reason: str = ""


class QueueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A trial the runner knows: what a queue row and the queue strip show."""

    trial: str
    experiment: str
    store: str
    title: str
    experiment_title: str
    configuration: str
    color: int
    block: int
    position: int
    total: int
    device: str
    state: Literal["waiting", "running", "ended"]
    outcome: str = ""
    failure: str = ""
    message: str = ""
    phase: str = ""
    text: str = ""
    fraction: float | None = None
    submitted_wall_ns: int = 0
    started_wall_ns: int = 0
    ended_wall_ns: int = 0
    expected_s: float = 0.0
    machine: str = "this"
    """Set by the client from the link it came over, whatever was sent."""


class Allocation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a cluster's scheduler was asked for and has not taken back: a runner's place on a node."""

    id: str
    """Of the scheduler's job."""
    state: Literal["waiting", "running", "ending"]
    reason: str = ""
    """Why it waits, in the scheduler's word."""
    node: str = ""
    since_wall_ns: int = 0
    """Since when it waits or runs."""
    trials: int = 0
    """Handed to it and not ended."""


def waiting_for(allocations: Sequence[Allocation]) -> str:
    """What keeps a queue waiting whose jobs have no node yet, as a sentence; "" where one has a node."""
    if any(each.state != "waiting" for each in allocations):
        return ""
    reasons = " or ".join(sorted({each.reason for each in allocations if each.reason}))
    jobs = [each.id for each in allocations if each.id]
    start = f" to start job{'s' * (len(jobs) > 1)} {', '.join(jobs)}" if jobs else ""
    what = f"Waiting for the cluster{start}"
    return f"{what} ({reasons})." if reasons else f"{what}."


class QueueState(_Tagged, frozen=True, kw_only=True, tag="queue_state"):
    """Running first, then waiting in order, then the trials that ended lately, newest first."""

    entries: tuple[QueueEntry, ...]
    paused: bool
    pause_reason: str = ""
    """Empty when the user paused; otherwise why the runner did, what is safe and what to do, in sentences."""

    nothing_starts: str = ""
    """Why nothing starts although the queue is not paused: no runner answers, it has not been asked to begin, or a
    cluster has no room yet."""
    allocations: tuple[Allocation, ...] = ()
    """Of a cluster: its jobs that wait and run."""

    def in_state(self, state: str) -> tuple[QueueEntry, ...]:
        return tuple(e for e in self.entries if e.state == state)

    def of_machine(self, machine: str, ahead_s: float = 0.0) -> QueueState:
        """The same, every entry marked as that machine's, its times as the clock of who asks has them; the machine's is
        `ahead_s` ahead. Figures that cannot be come as the nearest that can: they are shown and reckoned with."""
        return msgspec.structs.replace(
            _shortened(self),
            entries=tuple(_marked(e, machine, ahead_s) for e in self.entries),
            allocations=tuple(_shortened(a) for a in self.allocations),
        )


def _marked(entry: QueueEntry, machine: str, ahead_s: float) -> QueueEntry:
    names = ("submitted_wall_ns", "started_wall_ns", "ended_wall_ns")
    changes: dict[str, Any] = {}
    for name in names:
        if told := getattr(entry, name):
            changes[name] = min(max(0, told - round(ahead_s * 1e9)), _LATEST_NS)
    if entry.fraction is not None:
        changes["fraction"] = min(max(0.0, entry.fraction), 1.0)
    changes["expected_s"] = min(max(0.0, entry.expected_s), _LONGEST_S)
    for name in ("color", "block", "position", "total"):
        changes[name] = min(max(0, getattr(entry, name)), _LARGEST)
    return msgspec.structs.replace(_shortened(entry), **changes | {"machine": machine})


def _shortened(of: _S) -> _S:
    """Without text that is longer than anybody reads: a label would lay it out for minutes."""
    found = {name: getattr(of, name) for name in of.__struct_fields__}
    long = {n: text[:_LONGEST_TEXT] for n, text in found.items() if isinstance(text, str) and len(text) > _LONGEST_TEXT}
    return msgspec.structs.replace(of, **long) if long else of


class Spool(msgspec.Struct, frozen=True, kw_only=True):
    trial: str
    store: str
    experiment: str
    last_seq: int
    complete: bool
    acknowledged: int
    size_bytes: int


class SpoolList(_Tagged, frozen=True, kw_only=True, tag="spools"):
    spools: tuple[Spool, ...]


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device a trial can lease. `id` is "cpu" or "cuda:" and a UUID."""

    id: str
    title: str
    memory_total_bytes: int
    memory_free_bytes: int
    details: dict[str, str] = {}
    """"driver", "governor", "power_limit_watts", "clock_max_hertz", "cores", "threads_default", ..."""


def _plausible(device: Device) -> Device:
    total = min(max(0, device.memory_total_bytes), _MOST_MEMORY_BYTES)
    return Device(
        id=device.id[:_LONGEST_TEXT],
        title=device.title[:_LONGEST_TEXT],
        memory_total_bytes=total,
        memory_free_bytes=min(max(0, device.memory_free_bytes), total),
        details={name: value[:_LONGEST_TEXT] for name, value in device.details.items()},
    )


class Package(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A library an engine uses. `version` is "" where missing; then `install` is the command that installs it."""

    name: str
    version: str = ""
    gives: str = ""
    install: str = ""
    kept: str = ""
    """File of a build that the command will take: nothing has to be compiled."""


class ProbeResult(_Tagged, frozen=True, kw_only=True, tag="probe_result"):
    machine: str
    devices: tuple[Device, ...]
    sensors: tuple[Sensor, ...]
    packages: tuple[Package, ...]
    facts: dict[str, str]
    task_data: tuple[str, ...] = ()
    """Ids of the sample tasks (`engines.protocol.tasks`) whose questions are on the machine."""

    def plausible(self) -> ProbeResult:
        """The same, with memory that can be and texts that a page can show: a far machine may say anything."""
        return msgspec.structs.replace(self, devices=tuple(_plausible(device) for device in self.devices))


class LookedUp(_Tagged, frozen=True, kw_only=True, tag="looked_up"):
    """What is there, as a process of its own has found it."""

    found: msgspec.Raw
    """An `engines.models.lookup.answer.Answer`: its types are not loaded by clients that do not ask."""


Reply = Done | Failure | Welcome | RecordLine | StreamEnded | QueueState | SpoolList | ProbeResult | LookedUp


class Call(msgspec.Struct, frozen=True):
    id: int
    body: Request


class Answer(msgspec.Struct, frozen=True):
    id: int
    body: Reply
