"""A training that ran out of memory says which part was largest and what would fit, and runs nothing by itself."""

from __future__ import annotations

import msgspec
import pytest

from engines.models.lookup.catalogue import find_entry
from engines.protocol.orders import Inference, TechniqueOrder, Training, Workload
from engines.protocol.records import Environment, MemoryParts, MemoryPeak, Record
from tests.workbench.store_kit import START_NS, ended, lines, order, started
from workbench.running.intake import take_in
from workbench.store.local import LocalStore
from workbench.store.operations import AddExperiment, GetStoreId, GetTrial, ListTrials

GIB = 1 << 30
BIG = Training(batch_size=16, sequence_tokens=512)
MEASURED = MemoryParts(
    weights_bytes=GIB // 2,
    gradients_bytes=GIB // 8,
    optimiser_bytes=GIB // 4,
    activations_bytes=GIB,
    temporary_bytes=5 * GIB,
    peak_bytes=7 * GIB,
    method="saved_tensors",
)


def advised(
    store: LocalStore,
    *more: Record,
    workload: Workload = BIG,
    failure: str = "out_of_memory",
    said: str = "Old advice.",
) -> str:
    entry = find_entry("smollm2-135m-instruct")
    assert entry is not None
    asked = msgspec.structs.replace(
        order("t-1", store=store.execute(GetStoreId()), configuration="c-0"),
        model=entry.random_order(),
        techniques=(
            TechniqueOrder(id="precision.float32"),
            TechniqueOrder(id="finetune.lora", parameters={"rank": 8, "target_modules": "all-linear"}),
        ),
        workload=workload,
    )
    store.execute(AddExperiment(experiment="e-1", name="n", definition="", seed=7, orders=(asked,)))
    facts = Environment(facts={"memory.free_bytes": str(16 * GIB), "package.bitsandbytes": "0.50"})
    end = msgspec.structs.replace(ended(0, outcome="failed"), failure=failure, message="Memory ran out.", advice=said)
    told = [
        msgspec.structs.replace(record, seq=seq, t_ns=START_NS + seq)
        for seq, record in enumerate((started(), facts, *more, end), start=1)
    ]
    take_in(store, "t-1", lines(told))
    assert len(store.execute(ListTrials(limit=10))) == 1, "nothing is tried again"
    row = store.execute(GetTrial(trial="t-1"))
    assert row.message == "Memory ran out.", "what happened stays as it was said"
    return str(row.advice)


def test_that_the_estimates_largest_part_and_fair_changes_are_named(store: LocalStore) -> None:
    found = advised(store)
    assert "By the estimate its largest part is activations" in found
    assert "nothing is tried again with other settings" in found
    assert "same effective batch" in found
    assert "Batch 8 × 2: saves 10.5 GiB, no slower" in found


def test_that_a_measured_step_says_which_part_was_largest(store: LocalStore) -> None:
    assert "Its largest part was temporary tensors: 5.00 GiB of 7.00 GiB" in advised(store, MEASURED)


def test_that_the_words_of_the_library_stay(store: LocalStore) -> None:
    said = "Choose a smaller model. (RuntimeError: you tried to allocate 201326592 bytes)"
    found = advised(store, said=said)
    assert found.endswith("(RuntimeError: you tried to allocate 201326592 bytes)")
    assert "Choose a smaller model." not in found


def test_that_a_trial_that_grew_beyond_its_estimate_is_advised_to_save_more(store: LocalStore) -> None:
    grown = advised(store, MemoryPeak(phase="warmup", source="rusage", peak_bytes=400 * GIB))
    assert "No smaller batch, sequence or rank would fit" in grown


def test_that_a_kill_that_may_have_been_memory_is_advised_too(store: LocalStore) -> None:
    assert "largest part" in advised(store, failure="killed")


@pytest.mark.parametrize("failure", ["technique", "engine"])
def test_that_other_failures_keep_their_advice(store: LocalStore, failure: str) -> None:
    assert advised(store, failure=failure) == "Old advice."


def test_that_requests_keep_their_advice(store: LocalStore) -> None:
    assert advised(store, workload=Inference()) == "Old advice."
