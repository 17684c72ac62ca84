"""Takes a trial's lines into the store and makes its figures when it has ended. Any thread; no state of its own.

Shared by the follower (live) and by `catch_up` (a command that only reads, and wants what was said meanwhile).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.clock_offset import ClockOffset
from engines.protocol.messages import Acknowledge, Attach, Bury, ListSpools, RecordLine, Spool, SpoolList
from workbench.metrics.assumptions import NOTHING_ASSUMED, Assumptions
from workbench.metrics.evaluate import evaluate_trial
from workbench.running import out_of_memory
from workbench.store.operations import (
    AddSamples,
    GetTrial,
    Ingest,
    Ingested,
    ListUnjudged,
    Query,
    SetMetrics,
    Store,
    StoreError,
)
from workbench.store.records import replay

_LINES_AT_ONCE = 5000
CLOCK = "clock"
"""Source of the samples that say how far the clock of a far machine was ahead of this computer's."""
_LAST_NUMBERS = Query(sql="SELECT trial, last_seq FROM trials", limit=10_000_000)
Assumed = Callable[[], Assumptions]
"""Says what the user has set, asked when a trial is judged: it may have changed since the follower began."""


def nothing_assumed() -> Assumptions:
    return NOTHING_ASSUMED


def take_in(
    store: Store,
    trial: str,
    lines: Sequence[str],
    assumed: Assumed = nothing_assumed,
    clock: ClockOffset | None = None,
) -> Ingested:
    """Ingest; with the trial's end its metrics and verdict are computed and stored, and how far the clock of its
    machine is ahead. Raises `StoreError`."""
    result = store.execute(Ingest(trial=trial, lines=tuple(lines)))
    if result.ended and result.new_records:
        if clock is not None:
            _keep_clock(store, trial, clock)
        evaluate(store, trial, assumed())
        out_of_memory.explain(store, trial)
    return result


def _keep_clock(store: Store, trial: str, clock: ClockOffset) -> None:
    for source, quantity, value in (
        (CLOCK, "ahead_s", clock.ahead_s),
        (f"{CLOCK}_bound", "ahead_within_s", clock.within_s),
    ):
        store.execute(
            AddSamples(trial=trial, source=source, quantity=quantity, times_ns=(clock.far_mono_ns,), values=(value,))
        )


def evaluate(store: Store, trial: str, assumptions: Assumptions = NOTHING_ASSUMED) -> None:
    """Compute a trial's metrics and verdict from its stored records and store them. Raises `StoreError`."""
    metrics, reasons, verdict = evaluate_trial(trial, replay(store, trial), assumptions)
    store.execute(SetMetrics(trial=trial, metrics=metrics, reasons=reasons, verdict=verdict))


def judge_leftovers(store: Store, assumed: Assumed = nothing_assumed) -> tuple[str, ...]:
    """Make the figures of trials that ended in the store of a process that died before it could. -> those trials"""
    trials = store.execute(ListUnjudged())
    assumptions = assumed() if trials else NOTHING_ASSUMED
    for trial in trials:
        evaluate(store, trial, assumptions)
        out_of_memory.explain(store, trial)
    return trials


def pending(store: Store, store_id: str, client: RunnerClient) -> tuple[Spool, ...]:
    """The spools that a store has not got whole. What it has decides, not what it once acknowledged: a database that
    was restored from a copy, or that lost its log, has less. Raises `RunnerError`, `StoreError`."""
    reply = client.call(ListSpools(store=store_id))
    if not isinstance(reply, SpoolList):
        return ()
    stored = {str(trial): int(str(last)) for trial, last in store.execute(_LAST_NUMBERS).rows}
    found = []
    for spool in reply.spools:
        has = stored.get(spool.trial, spool.acknowledged)  # one the store does not know was deleted, or is no loss
        if not spool.complete or has < spool.last_seq:
            found.append(spool)
        if has > spool.acknowledged:
            client.call(Acknowledge(trial=spool.trial, seq=has))  # whoever stored it died before it could
    return tuple(found)


def catch_up(
    store: Store, store_id: str, client: RunnerClient, machine: str, assumed: Assumed = nothing_assumed
) -> tuple[str, ...]:
    """Take in what the machine's runner has said up to now, without following on. -> trials that got new records.

    Raises `RunnerError`, `StoreError`."""
    changed = []
    for spool in pending(store, store_id, client):
        stored = stored_seq(store, spool.trial, machine)
        if stored is None:
            if is_buried(store, spool.trial):
                client.call(Bury(trials=(spool.trial,)))
            continue
        result = None
        lines: list[str] = []
        if spool.last_seq > stored:
            read = stored
            stream = client.stream(Attach(trial=spool.trial, after=stored))
            for reply in stream:
                if not isinstance(reply, RecordLine):
                    continue
                if reply.seq <= read:
                    raise RunnerError("The runner sends a trial's records out of order.")
                read = reply.seq
                lines.append(reply.line)
                if reply.seq >= spool.last_seq:
                    break
                if len(lines) >= _LINES_AT_ONCE:
                    result = take_in(store, spool.trial, lines, assumed, client.clock)
                    lines = []
            if lines:
                result = take_in(store, spool.trial, lines, assumed, client.clock)
        if result is None:
            continue
        if result.buried:
            client.call(Bury(trials=(spool.trial,)))
        else:
            client.call(Acknowledge(trial=spool.trial, seq=result.last_seq))
            changed.append(spool.trial)
    return tuple(changed)


def stored_seq(store: Store, trial: str, machine: str) -> int | None:
    """The number of the last stored record of a trial that this store sent to that machine; None of any other, whatever
    a runner says of it. Raises `StoreError`."""
    try:
        row = store.execute(GetTrial(trial=trial))
    except StoreError as error:
        if error.code == "not_found":
            return None
        raise
    return row.last_seq if (row.trial, row.machine) == (trial, machine) else None


def is_buried(store: Store, trial: str) -> bool:
    """Whether the trial was deleted here, so that no runner need keep it. Raises `StoreError`."""
    try:
        return store.execute(Ingest(trial=trial, lines=())).buried
    except StoreError as error:
        if error.code == "not_found":
            return False
        raise
