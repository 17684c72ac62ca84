"""Damaged databases made whole again: from what can be read, from spools and from copies, and the damaged file kept."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from engines.protocol.codec import decode_record
from engines.protocol.places import HOME_VARIABLE
from engines.protocol.records import LostRecord, Record, Stamps, Telemetry
from engines.runner.spools.spool import SpoolWriter
from tests.house import ROOT
from tests.small_disk import small_disk
from tests.workbench.store_kit import START_NS, add_experiment, ended, lines, log, order, started
from workbench.cli import OK, STORE
from workbench.cli.main import main
from workbench.running.intake import judge_leftovers
from workbench.store.local import LocalStore
from workbench.store.operations import (
    AddSamples,
    GetStoreId,
    GetTrial,
    Ingest,
    ListExperiments,
    ListTrials,
    Query,
    ReadRecords,
    SetNote,
    StoreError,
)
from workbench.store.salvage import Salvaged, salvage
from workbench.store.sharing import lockfile

TRIALS = [f"t-{n}" for n in range(8)]
HEADER = 12_288
BLOCK = 262_144


def said(trial: str) -> list[Record]:
    """What a trial says; random text, so that the file has many blocks."""
    rng = random.Random(trial)
    body: list[Record] = []
    for seq in range(2, 1500):
        now = START_NS + seq * 1_000_000
        if seq % 3 == 0:
            body.append(Telemetry(seq=seq, t_ns=now, source="s", times_ns=[now], columns={"rss_bytes": [rng.random()]}))
        elif seq % 3 == 1:
            body.append(Stamps(seq=seq, t_ns=now, first=seq, times_ns=[now]))
        else:
            body.append(log(seq, rng.randbytes(150).hex()))
    return [started(), *body, ended(1500)]


class Made:
    """A closed database, and what it is compared with."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "a.duckdb"
        self.spools = folder / "spools"
        self.spools.mkdir()
        store = LocalStore(self.path)
        self.id = store.execute(GetStoreId())
        add_experiment(store, *TRIALS)
        for trial in TRIALS:
            store.execute(Ingest(trial=trial, lines=lines(said(trial))))
        store.execute(SetNote(experiment="e-1", note="kept"))
        store.execute(
            AddSamples(trial="t-3", source="wall", quantity="power_watts", times_ns=(1, 2), values=(1.0, 2.0))
        )
        judge_leftovers(store)
        self.records = records_of(store)
        store.close()

    def spool(self, trials: Sequence[str] = tuple(TRIALS)) -> None:
        for trial in trials:
            position = int(trial.removeprefix("t-"))
            mine = order(trial, store=self.id, configuration=f"c-{position % 2}", position=position)
            writer = SpoolWriter.create(self.spools / trial, mine)
            writer.append(said(trial))
            writer.clear()
            writer.close()

    def damage(self, at: int, length: int = 64) -> None:
        with self.path.open("rb+") as file:
            file.seek(at)
            file.write(os.urandom(length))

    def repaired(self) -> Salvaged:
        before = hashlib.sha256(self.path.read_bytes()).digest()
        try:
            done = salvage(self.path, self.spools)
        except StoreError as error:
            pytest.skip(str(error))  # the block is free, or the one that says where the others are
        assert hashlib.sha256(done.kept.read_bytes()).digest() == before, "the damaged file is kept as it was"
        assert done.database == self.path
        assert sorted(p.name for p in self.path.parent.iterdir()) == sorted(
            ["a.duckdb", "a.duckdb.lock", "spools", done.kept.name]
        )
        return done


def records_of(store: LocalStore) -> dict[str, list[Record]]:
    rows = store.execute(ListTrials())
    return {row.trial: [decode_record(line) for line in store.execute(ReadRecords(trial=row.trial))] for row in rows}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def opened(path: Path) -> Iterator[LocalStore]:
    store = LocalStore(path)
    judge_leftovers(store)
    yield store
    store.close()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.55, 0.7, 0.99])
