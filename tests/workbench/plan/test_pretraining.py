"""Pretraining in a plan: what a shape becomes with the vocabulary of its text, what it needs, and what follows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.data.own import FoundData, find_own
from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import Device, Package, ProbeResult
from engines.protocol.orders import AnyTraining, EngineOrder, ModelOrder, Pretraining
from engines.protocol.places import places
from engines.protocol.problems import Problem
from workbench.experiment.experiment import Experiment
from workbench.experiment.file import dump, parse
from workbench.experiment.presets import presets
from workbench.plan.identity import configuration_hash
from workbench.plan.plan import Plan, make_plan, orders, with_seed

GIB = 2**30
PLAIN = """
models = ["shape/tiny"]
workload = { kind = "pretraining", vocabulary_tokens = [1000, 2000], learning_rate = 0.003 }
run = { trials = 2 }
"""
CHAIN = """
models = ["trained:tuned"]
techniques.precision = ["float32", "int8"]
workload = { perplexity_tokens = 512 }
run = { trials = 1 }
[trained.tuned]
model = "trained:base"
techniques = { finetune = "lora" }
workload = { steps = 20 }
[trained.base]
model = "shape/tiny"
workload = { kind = "pretraining", steps = 9 }
"""


HERE = Device(id="cpu", title="cpu", memory_total_bytes=8 * GIB, memory_free_bytes=8 * GIB)


def machine(device: Device) -> ProbeResult:
    names = ("torch", "transformers", "accelerate", "torchao", "peft", "native-sparse-attention-pytorch")
    packages = tuple(Package(name=name, version="1") for name in names)
    return ProbeResult(machine="here", devices=(device,), sensors=(), packages=packages, facts={})


def experiment(text: str) -> Experiment:
    found, problems = parse(text)
    assert found is not None, problems
    return found


def planned(text: str, base: Path = Path(), device: Device = HERE) -> Plan:
    found = experiment(text)
    refs = (*found.models, *(t.model for t in found.trained))
    looked: dict[str, ResolvedModel | Problem] = {ref: resolve(ref, places(), base) for ref in refs}
    own = {t.name: find_own(t.workload.first, base) for t in found.trained}
    return make_plan(found, looked, machine(device), own=find_own(found.workload.first, base), own_of_trained=own)


def errors(plan: Plan) -> list[str]:
    of_cells = (p for c in plan.configurations for p in c.problems)
    return [p.message for p in (*plan.problems, *of_cells) if p.severity == "error"]


@pytest.mark.parametrize("text", [PLAIN, CHAIN])
def test_that_the_file_comes_back_as_it_was(text: str) -> None:
    found = experiment(text)
    again, problems = parse(dump(found))
    assert again == found
    assert not problems


def test_that_parameters_are_those_of_the_vocabulary_and_all_are_trained() -> None:
    plan = planned(PLAIN)
    assert not errors(plan)
    small, large = plan.configurations
    hidden = small.model.config["hidden_size"]
    assert large.memory.parameters - small.memory.parameters == 1000 * hidden, "a row of embeddings for each token"
    for memory in (small.memory, large.memory):
        assert memory.trained_parameters == memory.parameters
        assert (memory.weights, memory.gradients) == (4 * memory.parameters,) * 2
        assert memory.optimiser == 8 * memory.parameters
    assert small.expected_s > 0


def test_that_the_estimate_of_time_grows_with_the_steps() -> None:
    short, long = (planned(PLAIN.replace("learning_rate = 0.003", f"steps = {steps}")) for steps in (100, 10_000))
    assert long.expected_s > 10 * short.expected_s


def test_that_a_fine_tuning_method_and_an_unknown_shape_are_refused() -> None:
    with_method = planned(PLAIN + '[techniques]\nfinetune = "lora"\n')
    assert any("LoRA has no effect on pretraining" in message for message in errors(with_method))
    unknown = planned(PLAIN.replace("shape/tiny", "shape/tniy"))
    assert "Did you mean 'tiny'?" in [p.hint for p in unknown.problems]


def test_that_the_text_is_hashed_when_it_is_planned_and_its_name_does_not_count(tmp_path: Path) -> None:
    hashes = []
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("One line.\n\n" * 900)
        plan = planned(PLAIN.replace("learning_rate", f'data = "{name}", learning_rate'), tmp_path)
        assert not errors(plan)
        hashes.append([cell.hash for cell in plan.configurations])
        load = plan.configurations[0].workload
        assert isinstance(load, Pretraining)
        assert load.data == str(tmp_path / name)
        assert load.data_hash.startswith("sha256:")
    assert hashes[0] == hashes[1]
    missing = planned(PLAIN.replace("learning_rate", 'data = "c.txt", learning_rate'), tmp_path)
    assert any("no file" in message for message in errors(missing))


def test_that_a_model_is_pretrained_then_fine_tuned_then_quantised() -> None:
    plan = planned(CHAIN)
    assert not errors(plan)
    base, tuned, *used = orders(with_seed(plan), store="s", experiment="e")
    assert [type(order.workload).__name__ for order in (base, tuned)] == ["Pretraining", "Training"]
    assert tuned.after.trial == base.trial
    assert [order.after.trial for order in used if order.after is not None] == [tuned.trial] * 2
    assert all(isinstance(o.workload, AnyTraining) and o.workload.keep == "model" for o in (base, tuned))


def test_that_what_cannot_be_trained_stops_all_that_follows() -> None:
    broken = planned(CHAIN.replace("steps = 9", "sequence_tokens = 1000000"))
    assert [c.runnable for c in broken.configurations] == [False] * 4
    circle = planned(CHAIN.replace('"shape/tiny"', '"trained:tuned"'))
    assert any("trained from it" in message for message in errors(circle))
    gone = planned(CHAIN.replace('"trained:base"', '"trained:other"'))
    assert any("no [trained.other]" in message for message in errors(gone))


def test_that_what_a_pretraining_is_measured_from_never_changes() -> None:
    model = ModelOrder(ref="shape/tiny", title="tiny", kind="random", fingerprint="f")
    assert find_own(Pretraining(), Path()) == FoundData(data="built-in")
    plain = configuration_hash(model, (), Pretraining(), EngineOrder())
    assert plain == configuration_hash(model, (), Pretraining(data_hash="", beta2=0.95), EngineOrder())
    assert plain == "a46290bdcedda03360550900293e22780b45340ae1401948f15aa28ecea9272a"
    assert configuration_hash(model, (), Pretraining(vocabulary_tokens=4097), EngineOrder()) != plain


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("steps = 7", "trains on 20,480 tokens."),
        ("steps = [7, 17]", "trains on 20,480 to 40,960 tokens."),
        ('stop_at = "tokens", token_budget = 5000', "trains on 8,192 tokens."),
        ('stop_at = "time", time_budget_s = 9.0, steps = 7', "trains on 20,480 tokens at the most."),
    ],
)
def test_that_the_plan_says_how_many_tokens_a_trial_trains_on(line: str, said: str) -> None:
    """8 sequences of 256 tokens a step, 3 steps of warm-up; a budget is spent at the end of a step, and one step after
    the warm-up is made in any case."""
    plan = planned(PLAIN.replace("learning_rate = 0.003", line))
    assert [p.message for p in plan.problems if "tokens" in p.message] == [f"Each trial {said}"]


@pytest.mark.parametrize("id", ["pretraining-starter", "efficientllm-architectures"])
def test_that_the_presets_can_run_where_there_is_room_with_equal_tokens_and_matched_sizes(id: str) -> None:
    preset = next(p for p in presets() if p.id == id)
    large = Device(id="cpu", title="cpu", memory_total_bytes=80 * GIB, memory_free_bytes=80 * GIB)
    plan = planned(dump(preset.experiment), device=large)
    assert not errors(plan)
    assert len(plan.configurations) >= 4
    sizes = [cell.memory.parameters for cell in plan.configurations]
    assert max(sizes) < 1.02 * min(sizes)
    assert [p.message for p in plan.problems if "trains on" in p.message]
    if id == "pretraining-starter":
        assert 240 < plan.expected_s < 1800, "minutes, on one core"
