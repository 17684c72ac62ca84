"""`compare` on stored training trials: basis, seeds, and what a loss chosen now took."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest

from engines.protocol.orders import TechniqueOrder
from engines.protocol.work import Training
from tests.workbench.store_kit import lines, order
from tests.workbench.synthetic_training import Run, training, training_detail
from workbench.cli.main import main
from workbench.cli.tables import print_comparison
from workbench.comparison.comparison import compare
from workbench.running.intake import evaluate
from workbench.store.local import LocalStore
from workbench.store.operations import AddExperiment, GetStoreId, Ingest, Losses


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two methods on three seeds; the second reaches 2.2 in two of its trials."""
    path = tmp_path / "test.duckdb"
    store = LocalStore(path)
    id = store.execute(GetStoreId())
    ends = {"t-00": 2.0, "t-01": 2.1, "t-10": 2.02, "t-11": 2.15, "t-20": 2.01, "t-21": 2.3}
    orders = tuple(
        msgspec.structs.replace(
            order(trial, store=id, configuration=f"c-{trial[-1]}", position=i),
            block=int(trial[2]),
            workload=Training(steps=10, warmup_steps=2, learning_rate=1e-3),
            techniques=(TechniqueOrder(id="finetune.lora", parameters={"rank": 8 * (1 + int(trial[-1]))}),),
        )
        for i, trial in enumerate(ends)
    )
    store.execute(AddExperiment(experiment="e-1", name="tuned", definition="", seed=1, orders=orders))
    for trial, loss in ends.items():
        said = training({0: 4.0, 6: 3.0, 12: loss}, test=loss)
        store.execute(Ingest(trial=trial, lines=lines(said)))
        evaluate(store, trial)
    store.close()
    return path


def test_that_compare_says_basis_verdict_seeds_and_what_a_loss_took(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLM_WORKBENCH_HOME", str(tmp_path))
    code = main(["compare", "--database", str(database), "--difference", "0.05", "--target-loss", "2.2"])
    said = capsys.readouterr().out
    assert code == 0
    assert "Training compared at equal steps: 12." in said
    assert "One learning rate: may rank rates, not methods." in said
    assert "With 3 seeds, differences under " in said
    assert "A difference of 5 % needs " in said
    assert "chosen after the trials" in said
    assert "LoRA (rank 16) reached the target loss in 2 of 3 trials (probability 9 to 99 %), in a median of" in said


def test_that_ranks_of_three_methods_are_a_table_of_spans(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [Run(f"finetune.lora rank={r}", 1e-3, loss) for r, loss in ((2, 2.0), (4, 2.001), (16, 1.5))]
    print_comparison(compare(training_detail(runs, seeds=5)))
    said = capsys.readouterr().out
    (row,) = [line for line in said.splitlines() if line.startswith("Test loss  ")]
    assert row.split("parameters  ")[1].startswith("LoRA (rank 16) 1, LoRA (rank ")
    assert row.endswith(" 2 to 3")
    print_comparison(compare(training_detail(runs[:2], seeds=5)))
    assert "rank by" not in capsys.readouterr().out


def test_that_earlier_losses_are_found_by_configuration_and_seed(database: Path) -> None:
    store = LocalStore(database)
    found = store.execute(Losses(configurations=("c-0", "c-9")))
    store.close()
    assert found == {"c-0": {"e-1 0": 2.0, "e-1 1": 2.02, "e-1 2": 2.01}}


@pytest.mark.parametrize("share", ["0", "1", "5 %x", "-0.1"])
def test_that_a_difference_is_a_share(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--difference", share])
    assert "--difference" in capsys.readouterr().err


def test_that_an_export_has_the_losses_along_the_way_as_a_table_and_as_charts(
    database: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLM_WORKBENCH_HOME", str(tmp_path))
    to = tmp_path / "out"
    assert main(["export", "--database", str(database), "--to", str(to), "--format", "csv,svg"]) == 0
    courses = [
        to / f"tuned-loss-against-{what}.svg" for what in ("training-steps", "tokens-trained-on", "training-time")
    ]
    listed = capsys.readouterr().out.splitlines()
    assert {str(p) for p in (*courses, to / "tuned-courses.csv")} <= set(listed)
    assert not (to / "tuned-loss-against-energy-of-training.svg").exists(), "energy was not measured"
    text = (to / "tuned-courses.csv").read_text()
    assert "# Training compared at equal steps: 12." in text
    assert "t-21, joules: " in text
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    assert len(rows) == 6 * 13, "every step of every trial, and the beginning"
    one = [r for r in rows if r["trial"] == "t-21"]
    assert [(r["step"], r["held_out_loss"]) for r in one if r["held_out_loss"]] == [
        ("0", "4.0"),
        ("6", "3.0"),
        ("12", "2.3"),
    ]
    assert (one[0]["training_loss"], one[1]["training_loss"], one[0]["tokens"]) == ("", "4.0", "0")
    assert (one[12]["tokens"], one[12]["seconds"], one[12]["joules"]) == ("768", "15.0", "")


def test_that_a_chosen_metric_alone_is_drawn_without_courses(
    database: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LLM_WORKBENCH_HOME", str(tmp_path))
    to = tmp_path / "out"
    assert (
        main(["export", "--database", str(database), "--to", str(to), "--format", "svg", "--metrics", "test_loss"]) == 0
    )
    assert [p.name for p in to.iterdir()] == ["tuned-test-loss.svg"]
