"""Bundles whose hashes hold and whose contents do not: refused as bundles, with the store left exactly as it was; or
taken in where nothing that was said is wrong, and then every trial is seen and judged by its records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workbench.store_kit import add_experiment, lines
from tests.workbench.synthetic import FakeTrial, records
from workbench.export.records_parquet import export_bundle, import_bundle
from workbench.running.intake import evaluate
from workbench.store.bundles import importing, unpacking
from workbench.store.bundles.exporting import MANIFEST, TABLES, file_hash
from workbench.store.local import LocalStore
from workbench.store.operations import (
    AddSamples,
    DeleteTrials,
    ExperimentDetail,
    GetExperiment,
    GetOrder,
    Ingest,
    MarkLost,
    Query,
    StoreError,
)
from workbench.store.records import replay

BELIEVED = ("experiments", "configurations", "trials", "tags", "artifacts", "records", "samples", "tokens")
Files = dict[str, bytes]
Change = Callable[[pyarrow.Table], pyarrow.Table]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("whole")
    store = LocalStore(folder / "one.duckdb")
    add_experiment(store, "t-1", "t-2")
    store.execute(Ingest(trial="t-1", lines=lines(records(FakeTrial(seed=1, new_tokens=8)))))
    store.execute(Ingest(trial="t-2", lines=lines(records(FakeTrial(seed=2, new_tokens=8))[:9])))
    store.execute(MarkLost(trial="t-2", message="The runner does not know it."))
    store.execute(
        AddSamples(trial="t-1", source="wall", quantity="power_watts", times_ns=(1, 2), values=(3.0, 4.0), file="w.csv")
    )
    for trial in ("t-1", "t-2"):
        evaluate(store, trial)
    export_bundle(store, "", folder / "bundle")
    store.close()
    return {path.name: path.read_bytes() for path in (folder / "bundle").iterdir()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    """With an experiment of its own: nothing of it may change."""
    made = LocalStore(tmp_path_factory.mktemp("store") / "two.duckdb")
    add_experiment(made, "t-own", experiment="e-own", name="own")
    yield made
    made.close()


def put(folder: Path, files: Files) -> Path:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def sealed(folder: Path) -> Path:
    """With the hashes of what the files now are."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for table in TABLES:
        manifest["files"][table]["sha256"] = file_hash(folder / f"{table}.parquet")
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def change(folder: Path, table: str, how: Change) -> None:
    path = folder / f"{table}.parquet"
    pyarrow.parquet.write_table(how(pyarrow.parquet.ParquetFile(path).read()), path)


def columns(whole: Files, table: str) -> list[str]:
    return pyarrow.parquet.ParquetFile(pyarrow.BufferReader(whole[f"{table}.parquet"])).schema_arrow.names


def everything(store: LocalStore) -> dict[str, Any]:
    names = [*TABLES, "counters", "tombstones", "store"]
    return {name: store.execute(Query(sql=f"SELECT * FROM {name} ORDER BY ALL")).rows for name in names}


def refused(store: LocalStore, folder: Path) -> str:
    before = everything(store)
    with pytest.raises(StoreError) as caught:
        import_bundle(store, folder)
    assert everything(store) == before
    assert caught.value.code == "bundle", str(caught.value)
    assert str(caught.value).endswith("Nothing was changed.")
    assert caught.value.advice
    return str(caught.value)


def taken(store: LocalStore, folder: Path) -> ExperimentDetail:
    """Taken in, looked at whether it is whole, and deleted again."""
    own = store.execute(GetExperiment(experiment="e-own"))
    done = import_bundle(store, folder)
    detail = store.execute(GetExperiment(experiment=done.experiment))
    assert detail.experiment.experiment != "e-own"
    rows = store.execute(Query(sql="SELECT count(*) FROM trials WHERE experiment <> 'e-own'")).rows
    assert len(detail.trials) == done.trials == rows[0][0]
    for trial in detail.trials:
        assert trial.state == "ended"
        assert trial.verdict
        assert store.execute(GetOrder(trial=trial.trial)).configuration == trial.configuration
        assert list(replay(store, trial.trial))
    store.execute(DeleteTrials(experiment=done.experiment))
    assert store.execute(GetExperiment(experiment="e-own")) == own
    return detail


def refused_or_whole(store: LocalStore, folder: Path) -> None:
    before = everything(store)
    try:
        taken(store, folder)
    except StoreError as caught:
        error = caught
    else:
        return
    assert error.code == "bundle", str(error)
    assert everything(store) == before


def test_that_the_whole_one_comes_in_with_a_trial_that_never_said_its_end(
    whole: Files, store: LocalStore, tmp_path: Path
) -> None:
    detail = taken(store, put(tmp_path / "b", whole))
    assert [(t.outcome, t.verdict) for t in detail.trials] == [("completed", "warning"), ("lost", "invalid")]
    assert detail.trials[1].message == "The runner does not know it."


