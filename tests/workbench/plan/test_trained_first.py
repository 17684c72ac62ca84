"""A model that the experiment trains itself: its file, its cells, their order, and what stands against it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import Package, ProbeResult
from engines.protocol.orders import Training
from engines.protocol.problems import Problem
from tests.builders import probe_result, processor
from tests.tiny_model import make_tiny_model
from workbench.experiment.experiment import Experiment
from workbench.experiment.file import dump, parse
from workbench.experiment.fixes import apply_fix
from workbench.plan.plan import Plan, make_plan, orders, with_seed

GIB = 2**30
FILE = """
name = "train, then int8"
models = ["MODEL", "trained:lora"]
techniques.precision = ["float32", "int8"]
workload = { perplexity_tokens = 512 }
run = { trials = 2 }

[trained.lora]
model = "MODEL"
techniques = { finetune = ["lora"] }
workload = { steps = 20, sequence_tokens = 64 }
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "tiny")


def machine(*without: str) -> ProbeResult:
    names = ("torch", "transformers", "accelerate", "torchao", "peft")
    packages = tuple(Package(name=name, version="1") for name in names if name not in without)
    return probe_result(processor(8 * GIB, 8 * GIB), packages=packages)


def experiment(tiny: Path, text: str = FILE) -> Experiment:
    found, problems = parse(text.replace("MODEL", str(tiny)))
    assert found is not None, problems
    return found


def planned(found: Experiment, tiny: Path, *without: str) -> Plan:
    looked: dict[str, ResolvedModel | Problem] = {str(tiny): resolve(str(tiny), None, tiny)}  # type: ignore[arg-type]
    return make_plan(found, looked, machine(*without))


def errors(plan: Plan) -> list[str]:
    return [p.message for p in plan.problems if p.severity == "error"]


def test_that_the_file_comes_back_as_it_was(tiny: Path) -> None:
    found = experiment(tiny)
    (lora,) = found.trained
    assert (lora.name, lora.model, lora.ref) == ("lora", str(tiny), "trained:lora")
    assert isinstance(lora.workload.first, Training)
    assert (lora.workload.first.keep, lora.workload.first.steps) == ("model", 20)
    again, problems = parse(dump(found))
    assert again == found
    assert not problems


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[trained.lora]\ntechniques.finetune = 'lora'", "does not say what is trained"),
        ("[trained]\nlora = 3", "trained.lora is a table"),
        ("[trained.lora]\nmodel = 'm'\nworkload.keep = 'nothing'", "has to be kept"),
        ("[trained.lora]\nmodel = 'm'\nworkload.stepps = 3", "Unknown key"),
        ("[trained.lora]\nmodel = 'm'\nsteps = 3", "Unknown key"),
        ("[trained.'a b']\nmodel = 'm'", "cannot be the name"),
        ("[trained.lora]\nmodel = 'm'\ntechniques.finetune = 'lorra'", "Unknown technique"),
    ],
)
def test_that_mistakes_are_named_by_line(line: str, said: str) -> None:
    found, problems = parse(f"models = ['m']\n{line}\n")
    assert found is None
    assert any(said in p.message and p.place.startswith("line ") for p in problems), problems


def test_that_training_comes_first_in_every_block_and_is_compared_with_last(tiny: Path) -> None:
    plan = planned(experiment(tiny), tiny)
    assert not errors(plan)
    assert [c.title for c in plan.configurations] == [
        "tiny · float32",
        "tiny · int8",
        "tiny · LoRA (trained) · float32",
        "tiny · LoRA (trained) · int8",
        "tiny · LoRA",
    ]
    train = plan.configurations[-1]
    assert plan.first == (train.hash,)
    assert [hash for _, hash in plan.order][::5] == [train.hash] * 2
    assert len(plan.order) == 10
    for cell in plan.configurations[2:4]:
        note = "Runs after tiny · LoRA in each block, with the model that it keeps."
        assert note in [p.message for p in cell.problems if p.severity == "note"]


def test_that_each_trial_waits_for_the_training_of_its_block(tiny: Path) -> None:
    plan = with_seed(planned(experiment(tiny), tiny))
    batch = orders(plan, store="s", experiment="e")
    train = plan.first[0]
    by_trial = {order.trial: order for order in batch}
    waits = [order for order in batch if order.after is not None]
    assert len(waits) == 4
    for order in waits:
        parent = by_trial[order.after.trial]
        assert (parent.configuration, parent.block, order.after.artifact) == (train, order.block, "model")
        assert parent.position < order.position
        assert order.model.trained == train


def test_that_what_is_trained_decides_the_hash(tiny: Path) -> None:
    def hashes(text: str) -> list[str]:
        return [c.hash for c in planned(experiment(tiny, text), tiny).configurations]

    first, other = hashes(FILE), hashes(FILE.replace("steps = 20", "steps = 21"))
    assert first[:2] == other[:2]
    assert not set(first[2:]) & set(other[2:])
    assert len(set(first)) == 5


def test_that_an_adapter_may_be_used_unmerged_and_merged(tiny: Path) -> None:
    text = FILE.replace("steps = 20", 'keep = "adapter", steps = 20').replace(
        "techniques.precision", 'techniques.adapter = ["unmerged", "merged"]\ntechniques.precision'
    )
    plan = planned(experiment(tiny, text.replace('"MODEL", "trained', '"trained')), tiny)
    assert not errors(plan)
    assert all(c.runnable for c in plan.configurations)
    assert len(plan.configurations) == 5
    batch = orders(with_seed(plan), store="s", experiment="e")
    assert {order.after.artifact for order in batch if order.after} == {"adapter"}


def test_that_what_uses_a_model_that_cannot_be_trained_says_so(tiny: Path) -> None:
    plan = planned(experiment(tiny), tiny, "peft")
    blocked = plan.configurations[2:]
    assert not any(c.runnable for c in blocked)
    said = [p.message for p in blocked[0].problems if p.severity == "error"]
    assert said == ["tiny · LoRA, which trains its model, cannot run: Needs peft: pip install peft"]
    assert {hash for _, hash in plan.order} == {c.hash for c in plan.configurations[:2]}
    found = experiment(tiny)
    skip = msgspec.structs.replace(found.run, skip=(planned(found, tiny).first[0],))
    plan = planned(msgspec.structs.replace(found, run=skip), tiny)
    assert "was left out" in next(p.message for p in plan.configurations[2].problems if p.severity == "error")


def test_that_no_fix_of_the_training_changes_what_is_compared(tiny: Path) -> None:
    for line in ('stop_at = "tokens"', 'optimiser = "adamw-8bit"', "sequence_tokens = 1000000", "batch_size = 4096"):
        found = experiment(tiny, FILE.replace("steps = 20, sequence_tokens = 64", line))
        plan = planned(found, tiny)
        problems = [*plan.problems, *plan.configurations[-1].problems]
        assert any(p.severity == "error" for p in problems)
        for fix in (fix for problem in problems for fix in problem.fixes):
            changed = apply_fix(found, plan.configurations[-1].hash, fix)
            assert (changed.workload, changed.techniques) == (found.workload, found.techniques), fix


def test_that_only_one_configuration_is_one_model(tiny: Path) -> None:
    text = FILE.replace("sequence_tokens = 64", "learning_rate = [1e-3, 1e-4]")
    assert errors(planned(experiment(tiny, text), tiny)) == ["It describes 2 configurations; a trained model is one."]
    unknown = planned(experiment(tiny, FILE.replace("trained:lora", "trained:dora")), tiny)
    assert errors(unknown) == ["The experiment has no [trained.dora]."]
    assert any("used by nothing" in p.message for p in unknown.problems)
