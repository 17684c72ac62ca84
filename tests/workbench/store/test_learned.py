"""What the store says of trials so that a plan can learn from them, and what is said about a trial afterwards."""

from __future__ import annotations

import msgspec

from tests.workbench.store_kit import add_experiment, ended, lines, order, started
from workbench.store.local import LocalStore
from workbench.store.operations import (
    AddExperiment,
    GetStoreId,
    GetTrial,
    Ingest,
    MemoryRatios,
    MetricRow,
    SetAdvice,
    SetMetrics,
)


def test_that_memory_ratios_are_of_completed_trials_by_these_formulas(store: LocalStore) -> None:
    id = store.execute(GetStoreId())
    expected = {"t-1": (1000, 1), "t-2": (2000, 1), "t-3": (1000, 2), "t-4": (0, 1), "t-5": (1000, 1)}
    orders = tuple(
        msgspec.structs.replace(
            order(trial, store=id, configuration=f"c-{number}"),
            expected_bytes=size,
            expected_by=version,
            device="cuda:GPU-1" if trial == "t-2" else "cpu",
        )
        for number, (trial, (size, version)) in enumerate(expected.items())
    )
    store.execute(AddExperiment(experiment="e-1", name="n", definition="", seed=7, orders=orders))
    for trial in expected:
        outcome = "failed" if trial == "t-5" else "completed"
        store.execute(Ingest(trial=trial, lines=lines([started(), ended(2, outcome=outcome)])))
        rows = tuple(
            MetricRow(trial=trial, metric=metric, version=1, value=value, unit="B", method="", scope="", n=1, reason="")
            for metric, value in (("memory_rss_peak_bytes", 1200.0), ("device_process_peak_bytes", 1800.0))
        )
        store.execute(SetMetrics(trial=trial, metrics=rows, reasons=(), verdict="valid"))
    assert store.execute(MemoryRatios(expected_by=1)) == {"cpu": (1.2,), "cuda": (0.9,)}
    assert store.execute(MemoryRatios(expected_by=2)) == {"cpu": (1.2,)}
    assert store.execute(MemoryRatios(expected_by=1, machine="another")) == {}


def test_that_advice_can_be_made_better(store: LocalStore) -> None:
    add_experiment(store, "t-1")
    store.execute(SetAdvice(trial="t-1", advice="Batch 1 × 16."))
    assert store.execute(GetTrial(trial="t-1")).advice == "Batch 1 × 16."
