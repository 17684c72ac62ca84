"""Opening databases that are newer, older, damaged, locked or on a full disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.house import ROOT
from tests.small_disk import small_disk as mounted_disk
from tests.workbench.store_kit import add_experiment, lines, log, started
from workbench.store.local import LocalStore
from workbench.store.migrate import SCHEMA_VERSION, Scheme, current_scheme
from workbench.store.operations import (
    DeleteTrials,
    GetTrial,
    Ingest,
    ListExperiments,
    ListTrials,
    Query,
    ReadRecords,
    StoreError,
)


def contents(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def made(path: Path, trials: int = 2) -> Path:
    """A closed database with something in it."""
    store = LocalStore(path)
    add_experiment(store, *(f"t-{i}" for i in range(trials)))
    store.execute(Ingest(trial="t-0", lines=lines([started(), *(log(i, f"line {i}" * 50) for i in range(2, 3000))])))
    store.close()
    return path


def refused(path: Path, scheme: Scheme | None = None) -> StoreError:
    with pytest.raises(StoreError) as caught:
        LocalStore(path, scheme=scheme).close()
    assert caught.value.advice
    return caught.value


# --- versions -------------------------------------------------------------------------------------


def newer(scheme: Scheme, *steps: str) -> Scheme:
    """A scheme some versions on."""
    numbered = {scheme.version + i: step for i, step in enumerate(steps, start=1)}
    return Scheme(scheme.version + len(steps), scheme.schema, {**scheme.steps, **numbered})


def test_that_every_version_has_a_step_that_leads_to_it() -> None:
    scheme = current_scheme()
    assert scheme.version == SCHEMA_VERSION
    assert sorted(scheme.steps) == list(range(2, SCHEMA_VERSION + 1))


def test_that_the_steps_make_the_tables_and_views_of_the_schema(tmp_path: Path) -> None:
    def shape(path: Path) -> list[tuple[object, ...]]:
        with duckdb.connect(str(path), read_only=True) as connection:
            query = "SELECT table_name, column_name, data_type FROM information_schema.columns ORDER BY ALL"
            return connection.execute(query).fetchall()

    scheme = current_scheme()
    fresh = made(tmp_path / "fresh.duckdb")
    first = tmp_path / "first.duckdb"
    LocalStore(first).close()
    with duckdb.connect(str(first)) as connection:
        connection.execute("DROP VIEW steps")
        connection.execute(f"UPDATE store SET schema_version = {scheme.version - 1}")
    LocalStore(first).close()
    assert shape(first) == shape(fresh)


def test_that_a_database_of_a_newer_schema_is_refused_and_untouched(tmp_path: Path) -> None:
    path = made(tmp_path / "a.duckdb")
    LocalStore(path, scheme=newer(current_scheme(), "ALTER TABLE tags ADD COLUMN color INTEGER")).close()
    # rows that still stand in the write-ahead log must stay there
    script = (
        "import duckdb, os, sys\n"
        "c = duckdb.connect(sys.argv[1])\n"
        "c.execute(\"INSERT INTO tags VALUES ('t-1', 'x', 1)\")\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    before = contents(tmp_path)
    assert "a.duckdb.wal" in before
    error = refused(path)
    assert error.code == "newer_schema"
    assert f"version {SCHEMA_VERSION + 1}" in str(error)
    assert "untouched" in str(error)
    assert "Install" in error.advice
    assert contents(tmp_path) == before


def test_that_an_older_database_is_migrated_once_and_copied_first(tmp_path: Path) -> None:
    path = made(tmp_path / "a.duckdb")
    scheme = newer(
        current_scheme(),
        "ALTER TABLE tags ADD COLUMN color INTEGER; INSERT INTO tags VALUES ('t-0', 'x', 1)",
        "UPDATE tags SET color = color + 1",
    )
    for _ in range(2):
        store = LocalStore(path, scheme=scheme)
        assert store.execute(Query(sql="SELECT color FROM tags")).rows == ((2,),)
        assert store.execute(Query(sql="SELECT schema_version FROM store")).rows == ((SCHEMA_VERSION + 2,),)
        assert len(store.execute(ReadRecords(trial="t-0"))) == 2999
        store.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.duckdb", f"a.v{SCHEMA_VERSION}.backup.duckdb"]
    backup = LocalStore(tmp_path / f"a.v{SCHEMA_VERSION}.backup.duckdb")
    assert len(backup.execute(ReadRecords(trial="t-0"))) == 2999
    assert backup.execute(Query(sql="SELECT * FROM tags")).columns == ("subject", "tag")
    backup.close()


def test_that_the_copy_before_a_migration_has_what_a_killed_owner_wrote(tmp_path: Path) -> None:
    path = made(tmp_path / "a.duckdb", trials=3)
    killed_after_ingesting(path, "t-1", count=50)
    LocalStore(path, scheme=newer(current_scheme(), "ALTER TABLE tags ADD COLUMN color INTEGER")).close()
    backup = LocalStore(tmp_path / f"a.v{SCHEMA_VERSION}.backup.duckdb")
    assert backup.execute(GetTrial(trial="t-1")).last_seq == 50
    backup.close()


def test_that_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = made(tmp_path / "a.duckdb")
    scheme = newer(current_scheme(), "DROP TABLE tags", "SELECT nonsense")
    error = refused(path, scheme)
    assert error.code == "migration"
    assert f"a.v{SCHEMA_VERSION}.backup.duckdb" in error.advice
    store = LocalStore(path)
    assert store.execute(Query(sql="SELECT count(*) FROM tags")).rows == ((0,),)
    assert len(store.execute(ListTrials())) == 2
    store.close()


def test_that_a_version_without_a_way_to_this_one_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a.duckdb")
    gap = Scheme(SCHEMA_VERSION + 2, current_scheme().schema, {SCHEMA_VERSION + 2: "SELECT 1"})
    assert "no way from there" in str(refused(path, gap))


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.999])
def test_that_a_database_cut_short_is_refused_and_left_as_it_is(tmp_path: Path, share: float) -> None:
    path = made(tmp_path / "a.duckdb")
    os.truncate(path, int(path.stat().st_size * share))
    before = contents(tmp_path)
    error = refused(path)
    assert error.code == "damaged"
    assert "left as it is" in str(error)
    assert "--database" in error.advice
    assert "spools" in error.advice
    assert contents(tmp_path) == before


def test_that_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    path.write_bytes(os.urandom(50_000))
    before = contents(tmp_path)
    assert refused(path).code == "damaged"
    assert contents(tmp_path) == before


def test_that_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
    assert refused(path).code == "foreign"


def test_that_a_folder_is_refused_in_words(tmp_path: Path) -> None:
    assert str(tmp_path.name) in str(refused(tmp_path))


def test_that_a_folder_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be used" in str(refused(tmp_path / "file" / "a.duckdb"))


def test_that_a_database_locked_by_another_process_says_which(tmp_path: Path) -> None:
    path = made(tmp_path / "a.duckdb")
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        error = refused(path)
        other.communicate("")
    assert error.code == "locked"
    assert str(other.pid) in str(error)
    LocalStore(path).close()


# --- killed ---------------------------------------------------------------------------------------

_INGEST = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.workbench.store_kit import lines, log, started
from workbench.store.local import LocalStore
from workbench.store.operations import Ingest
store = LocalStore(Path(sys.argv[1]))
trial, count = sys.argv[2], int(sys.argv[3])
store.execute(Ingest(trial=trial, lines=lines([started()])))
for seq in range(2, count + 1):
    store.execute(Ingest(trial=trial, lines=lines([log(seq)])))
print("done", flush=True)
sys.stdin.read()
"""


