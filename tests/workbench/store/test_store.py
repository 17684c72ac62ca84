"""The store's lists, changes and queries, over an open file."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.house import ROOT
from tests.workbench.store_kit import add_experiment, ended, lines, log, order, started
from workbench.store.local import READERS, WRITERS, LocalStore
from workbench.store.operations import (
    AddTrials,
    DeleteTrials,
    Durations,
    GetCounts,
    GetExperiment,
    GetOrder,
    GetStoreId,
    GetTrial,
    Ingest,
    ListExperiments,
    ListTrials,
    ListUnfinished,
    MarkLost,
    MetricRow,
    Query,
    ReadRecords,
    ReasonRow,
    Rename,
    SetBaseline,
    SetMetrics,
    StoreError,
)
from workbench.store.rows import Transaction
from workbench.store.sharing.wire import OPERATIONS


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    """A store that is only asked."""
    opened = LocalStore(tmp_path_factory.mktemp("asked") / "test.duckdb")
    add_experiment(opened, "t-1")
    yield opened
    opened.close()


def finish(store: LocalStore, trial: str, after_s: float = 12.5) -> None:
    store.execute(Ingest(trial=trial, lines=lines([started(), ended(2, after_s=after_s)])))


def metric(name: str, value: float | None, version: int = 1) -> MetricRow:
    return MetricRow(
        trial="", metric=name, version=version, value=value, unit="s", method="m", scope="decode", n=3, reason=""
    )


def rows(store: LocalStore, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in store.execute(Query(sql=sql)).rows]


def test_that_every_operation_has_exactly_one_handler() -> None:
    assert set(READERS) | set(WRITERS) == set(OPERATIONS)
    assert not set(READERS) & set(WRITERS)


def test_that_a_new_store_has_an_identity_of_its_own_that_stays(tmp_path: Path) -> None:
    identities = []
    for name in ("a.duckdb", "b.duckdb", "a.duckdb"):
        store = LocalStore(tmp_path / name)
        identities.append(store.execute(GetStoreId()))
        store.close()
    assert identities[0] == identities[2] != identities[1]


def test_that_an_experiment_is_listed_with_its_trials_newest_first(store: LocalStore) -> None:
    add_experiment(store, "t-1", "t-2")
    add_experiment(store, "t-3", experiment="e-2", name="second")
    experiments = store.execute(ListExperiments())
    assert [(e.number, e.name, e.trials, e.waiting) for e in experiments] == [
        (2, "second", 1, 1),
        (1, "first comparison", 2, 2),
    ]
    assert [t.trial for t in store.execute(ListTrials())] == ["t-3", "t-2", "t-1"]
    assert [t.trial for t in store.execute(ListTrials(experiment="e-1", limit=1, offset=1))] == ["t-1"]
    made = datetime.fromisoformat(experiments[0].created_at)
    assert abs((datetime.now(UTC) - made).total_seconds()) < 60


def test_that_adding_an_experiment_twice_adds_it_once(store: LocalStore) -> None:
    add_experiment(store, "t-1", "t-2")
    add_experiment(store, "t-1", "t-2", "t-3")
    assert len(store.execute(ListTrials())) == 2


def test_that_retries_join_their_experiment_once(store: LocalStore) -> None:
    add_experiment(store, "t-1", "t-2")
    retry = order("t-9", store=store.execute(GetStoreId()), configuration="c-1", position=1)
    for _ in range(2):
        store.execute(AddTrials(orders=(retry,)))
    detail = store.execute(GetExperiment(experiment="e-1"))
    assert [t.trial for t in detail.trials] == ["t-1", "t-2", "t-9"]
    assert len(detail.configurations) == 2
    with pytest.raises(StoreError, match="no experiment") as caught:
        store.execute(AddTrials(orders=(order("t-8", store="s", experiment="e-7"),)))
    assert caught.value.code == "not_found"


def test_that_a_trial_is_found_by_id_and_by_number(store: LocalStore) -> None:
    add_experiment(store, "t-1", "t-2")
    assert store.execute(GetTrial(trial="2")) == store.execute(GetTrial(trial="t-2"))
    for missing in ("t-7", "7", "99999999999999999999", ""):
        with pytest.raises(StoreError) as caught:
            store.execute(GetTrial(trial=missing))
        assert caught.value.code == "not_found"


def test_that_an_experiment_is_found_by_id_number_name_or_as_the_newest(store: LocalStore) -> None:
    with pytest.raises(StoreError, match="no experiment"):
        store.execute(GetExperiment())
    add_experiment(store, "t-1")
    add_experiment(store, "t-2", experiment="e-2", name="second")
    for name in ("e-2", "2", "second", ""):
        assert store.execute(GetExperiment(experiment=name)).experiment.experiment == "e-2"
    add_experiment(store, "t-3", experiment="e-3", name="second")
    with pytest.raises(StoreError, match="2 experiments") as caught:
        store.execute(GetExperiment(experiment="second"))
    assert "3, 2" in caught.value.advice


def test_that_a_stored_order_can_be_run_again_exactly(store: LocalStore) -> None:
    add_experiment(store, "t-1", "t-2")
    expected = order("t-2", store=store.execute(GetStoreId()), configuration="c-1", position=1)
    assert store.execute(GetOrder(trial="2")) == expected


def test_that_numbers_of_deleted_trials_are_not_used_again(store: LocalStore) -> None:
    add_experiment(store, "t-1", "t-2")
    store.execute(DeleteTrials(experiment="e-1"))
    add_experiment(store, "t-3", experiment="e-2")
    assert store.execute(GetTrial(trial="t-3")).number == 3
    assert store.execute(GetExperiment()).experiment.number == 2


def test_that_deleting_an_experiment_leaves_nothing_but_tombstones(store: LocalStore) -> None:
    add_experiment(store, "t-1", "t-2")
    add_experiment(store, "t-3", experiment="e-2")
    finish(store, "t-1")
    store.execute(SetMetrics(trial="t-1", metrics=(metric("m", 1.0),), reasons=(), verdict="valid"))
    assert store.execute(DeleteTrials(experiment="e-1")) == ("t-1", "t-2")
    assert store.execute(DeleteTrials(experiment="e-1")) == ()
    tables = [str(row[0]) for row in rows(store, "SHOW TABLES")]
    holding = {t: n for t in tables if (n := rows(store, f"SELECT count(*) FROM {t}")[0][0])}
    assert holding == {"store": 1, "counters": 2, "tombstones": 2, "experiments": 1, "configurations": 1, "trials": 1}


def test_that_deleting_single_trials_keeps_their_experiment(store: LocalStore) -> None:
    add_experiment(store, "t-1", "t-2")
    assert store.execute(DeleteTrials(trials=("t-2", "t-unknown"))) == ("t-2",)
    assert [t.trial for t in store.execute(GetExperiment()).trials] == ["t-1"]


def test_that_metrics_of_the_same_version_are_replaced_and_of_older_ones_kept(store: LocalStore) -> None:
    add_experiment(store, "t-1")
    reason = ReasonRow(trial="", code="window_short", severity="warning", message="2 s")
    store.execute(
        SetMetrics(trial="t-1", metrics=(metric("a", 1.0), metric("b", 2.0)), reasons=(reason,), verdict="warning")
    )
    store.execute(
        SetMetrics(trial="t-1", metrics=(metric("a", 3.0), metric("b", None, 2)), reasons=(), verdict="valid")
    )
    detail = store.execute(GetExperiment())
    assert [(m.metric, m.version, m.value) for m in detail.metrics] == [("a", 1, 3.0), ("b", 1, 2.0), ("b", 2, None)]
    assert (detail.reasons, detail.trials[0].verdict) == ((), "valid")
    with pytest.raises(StoreError, match="no trial"):
        store.execute(SetMetrics(trial="t-7", metrics=(), reasons=(), verdict="valid"))


def test_that_a_baseline_can_be_pinned_and_an_experiment_renamed(store: LocalStore) -> None:
    add_experiment(store, "t-1")
    store.execute(SetBaseline(experiment="e-1", configuration="c-0"))
    store.execute(Rename(experiment="e-1", name='it\'s "new"; DROP TABLE trials'))
    row = store.execute(ListExperiments())[0]
    assert (row.baseline, row.name) == ("c-0", 'it\'s "new"; DROP TABLE trials')
    store.execute(SetBaseline(experiment="e-1", configuration=None))
    assert store.execute(ListExperiments())[0].baseline is None
    with pytest.raises(StoreError):
        store.execute(Rename(experiment="e-7", name="x"))


def test_that_a_trial_the_runner_forgot_ends_as_lost_and_keeps_its_records(store: LocalStore) -> None:
    add_experiment(store, "t-1", "t-2")
    finish(store, "t-1")
    store.execute(Ingest(trial="t-2", lines=lines([started(), log(2)])))
    for trial in ("t-1", "t-2"):
        store.execute(MarkLost(trial=trial, message="The runner does not know it."))
    assert store.execute(ListUnfinished()) == ()
    lost = store.execute(GetTrial(trial="t-2"))
    assert (lost.state, lost.outcome, lost.message) == ("ended", "lost", "The runner does not know it.")
    assert len(store.execute(ReadRecords(trial="t-2"))) == 2
    assert store.execute(GetTrial(trial="t-1")).outcome == "completed"
    assert store.execute(ListExperiments())[0].failed == 1


def test_that_durations_are_of_completed_trials(store: LocalStore) -> None:
    add_experiment(store, "t-1", "t-2", "t-3", "t-4")
    finish(store, "t-1", 10.0)
    finish(store, "t-3", 20.0)
    store.execute(Ingest(trial="t-2", lines=lines([started(), ended(2, outcome="failed")])))
    assert store.execute(Durations(configurations=("c-0", "c-1", "c-7"))) == {"c-0": (10.0, 20.0)}
    resumed = ReasonRow(trial="", code="resumed", severity="warning", message="It continued.")
    store.execute(SetMetrics(trial="t-3", metrics=(), reasons=(resumed,), verdict="warning"))
    assert store.execute(Durations(configurations=("c-0",))) == {"c-0": (10.0,)}


def test_that_counts_name_rows_and_bytes(store: LocalStore) -> None:
    add_experiment(store, "t-1")
    counts = store.execute(GetCounts())
    assert (counts.experiments, counts.trials, counts.samples) == (1, 1, 0)
    assert counts.size_bytes > 10_000


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT trial FROM trials",
        "WITH t AS (SELECT trial FROM trials) SELECT * FROM t",
        "FROM trials SELECT trial",
        "-- a comment\nSELECT trial FROM trials;",
    ],
)
def test_that_one_reading_statement_is_answered(asked: LocalStore, sql: str) -> None:
    table = asked.execute(Query(sql=sql))
    assert (table.columns, table.rows) == (("trial",), (("t-1",),))


@pytest.mark.parametrize("sql", ["SHOW TABLES", "DESCRIBE trials", "SUMMARIZE trials", "EXPLAIN SELECT 1"])
def test_that_a_schema_can_be_asked_for(asked: LocalStore, sql: str) -> None:
    assert asked.execute(Query(sql=sql)).rows


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM trials",
        "UPDATE trials SET title = 'x'",
        "INSERT INTO tags VALUES ('a', 'b')",
        "DROP TABLE trials",
        "CREATE TABLE x (a INTEGER)",
        "SELECT 1; SELECT 2",
        "SELECT 1; DELETE FROM trials",
        "ATTACH 'other.duckdb'",
        "COPY trials TO 'out.csv'",
        "SET threads = 8",
        "CHECKPOINT",
        "COMMIT",
        "EXPLAIN ANALYZE DELETE FROM trials",
        "",
        "  -- nothing",
        "SELEC 1",
        "SELECT nothing FROM trials",
        "SELECT 1/'x'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT ?",
    ],
)
def test_that_anything_else_is_refused_and_changes_nothing(asked: LocalStore, sql: str) -> None:
    with pytest.raises(StoreError) as caught:
        asked.execute(Query(sql=sql))
    assert caught.value.code == "query"
    assert caught.value.advice
    assert asked.execute(GetTrial(trial="t-1")).title == "tiny · c-0"
    assert rows(asked, "SELECT count(*) FROM tags") == [(0,)]
    assert rows(asked, "SELECT value FROM duckdb_settings() WHERE name = 'threads'") == [("1",)]


def test_that_times_with_a_zone_are_answered_with_it(asked: LocalStore) -> None:
    (row,) = rows(asked, "SELECT TIMESTAMPTZ '2026-03-01 12:00:00+02:00'")
    assert datetime.fromisoformat(str(row[0])) == datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_that_a_query_cannot_reach_rows_of_python_variables(asked: LocalStore) -> None:
    secret = {"a": [1]}
    assert secret
    with pytest.raises(StoreError):
        asked.execute(Query(sql="SELECT * FROM secret"))


def test_that_answers_are_plain_values_and_say_when_they_are_cut(asked: LocalStore) -> None:
    sql = (
        "SELECT 1.5::DECIMAL(4,1), 170141183460469231731687303715884105727, TIMESTAMP '2026-01-02 03:04:05', "
        "DATE '2026-01-02', [1, 2], {'a': 1}, 'x'::BLOB, NULL, true, INTERVAL 90 SECOND, uuid() IS NOT NULL"
    )
    assert asked.execute(Query(sql=sql)).rows[0] == (
        1.5,
        "170141183460469231731687303715884105727",
        "2026-01-02T03:04:05Z",
        "2026-01-02",
        [1, 2],
        {"a": 1},
        "78",
        None,
        True,
        90.0,
        True,
    )
    cut = asked.execute(Query(sql="SELECT * FROM range(10)", limit=4))
    assert (len(cut.rows), cut.truncated) == (4, True)
    whole = asked.execute(Query(sql="SELECT * FROM range(4)", limit=4))
    assert (len(whole.rows), whole.truncated) == (4, False)


def test_that_a_closed_store_says_so(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "a.duckdb")
    store.close()
    store.close()
    with pytest.raises(StoreError) as caught:
        store.execute(GetStoreId())
    assert caught.value.code == "closed"
    assert [p.name for p in tmp_path.iterdir()] == ["a.duckdb"], "a write-ahead log is left"


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads give way to each other after every few instructions."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
def test_that_a_store_closes_while_others_read(tmp_path: Path) -> None:
    def read(store: LocalStore) -> str:
        try:
            while True:
                store.execute(GetCounts())
        except StoreError as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        for number in range(10):
            store = LocalStore(tmp_path / f"{number}.duckdb")
            ends = [pool.submit(read, store) for _ in range(4)]
            time.sleep(0.005)  # any moment of their reading will do
            store.close()
            assert {end.result(60) for end in ends} <= {"closed", "interrupted"}
    assert len(list(tmp_path.iterdir())) == 10, "a write-ahead log is left"


def test_that_closing_also_ends_a_query_that_began_just_after_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, reading = LocalStore(tmp_path / "a.duckdb"), threading.Event()

    def between_two_statements(db: Transaction, operation: GetCounts) -> object:
        reading.set()
        while not store._closed:
            time.sleep(0.001)
        with store._readers:  # held by `close` until it has interrupted everybody once
            pass
        return db.one("SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 1")

    monkeypatch.setitem(READERS, GetCounts, between_two_statements)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(store.execute, GetCounts())
        assert reading.wait(60)
        store.close()
        with pytest.raises(StoreError) as caught:
            answer.result(60)
    assert caught.value.code == "closed"
    assert [p.name for p in tmp_path.iterdir()] == ["a.duckdb"]


def test_that_a_reader_that_outlasts_the_closing_is_told_that_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, reading, closed = LocalStore(tmp_path / "a.duckdb"), threading.Event(), threading.Event()

    def slow(db: Transaction, operation: GetCounts) -> object:
        reading.set()
        closed.wait()
        return db.one("SELECT 1")

    monkeypatch.setitem(READERS, GetCounts, slow)
    monkeypatch.setattr("workbench.store.local._CLOSING_TURNS", 1)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(store.execute, GetCounts())
        assert reading.wait(60)
        store.close()
        closed.set()
        with pytest.raises(StoreError) as caught:
            answer.result(60)
    assert caught.value.code == "closed"


def test_that_a_late_word_of_a_fatal_error_spares_the_file_that_was_opened_since(store: LocalStore) -> None:
    broken = store._connection
    store._forget_connection(broken)
    add_experiment(store, "t-1")  # opened again
    good = store._connection
    assert good is not broken
    store._forget_connection(broken)  # another thread met the same error, and is slower
    assert store._connection is good
    assert len(store.execute(ListTrials())) == 1


def test_that_every_table_and_column_is_documented(asked: LocalStore) -> None:
    text = (ROOT / "docs" / "store.md").read_text("utf-8")
    described = {
        (section.split("\n", 1)[0].strip(), column)
        for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]
        for column in re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE)
    }
    columns = rows(asked, "SELECT table_name, column_name FROM information_schema.columns")
    assert {(str(table), str(column)) for table, column in columns} == described


def test_that_the_examples_of_the_documentation_work(asked: LocalStore) -> None:
    text = (ROOT / "docs" / "store.md").read_text("utf-8")
    examples = re.findall(r"```sql\n(.*?)```", text, flags=re.DOTALL)
    assert len(examples) >= 6
    for sql in examples:
        asked.execute(Query(sql=sql))