@pytest.mark.parametrize("name", [MANIFEST, *(f"{table}.parquet" for table in TABLES)])
def test_that_a_file_missing_empty_or_a_folder_is_refused(
    whole: Files, store: LocalStore, tmp_path: Path, name: str
) -> None:
    folder = put(tmp_path / "b", {n: content for n, content in whole.items() if n != name})
    refused(store, folder)
    (folder / name).mkdir()
    refused(store, folder)
    (folder / name).rmdir()
    for content in (b"", b"\x00" * 100, b"PAR1", b"\xff\xfe{}", b"{}", b"[]", whole[name][:-2]):
        (folder / name).write_bytes(content)
        refused(store, folder)
        if name != MANIFEST:
            refused(store, sealed(folder))


@pytest.mark.parametrize("name", ["../t", "/etc/t", "..", "a/b", "a\n", "", "x" * 200])
def test_that_a_trial_whose_name_could_be_a_path_is_refused(
    whole: Files, store: LocalStore, tmp_path: Path, name: str
) -> None:
    """A trial's log is written to a file of its name, its artifacts lie in a folder of its name."""
    folder = put(tmp_path / "b", whole)
    for table in ("trials", "records", "samples", "tokens", "artifacts"):

        def renamed(rows: pyarrow.Table) -> pyarrow.Table:
            column = [name if trial == "t-1" else trial for trial in rows.column("trial").to_pylist()]
            return rows.set_column(rows.column_names.index("trial"), "trial", pyarrow.array(column, pyarrow.string()))

        change(folder, table, renamed)
    assert "cannot be a trial's name" in refused(store, sealed(folder))


def with_values(column: str, values: list[Any]) -> Change:
    return lambda rows: rows.set_column(rows.column_names.index(column), column, pyarrow.array(values * rows.num_rows))


@pytest.mark.parametrize("table", TABLES)
def test_that_a_column_missing_renamed_added_or_of_another_type_is_refused(
    whole: Files, store: LocalStore, tmp_path: Path, table: str
) -> None:
    ways: tuple[Callable[[str], Change], ...] = (
        lambda column: lambda rows: rows.drop_columns(column),
        lambda column: lambda rows: rows.rename_columns({column: f"{column}_"}),
        lambda column: lambda rows: rows.append_column(f"{column}_", rows.column(column)),
        lambda column: with_values(column, [{"x": 1}]),
    )
    for place, column in enumerate(columns(whole, table)):
        folder = put(tmp_path / "b", whole)
        change(folder, table, ways[place % len(ways)](column))
        refused(store, sealed(folder))


@pytest.mark.parametrize("table", BELIEVED)
def test_that_values_that_cannot_be_are_refused_or_harmless(
    whole: Files, store: LocalStore, tmp_path: Path, table: str
) -> None:
    strange: list[list[Any]] = [[None], ["x"], [2**62], [-1], [b"\xff"]]
    for place, column in enumerate(columns(whole, table)):
        folder = put(tmp_path / "b", whole)
        change(folder, table, with_values(column, strange[place % len(strange)]))
        refused_or_whole(store, sealed(folder))


@pytest.mark.parametrize("table", BELIEVED)
def test_that_rows_missing_doubled_or_of_another_are_refused_or_harmless(
    whole: Files, store: LocalStore, tmp_path: Path, table: str
) -> None:
    for how in (
        lambda rows: rows.slice(0, 0),
        lambda rows: rows.slice(1),
        lambda rows: pyarrow.concat_tables([rows, rows]),
        lambda rows: rows.take(pyarrow.array(range(rows.num_rows), type=pyarrow.int64())[::-1]),
    ):
        folder = put(tmp_path / "b", whole)
        change(folder, table, how)
        if table == "experiments" and how(pyarrow.table({"a": [1]})).num_rows != 1:
            assert "no row of its experiment, or more than one" in refused(store, sealed(folder))
        refused_or_whole(store, sealed(folder))


@pytest.mark.parametrize("state", ["waiting", "running"])
def test_that_a_trial_that_has_not_ended_is_refused(
    whole: Files, store: LocalStore, tmp_path: Path, state: str
) -> None:
    folder = put(tmp_path / "b", whole)
    change(folder, "trials", with_values("state", [state]))
    assert "has not ended" in refused(store, sealed(folder))


def test_that_figures_are_made_from_the_records_and_never_believed(
    whole: Files, store: LocalStore, tmp_path: Path
) -> None:
    before = taken(store, put(tmp_path / "b", whole))
    folder = put(tmp_path / "b", whole)
    lies: dict[str, dict[str, Any]] = {
        "metrics": {"value": 1e9},
        "verdicts": {"code": "lie"},
        "phases": {"end_ns": 1},
        "requests": {"stamps": 1},
        "environments": {"facts": "{}"},
        "trials": {"verdict": "valid", "outcome": "lost", "duration_s": 1.0},
    }
    for table, values in lies.items():
        for column, value in values.items():
            change(folder, table, with_values(column, [value]))
    after = taken(store, sealed(folder))
    assert (after.metrics, after.reasons, after.environments) == (before.metrics, before.reasons, before.environments)
    assert [t.duration_s for t in after.trials] == [t.duration_s for t in before.trials]


