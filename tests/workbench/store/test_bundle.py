"""An experiment to a folder of Parquet files and back: nothing lost, nothing doubled, nothing damaged taken in."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.workbench.store_kit import add_experiment, lines
from tests.workbench.synthetic import FakeTrial, records
from workbench.export.records_parquet import export_bundle, import_bundle
from workbench.running.intake import evaluate
from workbench.running.recompute import recompute
from workbench.store.bundles import exporting as bundle
from workbench.store.local import LocalStore
from workbench.store.operations import (
    DeleteTrials,
    GetExperiment,
    GetOrder,
    GetStoreId,
    GetTrial,
    Ingest,
    MetricRow,
    Query,
    ReadRecords,
    SetMetrics,
    StoreError,
)

TRIALS = ("t-1", "t-2")


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[LocalStore, LocalStore]]:
    made = LocalStore(tmp_path / "one.duckdb"), LocalStore(tmp_path / "two.duckdb")
    yield made
    for store in made:
        store.close()


def filled(store: LocalStore) -> None:
    add_experiment(store, *TRIALS, "t-3")
    for number, trial in enumerate(TRIALS):
        store.execute(Ingest(trial=trial, lines=lines(records(FakeTrial(seed=number, new_tokens=8)))))
        evaluate(store, trial)


def test_that_an_experiment_comes_back_as_it_was(stores: tuple[LocalStore, LocalStore], tmp_path: Path) -> None:
    one, two = stores
    filled(one)
    written = export_bundle(one, "", tmp_path / "bundle")
    assert (written.trials, written.left_out) == (2, 1)  # t-3 has not ended
    add_experiment(two, "t-other", experiment="e-other", name="other")
    assert import_bundle(two, tmp_path / "bundle").trials == 2
    for trial in TRIALS:
        assert two.execute(ReadRecords(trial=trial)) == one.execute(ReadRecords(trial=trial))
    before, after = one.execute(GetExperiment(experiment="e-1")), two.execute(GetExperiment(experiment="e-1"))
    assert after.metrics == before.metrics
    assert after.reasons == before.reasons
    assert after.environments == before.environments
    assert after.evaluations == before.evaluations
    assert set(after.evaluations) == set(TRIALS)
    assert [c.title for c in after.configurations] == [c.title for c in before.configurations]
    assert after.experiment.number == 2
    assert [t.number for t in after.trials] == [2, 3]
    assert two.execute(GetOrder(trial="t-1")).store == two.execute(GetStoreId())


def test_that_importing_twice_is_importing_once(stores: tuple[LocalStore, LocalStore], tmp_path: Path) -> None:
    one, two = stores
    filled(one)
    export_bundle(one, "1", tmp_path / "bundle")
    import_bundle(two, tmp_path / "bundle")
    counted = "SELECT (SELECT count(*) FROM samples), (SELECT count(*) FROM trials), (SELECT count(*) FROM metrics)"
    rows = two.execute(Query(sql=counted)).rows
    again = import_bundle(two, tmp_path / "bundle")
    assert (again.trials, again.left_out) == (0, 2)
    assert two.execute(Query(sql=counted)).rows == rows


def test_that_a_deleted_trial_can_be_brought_back_from_a_bundle(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    one, _ = stores
    filled(one)
    export_bundle(one, "", tmp_path / "bundle")
    one.execute(DeleteTrials(trials=("t-1",)))
    assert import_bundle(one, tmp_path / "bundle").trials == 1
    assert one.execute(GetTrial(trial="t-1")).verdict == "warning"
    assert one.execute(Query(sql="SELECT count(*) FROM tombstones")).rows == ((0,),)


def test_that_a_damaged_or_foreign_folder_changes_nothing(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    one, two = stores
    filled(one)
    folder = tmp_path / "bundle"
    export_bundle(one, "", folder)
    samples = folder / "samples.parquet"
    whole = samples.read_bytes()
    samples.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match=r"samples\.parquet of the bundle is missing or not as it was written"):
        import_bundle(two, folder)
    samples.write_bytes(whole)
    (folder / "bundle.json").write_text((folder / "bundle.json").read_text().replace('version": 1', 'version": 99'))
    with pytest.raises(StoreError, match="version 99 of the tables"):
        import_bundle(two, folder)
    with pytest.raises(StoreError, match="no bundle"):
        import_bundle(two, tmp_path)
    with pytest.raises(StoreError, match="holds something else"):
        export_bundle(one, "", tmp_path)
    (folder / "bundle.json").unlink()
    with pytest.raises(StoreError, match="half a bundle"):
        import_bundle(two, folder)
    with pytest.raises(StoreError, match="no bundle"):
        import_bundle(two, samples)
    assert two.execute(Query(sql="SELECT count(*) FROM trials")).rows == ((0,),)


def test_that_an_import_that_fails_in_its_middle_leaves_nothing_behind(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    """Hashes hold, but a table is not what it says: the transaction is rolled back."""
    one, two = stores
    filled(one)
    folder = tmp_path / "bundle"
    export_bundle(one, "", folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    (folder / "metrics.parquet").write_bytes(b"PAR1 nothing")
    manifest["files"]["metrics"]["sha256"] = hashlib.sha256(b"PAR1 nothing").hexdigest()
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"metrics\.parquet of the bundle cannot be read.*Nothing was changed"):
        import_bundle(two, folder)
    for table in ("experiments", "configurations", "trials", "records"):
        assert two.execute(Query(sql=f"SELECT count(*) FROM {table}")).rows == ((0,),)


def test_that_a_full_disk_leaves_the_older_bundle_whole_and_says_where(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    filled(one)
    folder = tmp_path / "bundle"
    export_bundle(one, "", folder)

    def full(path: Path) -> str:
        if path.name.startswith("samples"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return ""

    with monkeypatch.context() as patched:
        patched.setattr(bundle, "file_hash", full)
        with pytest.raises(StoreError, match=r"is full .* The database was not touched") as caught:
            export_bundle(one, "", folder)
    assert "Free some space" in caught.value.advice
    assert not list(folder.glob("*.part"))
    assert import_bundle(two, folder).trials == 2


def test_that_an_experiment_without_an_ended_trial_is_no_bundle(
    stores: tuple[LocalStore, LocalStore], tmp_path: Path
) -> None:
    add_experiment(stores[0], "t-1")
    with pytest.raises(StoreError, match="has ended yet"):
        export_bundle(stores[0], "", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_that_a_bundle_is_replaced_by_a_newer_one(stores: tuple[LocalStore, LocalStore], tmp_path: Path) -> None:
    one, _ = stores
    filled(one)
    for _ in range(2):
        export_bundle(one, "", tmp_path / "bundle")
    assert pyarrow.parquet.read_table(tmp_path / "bundle" / "trials.parquet").num_rows == 2


def test_that_recomputing_adds_new_versions_and_keeps_old_ones(stores: tuple[LocalStore, LocalStore]) -> None:
    one, _ = stores
    filled(one)
    before = one.execute(GetExperiment()).metrics
    old = MetricRow(
        trial="t-1", metric="latency_s", version=0, value=9.0, unit="s", method="", scope="", n=1, reason=""
    )
    wrong = next(m for m in before if (m.trial, m.metric) == ("t-2", "latency_s"))
    one.execute(SetMetrics(trial="t-1", metrics=(old,), reasons=(), verdict="invalid"))
    assert recompute(one) == 2
    after = one.execute(GetExperiment()).metrics
    assert old in after
    assert sorted((m for m in after if m.version), key=str) == sorted(before, key=str)
    assert wrong in after
    assert one.execute(GetTrial(trial="t-1")).verdict == "warning"
    assert recompute(one, "first comparison") == 2
    with pytest.raises(StoreError):
        recompute(one, "e-none")
