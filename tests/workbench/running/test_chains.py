"""Trials that are run again wait for the training of their block, or use the one that has completed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from engines.protocol.orders import ModelOrder, Training, TrialOrder
from engines.protocol.problems import ProblemsFound
from tests.workbench.store_kit import ended, lines, order, started
from workbench.plan.plan import another_order
from workbench.running.chains import linked, trained_by
from workbench.store.local import LocalStore
from workbench.store.operations import AddExperiment, ExperimentDetail, GetExperiment, GetStoreId, Ingest


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    """Two blocks: c-0 trains, c-1 uses its model. The training of block 1 has completed."""
    made = LocalStore(tmp_path / "own.duckdb")
    id = made.execute(GetStoreId())
    batch: list[TrialOrder] = []
    for position, (trial, configuration) in enumerate((("t-0", "c-0"), ("t-1", "c-1"), ("t-2", "c-0"), ("t-3", "c-1"))):
        one = order(trial, store=id, configuration=configuration, position=position)
        if configuration == "c-0":
            batch.append(replace(one, workload=Training(keep="adapter")))
        else:
            batch.append(replace(one, model=ModelOrder(ref="trained:m", title="m", kind="folder", trained="c-0")))
    made.execute(AddExperiment(experiment="e-1", name="chain", definition="schema = 1", seed=7, orders=tuple(batch)))
    made.execute(Ingest(trial="t-0", lines=lines((started(), ended(2)))))
    made.execute(Ingest(trial="t-2", lines=lines((started(), ended(2, outcome="failed")))))
    yield made
    made.close()


def again(detail: ExperimentDetail, configuration: str, block: int) -> TrialOrder:
    of = next(c for c in detail.configurations if c.configuration == configuration)
    return another_order(of, block=block, position=9, seed=7)


def test_that_a_trial_run_again_uses_the_training_of_its_block(store: LocalStore) -> None:
    detail = store.execute(GetExperiment(experiment="e-1"))
    assert trained_by(detail.configurations) == ("c-0",)
    (alone,) = linked([again(detail, "c-1", 0)], detail)
    assert (alone.after.trial, alone.after.artifact) == ("t-0", "adapter")
    first, second = linked([again(detail, "c-1", 1), again(detail, "c-0", 1)], detail)
    assert first.after.trial == second.trial
    assert second.after is None


def test_that_a_trial_whose_training_failed_is_not_run_again_alone(store: LocalStore) -> None:
    detail = store.execute(GetExperiment(experiment="e-1"))
    with pytest.raises(ProblemsFound, match="was not trained in this block"):
        linked([again(detail, "c-1", 1)], detail)