def killed_after_ingesting(path: Path, trial: str, count: int) -> None:
    """A process writes records and is killed with the file open."""
    script = _INGEST.format(root=str(ROOT))
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path), trial, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout.readline() == "done\n"
        writer.kill()


def test_that_a_killed_owner_loses_nothing_it_had_acknowledged(tmp_path: Path) -> None:
    path = made(tmp_path / "a.duckdb")
    killed_after_ingesting(path, "t-1", count=40)
    assert (tmp_path / "a.duckdb.wal").exists()
    store = LocalStore(path)
    assert store.execute(GetTrial(trial="t-1")).last_seq == 40
    assert len(store.execute(ReadRecords(trial="t-1"))) == 40
    result = store.execute(Ingest(trial="t-1", lines=lines([log(41)])))
    assert (result.last_seq, result.new_records) == (41, 1)
    store.close()


def test_that_a_write_ahead_log_cut_short_costs_only_its_last_writes(tmp_path: Path) -> None:
    path = made(tmp_path / "a.duckdb")
    killed_after_ingesting(path, "t-1", count=40)
    log_file = tmp_path / "a.duckdb.wal"
    os.truncate(log_file, log_file.stat().st_size * 2 // 3)
    store = LocalStore(path)
    last = store.execute(GetTrial(trial="t-1")).last_seq
    assert 0 < last < 40
    assert len(store.execute(ReadRecords(trial="t-1"))) == last
    store.execute(Ingest(trial="t-1", lines=lines(log(seq) for seq in range(last + 1, 41))))
    assert store.execute(GetTrial(trial="t-1")).last_seq == 40
    store.close()


# --- full disk ------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "small", "6m") as folder:
        yield folder


def big_batch(first: int) -> tuple[str, ...]:
    return lines(log(first + i, os.urandom(400).hex()) for i in range(500))


def failure(store: LocalStore, operation: Ingest) -> StoreError | None:
    try:
        store.execute(operation)
    except StoreError as error:
        return error
    return None


def fill(store: LocalStore, trial: str) -> int:
    """Ingest until the disk is full. -> last record the store acknowledged"""
    store.execute(Ingest(trial=trial, lines=lines([started()])))
    last = 1
    while (found := failure(store, Ingest(trial=trial, lines=big_batch(last + 1)))) is None:
        last += 500
    assert found.code == "disk_full"
    assert "everything stored before is safe" in str(found)
    return last


def test_that_a_full_disk_loses_nothing_and_the_store_goes_on_when_there_is_space(small_disk: Path) -> None:
    store = LocalStore(small_disk / "a.duckdb")
    add_experiment(store, "t-1")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2_000_000))
    last = fill(store, "t-1")
    assert last > 1
    with pytest.raises(StoreError, match="full"):
        store.execute(Ingest(trial="t-1", lines=big_batch(last + 1)))
    assert store.execute(GetTrial(trial="t-1")).last_seq == last
    assert len(store.execute(ReadRecords(trial="t-1"))) == last
    ballast.unlink()
    assert store.execute(Ingest(trial="t-1", lines=big_batch(last + 1))).last_seq == last + 500
    store.close()
    again = LocalStore(small_disk / "a.duckdb")
    assert len(again.execute(ReadRecords(trial="t-1"))) == last + 500
    again.close()