def test_that_what_a_damaged_block_took_comes_from_spools(made: Made, share: float) -> None:
    made.spool()
    made.damage(HEADER + int((made.path.stat().st_size - HEADER) * share))
    done = made.repaired()
    assert done.trials == len(TRIALS)
    assert done.incomplete == ()
    for store in opened(made.path):
        assert store.execute(GetStoreId()) == made.id
        assert records_of(store) == made.records
        assert store.execute(Query(sql="SELECT count(*) FROM trials WHERE verdict IS NULL")).rows == ((0,),)
        assert store.execute(Query(sql="SELECT count(*), count(DISTINCT (trial, seq)) FROM records")).rows == (
            (len(TRIALS) * 1500, len(TRIALS) * 1500),
        )


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.55, 0.7, 0.99])
def test_that_without_spools_what_is_lost_has_stand_ins_and_makes_its_trial_invalid(made: Made, share: float) -> None:
    made.damage(HEADER + int((made.path.stat().st_size - HEADER) * share))
    done = made.repaired()
    assert bool(done.incomplete) <= bool(done.unread)
    for store in opened(made.path):
        found = records_of(store)
        for trial, records in found.items():
            whole = made.records[trial]
            assert [r.seq for r in records] == [r.seq for r in whole]
            assert all(isinstance(r, LostRecord) or r == s for r, s in zip(records, whole, strict=True))
            lost = any(isinstance(r, LostRecord) for r in records)
            assert (trial in done.incomplete) == lost
            if lost:
                assert store.execute(GetTrial(trial=trial)).verdict == "invalid"
        assert done.trials == len(found)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_that_a_file_cut_short_is_rebuilt_from_spools(made: Made, share: float) -> None:
    made.spool()
    os.truncate(made.path, int(made.path.stat().st_size * share))
    done = made.repaired()
    assert (done.trials, done.incomplete) == (len(TRIALS), ())
    for store in opened(made.path):
        assert store.execute(GetStoreId()) == made.id, "spools and queue still belong to it"
        assert records_of(store) == made.records
        (experiment,) = store.execute(ListExperiments())
        assert (experiment.name, experiment.trials) == ("first comparison", len(TRIALS))


def test_that_trials_which_no_spool_has_come_from_the_copy_of_a_migration(made: Made) -> None:
    made.path.with_name("a.v4.backup.duckdb").write_bytes(made.path.read_bytes())
    made.spool(TRIALS[:2])
    made.path.write_bytes(os.urandom(50_000))
    done = salvage(made.path, made.spools)
    assert (done.trials, done.incomplete) == (len(TRIALS), ())
    for store in opened(made.path):
        assert records_of(store) == made.records
        assert store.execute(ListExperiments())[0].note == "kept"
        assert store.execute(Query(sql="SELECT count(*) FROM samples WHERE seq = 0")).rows == ((2,),)


def test_that_an_old_copy_gets_the_newer_trials_of_the_spools(made: Made) -> None:
    """Numbers are not given out twice, and a trial that was deleted stays deleted."""
    store = LocalStore(made.path)
    with store._connection.cursor() as cursor:
        cursor.execute("DELETE FROM trials WHERE trial IN ('t-6', 't-7')")
        cursor.execute("INSERT INTO tombstones VALUES ('t-7', now()::TIMESTAMP)")
    store.close()
    made.spool()
    made.damage(HEADER + BLOCK * 5)
    done = made.repaired()
    assert done.trials == len(TRIALS) - 1
    for store in opened(made.path):
        numbers = [row.number for row in store.execute(ListTrials())]
        assert len(set(numbers)) == len(numbers)
        assert records_of(store)["t-6"] == made.records["t-6"]


