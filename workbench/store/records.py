"""A stored trial as records again, or arranged for charts. Works on any store, in any process; blocking."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from engines.protocol.codec import decode_record, read_record
from engines.protocol.records import ClockPair, OutcomeName, Record, TrialEnded
from workbench.charts.series import TrialData
from workbench.store.operations import GetOrder, GetTrial, ReadImported, ReadRecords, Store, StoreError, TrialRow

_PAGE = 5_000
_OUTCOMES: dict[str, OutcomeName] = {
    "completed": "completed",
    "stopped": "stopped",
    "failed": "failed",
    "lost": "lost",
}


def replay(store: Store, trial: str) -> Iterator[Record]:
    """Every record of a stored trial in order, read page by page. Raises `StoreError` code "not_found".

    A record this version cannot read comes as a `LostRecord`, or not at all where no figure rests on it. What was
    imported afterwards follows, without numbers. A trial that was marked lost never said how it ended: a `TrialEnded`
    made from its row, without a number, closes it.
    """
    row = store.execute(GetTrial(trial=trial))
    after, last_t_ns, ended = 0, 0, False
    while lines := store.execute(ReadRecords(trial=row.trial, after=after, limit=_PAGE)):
        for line in lines:
            after += 1
            record = read_record(line)
            if record is None:
                continue
            last_t_ns = max(last_t_ns, record.t_ns)
            ended = ended or isinstance(record, TrialEnded)
            yield record
    for line in store.execute(ReadImported(trial=row.trial)):
        yield decode_record(line)
    if row.state == "ended" and not ended:
        yield _end_of(row, last_t_ns)


def load_trial(store: Store, trial: str) -> TrialData:
    """A stored trial, by id or number, ready for charts; continue with live records of higher numbers."""
    row = store.execute(GetTrial(trial=trial))
    data = TrialData(trial=row.trial, title=row.title, color=row.color)
    try:
        data.take_order(store.execute(GetOrder(trial=row.trial)).workload)
    except StoreError as error:
        if error.code != "not_found":  # its requests will say
            raise
    for record in replay(store, row.trial):
        data.take(record)
    return data


def _end_of(row: TrialRow, last_t_ns: int) -> TrialEnded:
    wall_ns = int(datetime.fromisoformat(row.ended_at).timestamp() * 1e9) if row.ended_at else 0
    return TrialEnded(
        t_ns=last_t_ns,
        outcome=_OUTCOMES.get(row.outcome or "", "lost"),
        failure=row.failure or "",
        message=row.message or "",
        advice=row.advice or "",
        clock=ClockPair(wall_ns, last_t_ns),
    )