def test_that_a_store_closed_on_a_full_disk_opens_with_everything(small_disk: Path) -> None:
    store = LocalStore(small_disk / "a.duckdb")
    add_experiment(store, "t-1")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2_000_000))
    last = fill(store, "t-1")
    store.close()
    ballast.unlink()
    again = LocalStore(small_disk / "a.duckdb")
    assert len(again.execute(ReadRecords(trial="t-1"))) == last
    again.close()


def test_that_a_database_cannot_be_made_on_a_full_disk_and_none_is_left_half_made(small_disk: Path) -> None:
    with (small_disk / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(65536))
        except OSError:
            pass
    assert refused(small_disk / "a.duckdb").code == "disk_full"
    (small_disk / "ballast").unlink()
    store = LocalStore(small_disk / "a.duckdb")
    assert store.execute(ListExperiments()) == ()
    store.close()


def test_that_a_file_size_limit_is_told_as_a_full_disk(tmp_path: Path) -> None:
    """Where no file system can be mounted: the same path of the code by a limit on the process's files."""
    script = _LIMITED.format(root=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.duckdb")], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["disk_full", "rolled", "back", "usable"], done.stderr


_LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.workbench.store_kit import add_experiment, lines, log, started
from tests.workbench.store.test_store_opening import big_batch
from workbench.store.local import LocalStore
from workbench.store.operations import GetTrial, Ingest, StoreError
store = LocalStore(Path(sys.argv[1]))
add_experiment(store, "t-1")
store.execute(Ingest(trial="t-1", lines=lines([started()])))
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
try:
    store.execute(Ingest(trial="t-1", lines=big_batch(2)))
except StoreError as error:
    print(error.code)
if store.execute(GetTrial(trial="t-1")).last_seq == 1:
    print("rolled back")
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
if store.execute(Ingest(trial="t-1", lines=big_batch(2))).last_seq == 501:
    print("usable")
store.close()
"""


# --- the size of healthy files --------------------------------------------------------------------


def test_that_a_healthy_file_is_opened_again_however_its_blocks_were_freed(tmp_path: Path) -> None:
    """DuckDB cuts free blocks off the end of a file and goes on numbering them: that is no damage."""
    path = tmp_path / "a.duckdb"
    for turn in range(8):
        store = LocalStore(path)  # raises where the file were taken for damaged
        trial = f"t-{turn}"
        add_experiment(store, trial, experiment=f"e-{turn}")
        size = 4000 if turn % 2 else 400
        store.execute(Ingest(trial=trial, lines=lines([started(), *(log(i, f"{i} " * 60) for i in range(2, size))])))
        if turn % 3 == 2:
            store.execute(DeleteTrials(trials=(f"t-{turn - 1}",)))
        store.close()
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (6,)
