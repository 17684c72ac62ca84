"""What makes a training fit: each change fits, the next larger value does not, and what it costs is said."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engines.models.lookup.catalogue import find_entry
from engines.protocol.orders import EngineOrder, TechniqueOrder, Training
from engines.protocol.problems import Fix
from engines.techniques import MachineFacts, ModelFacts
from tests.workbench.plan.test_plan import ONE, probe
from workbench.experiment.experiment import Experiment, TechniqueChoice, WorkloadChoice
from workbench.experiment.fixes import apply_fix
from workbench.plan.memory.changes import Case, fitting_changes, largest
from workbench.plan.plan import Configuration, make_plan

MACHINE = MachineFacts(device_kind="cuda", memory_total_bytes=2**36, packages={"bitsandbytes": "0.50"})
LORA = (
    TechniqueOrder(id="precision.float32"),
    TechniqueOrder(id="finetune.lora", parameters={"rank": 64, "target_modules": "all-linear"}),
)


def smollm() -> ModelFacts:
    entry = find_entry("smollm2-135m-instruct")
    return entry.facts("random")


def case(**load: object) -> Case:
    work = msgspec.structs.replace(Training(batch_size=16, sequence_tokens=512, evaluation_tokens=0), **load)
    return Case(smollm(), LORA, work, EngineOrder(), MACHINE)


@given(st.integers(0, 40), st.integers(1, 40), st.integers(-1, 45))
def test_that_the_largest_that_fits_is_found(limit: int, smallest: int, bound: int) -> None:
    expected = max((n for n in range(smallest, limit + 1) if n <= bound), default=0)
    assert largest(limit, smallest, lambda n: n <= bound) == expected


def with_batch(of: Case, batch: int) -> int:
    return replace_load(of, batch_size=batch, accumulation=16 // batch).needed


def replace_load(of: Case, **changed: object) -> Case:
    return Case(of.facts, of.techniques, msgspec.structs.replace(of.workload, **changed), of.engine, of.machine)


def test_that_the_largest_micro_batch_makes_the_same_step_and_the_next_does_not_fit() -> None:
    whole = case()
    free = with_batch(whole, 4)
    (batch,) = [c for c in fitting_changes(whole, free) if "batch_size" in c.workload]
    assert batch.workload == {"batch_size": 4, "accumulation": 4}
    assert batch.saves_bytes == whole.needed - with_batch(whole, 4) > 0
    assert batch.is_fair
    assert "same effective batch" in batch.note
    (smaller,) = [c for c in fitting_changes(whole, free - 1) if "batch_size" in c.workload]
    assert smaller.workload == {"batch_size": 2, "accumulation": 8}


def test_that_checkpointing_costs_a_forward_pass_more_and_changes_no_result() -> None:
    whole = case()
    free = replace_load(whole, checkpointing=True).needed
    (offered,) = [c for c in fitting_changes(whole, free) if c.workload == {"checkpointing": True}]
    assert offered.slower == pytest.approx(3 / 2, rel=0.01)  # forward, back through frozen weights, forward again
    assert offered.note.endswith("about 1.5× slower; same results")


def test_that_settings_come_together_only_where_no_single_one_is_enough() -> None:
    whole = case()
    free = replace_load(whole, checkpointing=True, batch_size=1, accumulation=16).needed
    offered = fitting_changes(whole, free)
    assert offered
    assert all(len(change.workload) > 1 and change.is_fair for change in offered)
    assert "Checkpointing, batch 1 × 16" in [change.label for change in offered]


def test_that_a_shorter_sequence_or_a_smaller_rank_is_offered_last_and_called_unfair() -> None:
    whole = case(batch_size=2)
    least = replace_load(whole, batch_size=1, accumulation=2)
    free = replace_load(least, sequence_tokens=40).needed
    offered = fitting_changes(whole, free)
    assert [change.label for change in offered] == ["Sequence 40, batch 1 × 2"]
    assert not offered[0].is_fair
    assert "comparable only at the same length" in offered[0].note
    assert replace_load(least, sequence_tokens=41).needed > free
    assert fitting_changes(whole, 2**20) == (), "nothing fits into a mebibyte"


def test_that_a_smaller_rank_fits_and_the_next_does_not() -> None:
    whole = case(batch_size=1, sequence_tokens=16, checkpointing=True, optimiser="adamw-8bit")

    def needed(rank: int) -> int:
        method = TechniqueOrder(id="finetune.lora", parameters={"rank": rank, "target_modules": "all-linear"})
        return Case(whole.facts, (LORA[0], method), whole.workload, whole.engine, whole.machine).needed

    (offered,) = fitting_changes(whole, needed(23))
    assert (offered.rank, offered.label) == (23, "Rank 23")
    assert needed(24) > needed(23)


# --- in a plan ------------------------------------------------------------------------------------------


def cell(free: int, **load: object) -> tuple[Configuration, Experiment]:
    work = WorkloadChoice.of("training", **{"batch_size": 8, "sequence_tokens": 512} | load)  # type: ignore[arg-type]
    asked = Experiment(
        name="tuning",
        models=("a",),
        techniques=(TechniqueChoice("precision.float32"), TechniqueChoice("finetune.lora")),
        workload=work,
    )
    machine = probe()
    device = replace(machine.devices[0], memory_free_bytes=free)
    (first, *_) = make_plan(asked, ONE, replace(machine, devices=(device,))).configurations
    return first, asked


def memory_fixes(found: Configuration) -> list[Fix]:
    (problem,) = [p for p in found.problems if p.message.endswith("too large.")]
    return list(problem.fixes)


def test_that_a_plans_fix_is_applied_and_then_fits() -> None:
    roomy, _ = cell(2**36)
    free = roomy.memory.needed // 2
    tight, asked = cell(free)
    fixes = [fix for fix in memory_fixes(tight) if fix.path == "workload"]
    assert fixes
    for fix in fixes:
        assert "saves" in fix.note
        load = apply_fix(asked, tight.hash, fix).workload
        changed, _ = cell(free, **{name: getattr(load.first, name) for name in dict(fix.value)})  # type: ignore[call-overload]
        assert changed.memory.fits, fix.label


def test_that_a_sweep_of_batches_gets_only_its_own_value_replaced() -> None:
    roomy, _ = cell(2**36)
    tight, asked = cell(roomy.memory.needed // 2, batch_size=(8, 2))
    fixes = memory_fixes(tight)
    assert not [fix for fix in fixes if fix.path == "workload" and "batch_size" in dict(fix.value)]  # type: ignore[call-overload]
    (batch,) = [fix for fix in fixes if fix.path == "workload.batch_size.8"]
    assert batch.value in apply_fix(asked, tight.hash, batch).workload.values("batch_size")
    assert "comparable only at the same batch" in batch.note


def test_that_a_rank_is_replaced_in_its_sweep() -> None:
    _, asked = cell(2**36)
    swept = replace(asked, techniques=(asked.techniques[0], TechniqueChoice("finetune.lora", {"rank": (8, 64)})))
    fixed = apply_fix(swept, "", Fix("Rank 12", "techniques.finetune.lora.rank.64", 12))
    assert fixed.techniques[1].parameters == {"rank": (8, 12)}
    unnamed = apply_fix(asked, "", Fix("Rank 4", "techniques.finetune.lora.rank.8", 4))
    assert unnamed.techniques[1].parameters == {"rank": (4,)}