def test_that_a_record_without_its_readings_is_a_lost_one(whole: Files, store: LocalStore, tmp_path: Path) -> None:
    folder = put(tmp_path / "b", whole)
    change(folder, "tokens", lambda rows: rows.slice(0, 0))
    assert "lost_records" in {reason.code for reason in taken(store, sealed(folder)).reasons}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_that_bytes_changed_anywhere_are_refused_or_harmless(
    whole: Files, store: LocalStore, tmp_path: Path, data: st.DataObject
) -> None:
    folder = put(tmp_path / "b", whole)
    table = data.draw(st.sampled_from(TABLES))
    content = bytearray((folder / f"{table}.parquet").read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    content[start : start + data.draw(st.integers(0, 20))] = data.draw(st.binary(min_size=1, max_size=20))
    (folder / f"{table}.parquet").write_bytes(content)
    refused(store, folder)
    refused_or_whole(store, sealed(folder))


# --- files that unpack to more than anybody has ---------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB are all that may be unpacked."""
    room = unpacking.Room
    monkeypatch.setattr(importing, "Room", lambda: room(64 << 20))


def with_text(text: str, times: int) -> Change:
    """The table's first row, with another record, so many times."""

    def changed(rows: pyarrow.Table) -> pyarrow.Table:
        one = rows.slice(0, 1).set_column(rows.column_names.index("record"), "record", pyarrow.array([text]))
        return one.take(pyarrow.array([0] * times, pyarrow.int32()))

    return changed


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("text", "times"),
    [("0" * (100 << 20), 1), ("0" * (1 << 20), 100), ("0" * (1 << 16), 2000), ("0", 4_000_000)],
    ids=["zeros that are compressed", "one text a hundred times", "small texts", "rows without end"],
)
def test_that_a_small_file_that_unpacks_to_much_is_refused_before_it_does(
    whole: Files, store: LocalStore, tmp_path: Path, text: str, times: int
) -> None:
    folder = put(tmp_path / "b", whole)
    change(folder, "records", with_text(text, times))
    assert (folder / "records.parquet").stat().st_size < 8 << 20
    assert "would unpack to more than 64.0 MiB" in refused(store, sealed(folder))


@pytest.mark.usefixtures("small")
def test_that_all_tables_share_one_room(whole: Files, store: LocalStore, tmp_path: Path) -> None:
    folder = put(tmp_path / "b", whole)
    change(folder, "records", with_text("0" * (1 << 20), 40))
    assert "do not fit together" in refused(store, sealed(folder)), "it fits alone"

    def logged(rows: pyarrow.Table) -> pyarrow.Table:
        names = {name: [None] * 40 for name in rows.column_names}
        filled = {"trial": ["t-1"] * 40, "text": ["0" * (1 << 20)] * 40}
        return pyarrow.Table.from_pydict(names | filled, schema=rows.schema)

    change(folder, "logs", logged)
    assert "would unpack to more than 64.0 MiB" in refused(store, sealed(folder))


@pytest.mark.parametrize("table", ["experiments", "configurations", "trials", "tags"])
def test_that_rows_that_become_objects_are_counted_first(
    whole: Files, store: LocalStore, tmp_path: Path, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_ROWS", {table: 1000})
    folder = put(tmp_path / "b", whole)
    names = columns(whole, table)
    change(folder, table, lambda rows: pyarrow.table({name: ["x"] * 1001 for name in names}))
    assert "more than can be" in refused(store, sealed(folder))


def test_that_an_encoding_that_no_export_writes_is_refused(whole: Files, store: LocalStore, tmp_path: Path) -> None:
    folder = put(tmp_path / "b", whole)
    path = folder / "records.parquet"
    rows = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(rows, path, use_dictionary=False, column_encoding={"record": "DELTA_BYTE_ARRAY"})
    assert "is not written as exports are" in refused(store, sealed(folder))


def test_that_a_column_whose_statistics_contradict_it_is_refused(
    whole: Files, store: LocalStore, tmp_path: Path
) -> None:
    """pyarrow ends the process when it is asked for the metadata of such a column."""
    folder = put(tmp_path / "b", whole)
    path = folder / "logs.parquet"
    optional, required = b"%\x02\x18\x06source", b"%\x00\x18\x06source"
    assert path.read_bytes().count(optional) == 1
    path.write_bytes(path.read_bytes().replace(optional, required))
    assert "logs.parquet of the bundle cannot be read" in refused(store, sealed(folder))


def test_that_brackets_without_end_in_an_order_are_a_contradiction(
    whole: Files, store: LocalStore, tmp_path: Path
) -> None:
    folder = put(tmp_path / "b", whole)
    change(folder, "configurations", with_values("techniques", ["[" * 100_000]))
    assert "is not readable" in refused(store, sealed(folder))
