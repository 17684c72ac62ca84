"""`clean` removes what deleted trials have left, and nothing that something else uses."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from engines.models import artifacts
from engines.models.artifacts import Made
from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places
from engines.protocol.records import Resumed
from tests.workbench.store_kit import add_experiment, ended, lines, order, started
from workbench.cli.main import main
from workbench.store.local import LocalStore
from workbench.store.operations import AddExperiment, GetStoreId, Ingest


@pytest.fixture
def store(home: Places) -> LocalStore:
    home.data.mkdir(parents=True)
    return LocalStore(home.database)


def write(home: Places, trial: str, name: str = "adapter", base: str = "/base", size: int = 1 << 20) -> Path:
    folder = artifacts.place_of(home.artifacts, trial, name)
    made = Made(
        artifact="checkpoint" if name.startswith("step") else name,  # type: ignore[arg-type]
        trial=trial, title=f"tiny · {trial}", experiment_title="ranks", step=4,
        base=ModelOrder(ref="tiny", title="tiny", kind="folder", path=base),
    )  # fmt: skip
    artifacts.write(folder, made, lambda draft: (draft / "w.safetensors").write_bytes(bytes(size)) and None)
    return folder


def run(store: LocalStore, *trials: str, outcome: str = "completed") -> None:
    for trial in trials:
        store.execute(Ingest(trial=trial, lines=lines((started(), ended(2, outcome=outcome)))))


def add_user(store: LocalStore, trial: str, model: Path) -> None:
    """A trial of another experiment whose model is an artifact."""
    made = order(trial, store=store.execute(GetStoreId()), experiment="e-2")
    chosen = ModelOrder(ref="x", title="x", kind="folder", path="/base", adapter=str(model))
    made = msgspec.structs.replace(made, model=chosen)
    store.execute(AddExperiment(experiment="e-2", name="use", definition="", seed=1, orders=(made,)))
    run(store, trial)


def listed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert main(["clean", "--json"]) == 0
    return [Path(found["path"]).name for found in json.loads(capsys.readouterr().out)]


def test_that_what_deleted_trials_left_is_listed_with_its_size_and_removed(
    home: Places, store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    add_experiment(store, "t-gone", "t-here")
    run(store, "t-gone", "t-here")
    gone, kept = write(home, "t-gone"), write(home, "t-here")
    write(home, "t-gone", "step-4")
    foreign = write(home, "t-of-another-database")
    store.close()
    assert main(["delete", "1", "--yes"]) == 0
    assert "What they have trained stays, 2.00 MiB" in capsys.readouterr().out
    assert main(["clean"]) == 0
    said = capsys.readouterr().out
    assert "adapter and checkpoint of tiny · t-gone, deleted from “ranks”" in said
    assert "2.00 MiB" in said
    assert gone.is_dir(), "nothing is removed without --yes"
    assert main(["clean", "--yes"]) == 0
    assert not gone.parent.exists()
    assert kept.is_dir()
    assert foreign.is_dir()
    assert main(["clean", "--yes"]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_that_a_model_that_a_trial_used_stays_and_so_does_what_it_was_trained_on(
    home: Places, store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    add_experiment(store, "t-first", "t-second", "t-third")
    run(store, "t-first", "t-second", "t-third")
    first = write(home, "t-first", "model")
    second = write(home, "t-second", base=str(first))
    write(home, "t-third")
    add_user(store, "t-user", second)
    store.close()
    assert main(["delete", "--experiment", "1", "--yes"]) == 0
    assert listed(capsys) == ["t-third"]
    assert main(["delete", "--experiment", "2", "--yes"]) == 0
    assert listed(capsys) == ["t-first", "t-second", "t-third"]


def test_that_a_checkpoint_that_a_stopped_trial_continued_from_stays(
    home: Places, store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    add_experiment(store, "t-first", "t-again")
    run(store, "t-first", outcome="stopped")
    point = write(home, "t-first", "step-4")
    said = Resumed(seq=2, step=4, path=str(point), sha256="")
    store.execute(Ingest(trial="t-again", lines=lines((started(), said, ended(3, outcome="stopped")))))
    store.close()
    assert main(["delete", "1", "--yes"]) == 0
    assert listed(capsys) == []


def test_that_nothing_is_removed_while_trials_wait(
    home: Places, store: LocalStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.cli.clean.unfinished", lambda _store: 1)
    add_experiment(store, "t-gone")
    run(store, "t-gone")
    gone = write(home, "t-gone")
    store.close()
    assert main(["delete", "1", "--yes"]) == 0
    assert main(["clean", "--yes"]) == 2
    assert "1 trial not ended" in capsys.readouterr().err
    assert gone.is_dir()
