"""Which checkpoint a trial is resumed from, and what stands against it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from engines.models import artifacts
from engines.models.artifacts import Made
from engines.protocol.orders import ModelOrder, ResumeOrder
from engines.protocol.problems import ProblemsFound
from engines.protocol.records import Resumed
from tests.workbench.store_kit import add_experiment, ended, lines, started
from workbench.running.resuming import checkpoint_of
from workbench.store.local import LocalStore
from workbench.store.operations import GetTrial, Ingest, TrialRow


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    made = LocalStore(tmp_path / "own.duckdb")
    add_experiment(made, "t-0", "t-1", "t-2", "t-3")
    made.execute(Ingest(trial="t-0", lines=lines((started(), ended(2, outcome="stopped")))))
    made.execute(Ingest(trial="t-1", lines=lines((started(), ended(2)))))
    yield made
    made.close()


def write(place: Path, trial: str, step: int) -> Path:
    base = ModelOrder(ref="tiny", title="tiny", kind="folder", path="/tiny")
    made = Made(artifact="checkpoint", trial=trial, title="tiny", experiment_title="test", step=step, base=base)
    folder = artifacts.place_of(place, trial, artifacts.checkpoint_name(step))
    artifacts.write(folder, made, lambda draft: (draft / "state").write_bytes(bytes(step)))  # type: ignore[arg-type,return-value]
    return folder


def found_in(store: LocalStore, place: Path, row: TrialRow) -> ResumeOrder:
    return checkpoint_of(store, row, partial(artifacts.resumable, place), "Lab")


def refusal(store: LocalStore, place: Path, trial: str) -> str:
    with pytest.raises(ProblemsFound) as refused:
        found_in(store, place, store.execute(GetTrial(trial=trial)))
    return str(refused.value)


def test_that_the_newest_whole_checkpoint_is_taken(store: LocalStore, tmp_path: Path) -> None:
    row = store.execute(GetTrial(trial="t-0"))
    folders = [write(tmp_path, "t-0", step) for step in (5, 10)]
    found = found_in(store, tmp_path, row)
    assert (found.path, found.step, found.trial) == (str(folders[1]), 10, "t-0")
    (folders[1] / "state").write_bytes(b"other")
    assert found_in(store, tmp_path, row).step == 5
    (folders[0] / "state").write_bytes(b"other")
    assert "are damaged" in refusal(store, tmp_path, "t-0")


def test_that_a_trial_that_was_resumed_itself_falls_back_on_where_it_began(store: LocalStore, tmp_path: Path) -> None:
    folder = write(tmp_path, "t-0", 5)
    resumed = Resumed(seq=2, step=5, path=str(folder), sha256="sha256:0")
    store.execute(Ingest(trial="t-2", lines=lines((started(), resumed, ended(3, outcome="failed")))))
    row = store.execute(GetTrial(trial="t-2"))
    assert found_in(store, tmp_path, row).step == 5
    write(tmp_path, "t-2", 10)
    assert found_in(store, tmp_path, row).step == 10


def test_that_what_cannot_be_resumed_says_why(store: LocalStore, tmp_path: Path) -> None:
    assert "no checkpoint on Lab" in refusal(store, tmp_path, "t-0")
    assert "has completed" in refusal(store, tmp_path, "t-1")
    assert "has not ended" in refusal(store, tmp_path, "t-3")