def test_that_a_damaged_log_costs_only_what_came_after_the_damage(made: Made) -> None:
    subprocess.run([sys.executable, "-c", _DIES.format(root=str(ROOT)), str(made.path)], check=True)
    log_file = made.path.with_name("a.duckdb.wal")
    with log_file.open("rb+") as file:
        file.seek(log_file.stat().st_size * 2 // 3)
        file.write(os.urandom(16))
    with pytest.raises(StoreError) as caught:
        LocalStore(made.path)
    assert caught.value.code == "damaged"
    done = salvage(made.path, made.spools)
    assert done.kept.with_name(f"{done.kept.name}.wal").exists()
    for store in opened(made.path):
        last = store.execute(GetTrial(trial="t-new")).last_seq
        assert 10 < last < 40
        assert len(store.execute(ReadRecords(trial="t-new"))) == last
        assert {trial: records for trial, records in records_of(store).items() if trial != "t-new"} == made.records


_DIES = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.house import ROOT
from tests.workbench.store_kit import add_experiment, lines, log, started
from workbench.store.local import LocalStore
from workbench.store.operations import Ingest
store = LocalStore(Path(sys.argv[1]))
add_experiment(store, "t-new", experiment="e-2")
store.execute(Ingest(trial="t-new", lines=lines([started()])))
for seq in range(2, 41):
    store.execute(Ingest(trial="t-new", lines=lines([log(seq)])))
os._exit(0)
"""


def test_that_nothing_takes_the_place_of_a_file_of_which_nothing_was_found(made: Made) -> None:
    made.path.write_bytes(os.urandom(50_000))
    before = hashlib.sha256(made.path.read_bytes()).digest()
    assert "Nothing of a.duckdb can be read" in str(refused(made.path))
    assert hashlib.sha256(made.path.read_bytes()).digest() == before


def test_that_the_command_repairs_and_says_what_it_did(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    assert main(["repair", "--database", str(made.path)]) == STORE
    assert "is not damaged" in capsys.readouterr().err
    made.path.write_bytes(os.urandom(50_000))
    made.spools = tmp_path / "home" / "state" / "spools"
    made.spools.mkdir(parents=True)
    made.spool()
    assert main(["repair", "--database", str(made.path)]) == OK
    said = capsys.readouterr().out
    assert f"is repaired: {len(TRIALS)} trials." in said
    (kept,) = made.path.parent.glob("a.damaged-*.duckdb")
    assert f"kept as {kept}" in said
    for store in opened(made.path):
        assert {row.verdict for row in store.execute(ListTrials())} != {None}
        assert records_of(store) == made.records


def refused(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        salvage(path, path.parent / "spools")
    assert caught.value.advice
    return caught.value


def test_that_a_sound_database_is_left_alone(made: Made) -> None:
    before = hashlib.sha256(made.path.read_bytes()).digest()
    assert refused(made.path).code == "healthy"
    assert hashlib.sha256(made.path.read_bytes()).digest() == before
    assert sorted(p.name for p in made.path.parent.iterdir()) == ["a.duckdb", "a.duckdb.lock", "spools"]


def test_that_nothing_is_repaired_while_somebody_has_it_open(made: Made) -> None:
    lock = lockfile.try_lock(made.path)
    assert lock is not None
    assert refused(made.path).code == "locked"
    lock.release()


def test_that_a_missing_file_is_no_damaged_one(tmp_path: Path) -> None:
    assert "cannot be used" in str(refused(tmp_path / "none.duckdb"))
    assert not (tmp_path / "none.duckdb").exists()


def test_that_a_repair_that_fails_leaves_the_damaged_file_in_its_place(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.damage(HEADER + BLOCK * 5)
    before = hashlib.sha256(made.path.read_bytes()).digest()

    def fail(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("workbench.store.salvage._sync", fail)
    assert refused(made.path).code == "disk_full"
    assert hashlib.sha256(made.path.read_bytes()).digest() == before


def test_that_a_full_disk_is_told_and_nothing_is_left_half_made(made: Made, tmp_path: Path) -> None:
    size = made.path.stat().st_size
    with small_disk(tmp_path / "small", size + size // 2) as folder:
        path = folder / "a.duckdb"
        path.write_bytes(made.path.read_bytes())
        with path.open("rb+") as file:
            file.seek(HEADER + BLOCK * 5)
            file.write(os.urandom(64))
        before = hashlib.sha256(path.read_bytes()).digest()
        assert refused(path).code == "disk_full"
        assert hashlib.sha256(path.read_bytes()).digest() == before
        assert sorted(p.name for p in folder.iterdir()) == ["a.duckdb", "a.duckdb.lock"]
