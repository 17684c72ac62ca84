"""Taking records in and reading them back: nothing twice, nothing missing, nothing changed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.protocol.codec import decode_record, encode_record
from engines.protocol.records import (
    ClockPair,
    Environment,
    Evaluation,
    Log,
    LostRecord,
    PhaseEnded,
    Record,
    Request,
    Sensor,
    Sensors,
    Stamps,
    Step,
    Telemetry,
    TrialEnded,
)
from tests.workbench.store_kit import START_NS, add_experiment, ended, lines, log, order, started
from workbench.metrics.evaluate import evaluate_trial
from workbench.store.local import LocalStore
from workbench.store.operations import (
    DeleteTrials,
    GetExperiment,
    GetStoreId,
    GetTrial,
    Ingest,
    MarkLost,
    Query,
    ReadRecords,
    StoreError,
)
from workbench.store.records import load_trial, replay


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    store = LocalStore(tmp_path_factory.mktemp("ingest") / "test.duckdb")
    yield store
    store.close()


_names = (f"t-{i}" for i in itertools.count())


def new_trial(store: LocalStore) -> str:
    trial = next(_names)
    add_experiment(store, trial, experiment=f"e-{trial}")
    return trial


def count(store: LocalStore, table: str, trial: str) -> object:
    return store.execute(Query(sql=f"SELECT count(*) FROM {table} WHERE trial = '{trial}'")).rows[0][0]


def some_of_each() -> list[Record]:
    return [
        started(1),
        Stamps(seq=2, t_ns=9, first=0, times_ns=[10, 20, 30]),
        Telemetry(seq=3, t_ns=9, source="s", times_ns=[1, 2], columns={"a_bytes": [1.0, None], "b_ratio": [0.5, 0.25]}),
        PhaseEnded(seq=4, t_ns=50, name="load", start_ns=5),
        log(5),
        Environment(seq=6, facts={"torch": "2"}),
        ended(7),
    ]


# --- once, in order -------------------------------------------------------------------------------


def test_that_ingesting_twice_is_the_same_as_once(opened: LocalStore) -> None:
    trial = new_trial(opened)
    first = opened.execute(Ingest(trial=trial, lines=lines(some_of_each())))
    assert (first.last_seq, first.new_records, first.ended) == (7, 7, True)
    again = opened.execute(Ingest(trial=trial, lines=lines(some_of_each())))
    assert (again.last_seq, again.new_records, again.ended) == (7, 0, True)
    tables = {"records": 7, "tokens": 3, "samples": 4, "phases": 1, "logs": 1}
    assert {table: count(opened, table, trial) for table in tables} == tables


def test_that_lines_may_overlap_what_is_stored(opened: LocalStore) -> None:
    trial = new_trial(opened)
    records = some_of_each()
    opened.execute(Ingest(trial=trial, lines=lines(records[:4])))
    result = opened.execute(Ingest(trial=trial, lines=lines(records[2:])))
    assert (result.last_seq, result.new_records) == (7, 3)
    assert [decode_record(line) for line in opened.execute(ReadRecords(trial=trial))] == records


@pytest.mark.parametrize("bad", ["", "garbage", '{"kind":"telemetry","seq":3,"t_', "\x00" * 9, "\udcff", None])
def test_that_a_damaged_or_missing_line_hides_no_other(opened: LocalStore, bad: str | None) -> None:
    trial = new_trial(opened)
    records = some_of_each()
    good = lines(records)
    result = opened.execute(Ingest(trial=trial, lines=(*good[:2], *([] if bad is None else [bad]), *good[3:])))
    assert (result.last_seq, result.new_records, result.ended) == (7, 7, True)
    assert list(replay(opened, trial)) == [*records[:2], LostRecord(seq=3, t_ns=START_NS), *records[3:]]
    _metrics, reasons, verdict = evaluate_trial(trial, replay(opened, trial))
    assert verdict == "invalid"
    assert next(r.message for r in reasons if r.code == "lost_records") == (
        "Record 3 is missing: what the trial wrote is damaged there."
    )


def test_that_the_reason_names_every_record_that_is_missing(opened: LocalStore) -> None:
    trial = new_trial(opened)
    records = some_of_each()
    opened.execute(Ingest(trial=trial, lines=lines([records[0], records[4], records[6]])))
    _metrics, reasons, _verdict = evaluate_trial(trial, replay(opened, trial))
    assert "4 records (2 to 4, 6) are missing: what the trial wrote is damaged there." in [r.message for r in reasons]


def test_that_a_known_kind_with_unreadable_fields_is_kept_and_counts_as_lost(opened: LocalStore) -> None:
    trial = new_trial(opened)
    odd = '{"kind":"request","seq":2,"t_ns":5,"index":"first"}'
    opened.execute(Ingest(trial=trial, lines=(*lines([started()]), odd, *lines([ended(3)]))))
    assert opened.execute(ReadRecords(trial=trial))[1] == odd
    assert list(replay(opened, trial)) == [started(), LostRecord(seq=2, t_ns=5), ended(3)]


def test_that_a_failed_batch_leaves_nothing_behind(opened: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = new_trial(opened)

    def fail(*_: object) -> None:
        raise StoreError("no")

    with monkeypatch.context() as patch:
        patch.setattr("workbench.store.ingest._update_trial", fail)
        with pytest.raises(StoreError):
            opened.execute(Ingest(trial=trial, lines=lines(some_of_each())))
    assert count(opened, "records", trial) == count(opened, "samples", trial) == 0
    assert opened.execute(Ingest(trial=trial, lines=lines(some_of_each()))).new_records == 7


# --- which trials ---------------------------------------------------------------------------------


def test_that_a_deleted_trial_does_not_come_back(opened: LocalStore) -> None:
    trial = new_trial(opened)
    asked = order(trial, store=opened.execute(GetStoreId()))
    opened.execute(Ingest(trial=trial, lines=lines([started()])))
    opened.execute(DeleteTrials(trials=(trial,)))
    for _ in range(2):
        result = opened.execute(Ingest(trial=trial, lines=lines(some_of_each()), order=asked))
        assert (result.buried, result.new_records) == (True, 0)
    assert count(opened, "trials", trial) == count(opened, "records", trial) == 0


def test_that_an_unknown_trial_is_made_from_its_order_or_refused(opened: LocalStore) -> None:
    id = opened.execute(GetStoreId())
    with pytest.raises(StoreError) as caught:
        opened.execute(Ingest(trial="t-lost", lines=lines([started()])))
    assert caught.value.code == "not_found"
    asked = order("t-lost", store=id, experiment="e-lost")
    assert opened.execute(Ingest(trial="t-lost", lines=lines(some_of_each()), order=asked)).new_records == 7
    detail = opened.execute(GetExperiment(experiment="e-lost"))
    assert detail.experiment.name == "first comparison"
    assert [(c.title, c.configuration) for c in detail.configurations] == [("tiny · c-1", "c-1")]
    assert (detail.trials[0].outcome, detail.trials[0].machine) == ("completed", "this")


def test_that_a_trial_of_another_database_is_refused(opened: LocalStore) -> None:
    with pytest.raises(StoreError, match="another database"):
        opened.execute(Ingest(trial="t-far", lines=lines([started()]), order=order("t-far", store="s-other")))
    assert count(opened, "trials", "t-far") == 0


# --- what the trial's row says --------------------------------------------------------------------


def test_that_a_trial_goes_from_waiting_to_running_to_ended(opened: LocalStore) -> None:
    trial = new_trial(opened)
    assert opened.execute(GetTrial(trial=trial)).state == "waiting"
    opened.execute(Ingest(trial=trial, lines=lines([started()])))
    row = opened.execute(GetTrial(trial=trial))
    assert (row.state, row.started_at) == ("running", "2026-09-21T14:13:20.000000Z")
    opened.execute(Ingest(trial=trial, lines=lines([ended(2, outcome="stopped")])))
    row = opened.execute(GetTrial(trial=trial))
    assert (row.state, row.outcome, row.duration_s, row.ended_at) == (
        "ended",
        "stopped",
        12.5,
        "2026-09-21T14:13:32.500000Z",
    )


def test_that_a_failed_trial_says_what_happened(opened: LocalStore) -> None:
    trial = new_trial(opened)
    failed = TrialEnded(
        seq=2, outcome="failed", failure="killed", message="Killed.", advice="Smaller.", clock=ClockPair(1, START_NS)
    )
    opened.execute(Ingest(trial=trial, lines=lines([started(), failed])))
    row = opened.execute(GetTrial(trial=trial))
    assert (row.outcome, row.failure, row.message, row.advice) == ("failed", "killed", "Killed.", "Smaller.")


def test_that_a_duration_over_a_restart_of_the_machine_is_unknown(opened: LocalStore) -> None:
    trial = new_trial(opened)
    opened.execute(Ingest(trial=trial, lines=lines([started(), ended(2, after_s=-3.0, outcome="lost")])))
    assert opened.execute(GetTrial(trial=trial)).duration_s is None


def test_that_a_trial_that_never_started_has_an_end_and_no_start(opened: LocalStore) -> None:
    trial = new_trial(opened)
    opened.execute(Ingest(trial=trial, lines=lines([ended(1, outcome="stopped")])))
    row = opened.execute(GetTrial(trial=trial))
    assert (row.state, row.started_at, row.duration_s) == ("ended", None, None)


def test_that_a_trial_marked_lost_is_taken_back_when_its_records_come(opened: LocalStore) -> None:
    trial = new_trial(opened)
    opened.execute(Ingest(trial=trial, lines=lines([started()])))
    opened.execute(MarkLost(trial=trial, message="gone"))
    assert not opened.execute(Ingest(trial=trial, lines=lines([started()]))).ended
    opened.execute(Ingest(trial=trial, lines=lines([log(2)])))
    row = opened.execute(GetTrial(trial=trial))
    assert (row.state, row.outcome, row.message, row.ended_at) == ("running", None, None, None)
    opened.execute(MarkLost(trial=trial, message="gone"))
    opened.execute(Ingest(trial=trial, lines=lines([ended(3)])))
    assert opened.execute(GetTrial(trial=trial)).outcome == "completed"


def test_that_facts_of_runner_and_worker_are_merged_and_shared(opened: LocalStore) -> None:
    one, two = new_trial(opened), new_trial(opened)
    for trial in (one, two):
        opened.execute(Ingest(trial=trial, lines=lines([Environment(seq=1, facts={"host": trial[:2], "cpu": "x"})])))
        opened.execute(Ingest(trial=trial, lines=lines([Environment(seq=2, facts={"torch": "2", "cpu": "y"})])))
    facts = opened.execute(GetExperiment(experiment=f"e-{one}")).environments
    assert facts == {one: {"host": "t-", "cpu": "y", "torch": "2"}}
    keys = opened.execute(Query(sql=f"SELECT DISTINCT environment FROM trials WHERE trial IN ('{one}', '{two}')")).rows
    assert len(keys) == 1
    stale = opened.execute(Query(sql='SELECT facts FROM environments WHERE facts LIKE \'%"cpu":"x"%\'')).rows
    assert stale == ()


# --- tables beside the records --------------------------------------------------------------------


def test_that_readings_stamps_and_requests_stand_in_tables_to_query(opened: LocalStore) -> None:
    trial = new_trial(opened)
    request = Request(
        seq=7, t_ns=99, index=0, warmup=True, start_ns=5, end_ns=40, first_stamp=0, stamps=3,
        prompt_tokens=4, generated_tokens=6, batch_size=2,
    )  # fmt: skip
    corrected = Stamps(seq=8, t_ns=99, first=1, times_ns=[21, 31, 41])
    opened.execute(Ingest(trial=trial, lines=lines([*some_of_each()[:-1], request, corrected])))

    def rows(columns: str, table: str) -> list[tuple[object, ...]]:
        return list(
            opened.execute(Query(sql=f"SELECT {columns} FROM {table} WHERE trial = '{trial}' ORDER BY ALL")).rows
        )

    assert rows("source, quantity, t_ns, value", "samples") == [
        ("s", "a_bytes", 1, 1.0),
        ("s", "a_bytes", 2, None),
        ("s", "b_ratio", 1, 0.5),
        ("s", "b_ratio", 2, 0.25),
    ]
    assert rows("stamp, t_ns", "token_times") == [(0, 10), (1, 21), (2, 31), (3, 41)]
    assert rows("name, index, start_ns, end_ns", "phases") == [("load", 0, 5, 50)]
    assert rows("index, warmup, first_stamp, stamps, generated_tokens", "requests") == [(0, True, 0, 3, 6)]
    assert rows("level, text", "logs") == [("info", "hello")]
    packed = opened.execute(Query(sql=f"SELECT DISTINCT kind FROM records WHERE trial = '{trial}' AND record = ''"))
    assert sorted(packed.rows) == [("stamps",), ("telemetry",)]


def test_that_training_steps_can_be_queried_with_what_was_recorded_of_them(opened: LocalStore) -> None:
    trial = new_trial(opened)
    bare = Step(seq=1, t_ns=9, index=0, warmup=True, start_ns=5, end_ns=9, tokens=8, samples=2)
    whole = Step(
        seq=2, t_ns=20, index=1, warmup=False, start_ns=10, end_ns=20, tokens=6, samples=2, loss=2.5,
        gradient_norm=0.5, learning_rate=1e-4, padding_tokens=2, data_s=0.25, loss_tokens=5, micro_batches=3,
    )  # fmt: skip
    opened.execute(Ingest(trial=trial, lines=lines([bare, whole])))
    columns = [name for name in Step.__struct_fields__ if name not in ("seq", "t_ns")]
    query = f"SELECT {', '.join(columns)} FROM steps WHERE trial = '{trial}' ORDER BY index"
    assert opened.execute(Query(sql=query)).rows == tuple(
        tuple(getattr(step, name) for name in columns) for step in (bare, whole)
    )


# --- back again -----------------------------------------------------------------------------------

_long = st.integers(-(2**63), 2**63 - 1)
_count = st.integers(0, 2**31 - 1)
_text = st.text(max_size=20)
_reading = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def _telemetry(draw: st.DrawFn) -> Telemetry:
    times = draw(st.lists(_long, max_size=4))
    length = st.just(len(times)) if draw(st.booleans()) else st.integers(0, 4)
    sizes = draw(st.lists(length, max_size=3))
    names = draw(st.lists(_text, min_size=len(sizes), max_size=len(sizes), unique=True))
    columns = {
        name: draw(st.lists(_reading, min_size=size, max_size=size)) for name, size in zip(names, sizes, strict=True)
    }
    return Telemetry(t_ns=draw(_long), source=draw(_text), times_ns=times, columns=columns)


_records = st.one_of(
    _telemetry(),
    st.builds(Stamps, t_ns=_long, first=_long, times_ns=st.lists(_long, max_size=5)),
    st.builds(Log, t_ns=_long, level=st.sampled_from(["info", "error"]), source=_text, text=_text),
    st.builds(PhaseEnded, t_ns=_long, name=st.sampled_from(["load", "decode"]), index=_long, start_ns=_long),
    st.builds(Environment, t_ns=_long, facts=st.dictionaries(_text, _text, max_size=2)),
    st.builds(
        Request, t_ns=_long, index=_long, warmup=st.booleans(), start_ns=_long, end_ns=_long, first_stamp=_long,
        stamps=_long, prompt_tokens=_count, generated_tokens=_count, batch_size=_count, synchronised=st.booleans(),
    ),
    st.builds(
        Evaluation, t_ns=_long, nll_sum=st.floats(-1e300, 1e300), tokens=_long, text_bytes=_long,
        data_name=_text, data_hash=_text,
    ),
    st.builds(
        TrialEnded, t_ns=_long, outcome=st.sampled_from(["completed", "lost"]), clock=st.builds(ClockPair, _long, _long)
    ),
    st.builds(Sensors, sensors=st.tuples(st.builds(Sensor, source=_text, quantity=_text, title=_text, method=_text))),
)  # fmt: skip

_strange = st.dictionaries(
    st.text(min_size=1, max_size=5).filter(lambda k: k not in ("seq", "kind", "t_ns")), _text, max_size=2
)
"""Fields that this version does not know."""


@st.composite
def _streams(draw: st.DrawFn) -> tuple[str, ...]:
    made = []
    for seq, record in enumerate(draw(st.lists(_records, max_size=8)), start=1):
        fields = json.loads(encode_record(msgspec.structs.replace(record, seq=seq)))
        for key, value in draw(_strange).items():
            fields.setdefault(key, value)
        if draw(st.integers(0, 4)) == 0:
            fields["kind"] = "of_a_newer_version"
        made.append(json.dumps(fields))
        if fields["kind"] == "trial_ended":  # what comes later is no part of the trial
            break
    return tuple(made)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=_streams(), cut=st.integers(0, 8))
def test_that_every_stream_comes_back_equal(opened: LocalStore, stream: tuple[str, ...], cut: int) -> None:
    trial = new_trial(opened)
    opened.execute(Ingest(trial=trial, lines=stream[:cut]))
    result = opened.execute(Ingest(trial=trial, lines=stream[max(0, cut - 2) :]))
    assert result.last_seq == len(stream)
    back = opened.execute(ReadRecords(trial=trial))
    assert [decode_record(line) for line in back] == [decode_record(line) for line in stream]


def test_that_fields_of_a_newer_version_are_kept(opened: LocalStore) -> None:
    trial = new_trial(opened)
    line = '{"kind":"telemetry","seq":1,"t_ns":2,"source":"s","times_ns":[1],"columns":{"a":[1.0]},"quality":"good"}'
    opened.execute(Ingest(trial=trial, lines=(line,)))
    assert opened.execute(ReadRecords(trial=trial)) == (line,)
    assert count(opened, "samples", trial) == 1


def test_that_a_known_kind_this_version_cannot_read_is_kept_and_left_out_of_replay(opened: LocalStore) -> None:
    trial = new_trial(opened)
    line = '{"kind":"phase_started","seq":2,"t_ns":2,"name":"distil"}'
    result = opened.execute(Ingest(trial=trial, lines=(*lines([started()]), line, *lines([log(3)]))))
    assert result.last_seq == 3
    assert opened.execute(ReadRecords(trial=trial))[1] == line
    assert [record.seq for record in replay(opened, trial)] == [1, 3]


def test_that_records_are_read_page_by_page(opened: LocalStore) -> None:
    trial = new_trial(opened)
    opened.execute(Ingest(trial=trial, lines=lines(some_of_each())))
    pages = [opened.execute(ReadRecords(trial=trial, after=after, limit=3)) for after in (0, 3, 6, 7)]
    assert [decode_record(line) for page in pages for line in page] == some_of_each()
    with pytest.raises(StoreError, match="no trial"):
        opened.execute(ReadRecords(trial="t-none"))


def test_that_a_trial_marked_lost_replays_with_an_end(opened: LocalStore) -> None:
    trial = new_trial(opened)
    opened.execute(Ingest(trial=trial, lines=lines(some_of_each()[:5])))
    opened.execute(MarkLost(trial=trial, message="gone"))
    last = list(replay(opened, trial))[-1]
    assert isinstance(last, TrialEnded)
    assert (last.outcome, last.message, last.clock.mono_ns) == ("lost", "gone", START_NS + 5)
    data = load_trial(opened, trial)
    assert data.ended == last
    assert len(data.channels["s/a_bytes"]) == 2


def test_that_numbers_too_large_for_a_table_do_not_stop_the_trial(opened: LocalStore) -> None:
    trial = new_trial(opened)
    huge = [
        '{"kind":"log","seq":1,"t_ns":99999999999999999999,"level":"info","source":"s","text":"x"}',
        '{"kind":"stamps","seq":2,"t_ns":1,"first":0,"times_ns":[99999999999999999999]}',
        '{"kind":"telemetry","seq":3,"t_ns":1,"source":"s","times_ns":[-99999999999999999999],"columns":{"a":[1.0]}}',
    ]
    assert opened.execute(Ingest(trial=trial, lines=tuple(huge))).last_seq == 3
    assert opened.execute(ReadRecords(trial=trial)) == tuple(huge)
