"""From an experiment to configurations, blocks and orders."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engines.models.lookup.catalogue import find_entry
from engines.models.lookup.facts import facts_of_config
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import Device, Package, ProbeResult
from engines.protocol.orders import EngineOrder, ModelOrder, TechniqueOrder, Training
from engines.protocol.problems import Fix, Problem
from engines.techniques import MachineFacts, ModelFacts, find
from engines.techniques.layers import Layers
from workbench.experiment.experiment import EngineSettings, Experiment, RunSettings, TechniqueChoice, WorkloadChoice
from workbench.experiment.file import dump, parse
from workbench.experiment.fixes import apply_fix, leave_out, take_in
from workbench.experiment.presets import presets
from workbench.machines.facts import visible
from workbench.plan import identity as hashes
from workbench.plan.estimates import estimate_seconds
from workbench.plan.plan import (
    Configuration,
    History,
    block_order,
    command_line,
    make_plan,
    new_id,
    orders,
    with_seed,
)

GIB = 2**30
PACKAGES = tuple(Package(name=name, version="1") for name in ("torch", "transformers", "torchao"))
CPU = Device(
    id="cpu",
    title="EPYC",
    memory_total_bytes=32 * GIB,
    memory_free_bytes=24 * GIB,
    details={"cores": "4", "threads_default": "3"},
)
GPU = Device(id="cuda:GPU-1", title="H200", memory_total_bytes=139 * GIB, memory_free_bytes=138 * GIB)


def probe(*devices: Device) -> ProbeResult:
    return ProbeResult(machine="here", devices=devices or (CPU,), sensors=(), packages=PACKAGES, facts={})


def random_model(id: str = "smollm2-135m-instruct") -> ResolvedModel:
    entry = find_entry(id)
    return ResolvedModel(order=entry.random_order(), facts=entry.facts("random"), quality_available=False)


def experiment(*models: str, precisions: tuple[str, ...] = ("float32", "int8"), **more: object) -> Experiment:
    return Experiment(
        name="test",
        models=models or ("a",),
        techniques=tuple(TechniqueChoice(f"precision.{p}") for p in precisions),
        **more,  # type: ignore[arg-type]
    )


ONE = {"a": random_model()}
PEFT = replace(
    probe(), packages=(*PACKAGES, *(Package(name=name, version="1") for name in ("peft", "bitsandbytes", "accelerate")))
)


def messages(plan_problems: tuple[Problem, ...]) -> str:
    return " ".join(str(p) for p in plan_problems)


# --- configurations --------------------------------------------------------------------------------


def test_that_a_plan_is_the_product_of_models_techniques_and_sweeps() -> None:
    plan = make_plan(
        experiment("a", "b", workload=WorkloadChoice.of(prompt_tokens=(128, 512)), run=RunSettings(trials=3)),
        {"a": random_model(), "b": random_model("qwen2.5-0.5b-instruct")},
        probe(),
    )
    assert len(plan.configurations) == 8
    assert plan.trials == 24
    assert [c.color for c in plan.configurations] == list(range(8))
    first = plan.configurations[0]
    assert first.title == "SmolLM2-135M-Instruct (random weights) · float32 · 128 prompt tokens"
    assert first.technique_title("precision") == "float32"
    assert first.technique_title("attention") == ""
    assert len({c.hash for c in plan.configurations}) == 8
    assert plan.by_hash(first.hash) is first
    assert plan.expected_s == pytest.approx(3 * sum(c.expected_s for c in plan.configurations))


def test_that_an_axis_nobody_named_is_absent_but_weights_have_a_precision() -> None:
    plan = make_plan(experiment(precisions=()), ONE, probe())
    (cell,) = plan.configurations
    assert cell.techniques == (), "an axis that is not named is not in the order"
    assert [t.id for t in cell.applied] == ["precision.float32"]
    assert (cell.technique_title("precision"), cell.technique_title("kv_cache")) == ("float32", "")
    (named,) = make_plan(experiment(precisions=("float32",)), ONE, probe()).configurations
    assert cell.hash == named.hash, "the same is run"
    assert cell.title == "SmolLM2-135M-Instruct (random weights)"


def test_that_a_technique_for_other_work_is_refused_with_a_hint() -> None:
    tuned = replace(experiment(precisions=("float32",)), techniques=(TechniqueChoice("finetune.lora"),))
    (cell,) = make_plan(tuned, ONE, probe()).configurations
    assert not cell.runnable
    assert "LoRA has no effect on inference. It is for training" in messages(cell.problems)


def test_that_training_needs_a_technique_to_train_by_and_counts_what_it_adds() -> None:
    training = experiment(precisions=("float32",), workload=WorkloadChoice.of("training"))
    (without,) = make_plan(training, ONE, probe()).configurations
    assert "Training needs a technique that says which parameters it changes" in messages(without.problems)
    assert without.memory.optimiser == 0
    tuned = replace(training, techniques=(*training.techniques, TechniqueChoice("finetune.lora", {"rank": (8,)})))
    (cell,) = make_plan(tuned, ONE, probe()).configurations
    # 30 layers: q and o 576 x 576, k and v 576 x 192, the feed-forward 576 x 1536
    trained = 8 * 30 * (2 * (576 + 576) + 2 * (576 + 192) + 3 * (576 + 1536))
    assert cell.memory.trained_parameters == trained
    assert (cell.memory.gradients, cell.memory.optimiser) == (4 * trained, 8 * trained)
    assert not [p for p in cell.problems if p.severity == "error" and "peft" not in p.message]


def test_that_what_stands_against_a_method_as_it_is_used_has_fixes() -> None:
    training = experiment(precisions=(), workload=WorkloadChoice.of("training"))
    prompt = replace(training, techniques=(TechniqueChoice("finetune.prompt"),))
    (cell,) = make_plan(prompt, ONE, PEFT).configurations
    fix = cell.problems[0].fixes[0]
    assert (fix.path, fix.value) == ("workload.packing", False)
    assert make_plan(apply_fix(prompt, "", fix), ONE, PEFT).configurations[0].runnable
    pissa = (TechniqueChoice("precision.nf4"), TechniqueChoice("finetune.pissa"))
    (cell,) = make_plan(replace(training, techniques=pissa), ONE, PEFT).configurations
    problem = next(p for p in cell.problems if p.severity == "error")
    assert "PiSSA" in problem.message
    offered = {str(fix.value) for fix in problem.fixes if fix.path.startswith("techniques.")}
    assert offered == {"finetune.lora", "finetune.lora-plus"}, "both run on 4 bits"


def test_that_qlora_brings_its_precision_unless_another_is_named() -> None:
    training = experiment(precisions=(), workload=WorkloadChoice.of("training"))
    qlora = TechniqueChoice("finetune.qlora")
    (cell,) = make_plan(replace(training, techniques=(qlora,)), ONE, PEFT).configurations
    assert cell.runnable, messages(cell.problems)
    assert [t.id for t in cell.applied] == ["finetune.qlora", "precision.nf4"]
    (named,) = make_plan(
        replace(training, techniques=(TechniqueChoice("precision.nf4"), qlora)), ONE, PEFT
    ).configurations
    assert named.hash == cell.hash, "the same is run"
    both = (TechniqueChoice("precision.float32"), TechniqueChoice("precision.nf4"), qlora)
    cells = make_plan(replace(training, techniques=both), ONE, PEFT).configurations
    assert [cell.runnable for cell in cells] == [False, True]


def test_that_random_weights_leave_perplexity_out_and_say_so() -> None:
    (cell, _) = make_plan(experiment(), ONE, probe()).configurations
    assert cell.inference.perplexity_tokens == 0
    assert cell.runnable
    assert "Quality is not measured" in messages(cell.problems)


def test_that_a_technique_without_its_package_is_an_error_with_fixes() -> None:
    bare = msgspec.structs.replace(probe(), packages=PACKAGES[:2])
    plan = make_plan(experiment(), ONE, bare)
    cell = plan.configurations[1]
    assert not cell.runnable
    (problem,) = [p for p in cell.problems if p.severity == "error"]
    assert "pip install torchao" in problem.message
    assert [f.label for f in problem.fixes] == ["Install torchao", "Use bfloat16", "Use float16", "Leave out"]
    assert plan.trials == 5


def test_that_a_prompt_longer_than_the_context_offers_one_that_fits() -> None:
    longer = experiment(precisions=("float32",), workload=WorkloadChoice.of(prompt_tokens=(128, 8190)))
    plan = make_plan(longer, ONE, probe())
    (problem,) = [p for p in plan.configurations[1].problems if p.severity == "error"]
    assert "more than the 8,192" in problem.message
    fixed = apply_fix(longer, plan.configurations[1].hash, problem.fixes[0])
    assert fixed.workload.values("prompt_tokens") == (128, 8128)
    assert all(c.runnable for c in make_plan(fixed, ONE, probe()).configurations)


LLAMA = msgspec.structs.replace(
    probe(), packages=(*PACKAGES, *(Package(name=name, version="1") for name in ("llama-cpp-python", "gguf")))
)


def llama(*caches: str, engine: EngineSettings | None = None, **workload: tuple[int, ...]) -> Experiment:
    """An experiment of Q8_0 with these KV caches."""
    chosen = ("precision.q8_0", *(f"kv_cache.{cache}" for cache in caches))
    return Experiment(
        models=("a",),
        techniques=tuple(TechniqueChoice(id) for id in chosen),
        workload=WorkloadChoice.of(**workload),
        engine=engine or EngineSettings(),
    )


def errors(cell: Configuration) -> list[Problem]:
    return [p for p in cell.problems if p.severity == "error"]


@pytest.mark.parametrize(
    ("lengths", "label", "fixed"),
    [
        ((8000, 128, 64), "Depth 8000", None),
        ((8100, 128, 64), "Depth 8000", (8000, 128, 64)),
        ((100, 8100, 64), "Depth 28", (28, 8100, 64)),
        ((100, 8192, 64), "Prompt 8028", (100, 8028, 64)),
        ((8192, 1, 64), "Depth 8127", (8127, 1, 64)),
        ((0, 8192, 64), "Prompt 8128", (0, 8128, 64)),
        ((0, 100, 9000), "8092 new tokens", (0, 100, 8092)),
        ((50, 60, 9000), "8082 new tokens", (50, 60, 8082)),
        ((0, 9000, 9000), "", None),
    ],
)
def test_that_a_fix_of_a_context_that_is_too_long_counts_the_depth_and_fits(
    lengths: tuple[int, int, int], label: str, fixed: tuple[int, int, int] | None
) -> None:
    depth, prompt, new = lengths
    asked = llama(depth_tokens=(depth,), prompt_tokens=(prompt,), new_tokens=(new,))
    (cell,) = make_plan(asked, ONE, LLAMA).configurations
    if sum(lengths) <= 8192:
        assert cell.runnable
        return
    (problem,) = errors(cell)
    assert f"{prompt:,} prompt and {new:,} new tokens are more than the 8,192" in problem.message
    assert (f"A depth of {depth:,}" in problem.message) == (depth > 0)
    assert [f.label for f in problem.fixes[:-1]] == ([label] if label else [])
    if fixed:
        mended = apply_fix(asked, cell.hash, problem.fixes[0])
        load = mended.workload
        assert (*load.values("depth_tokens"), *load.values("prompt_tokens"), *load.values("new_tokens")) == fixed
        assert make_plan(mended, ONE, LLAMA).configurations[0].runnable


def test_that_what_llama_cpp_refuses_is_known_before_anything_runs() -> None:
    roomy = msgspec.structs.replace(
        LLAMA, devices=(msgspec.structs.replace(CPU, memory_free_bytes=2**50, memory_total_bytes=2**50),)
    )
    few = EngineSettings(own={"batch_tokens": 4})
    off = EngineSettings(own={"flash_attention": "off"})
    for asked, said, label in (
        (llama(batch_size=(300,)), "at most 256 sequences, not 300", "Batch 256"),
        (llama(batch_size=(8,), engine=few), "4 tokens submitted at once", "Batch tokens 8"),
        (llama("q4_0", engine=off), "needs flash attention", "Flash attention auto"),
        (llama("q4_0", engine=off), "needs flash attention", "Use full"),
    ):
        (cell,) = make_plan(asked, ONE, roomy).configurations
        (problem,) = errors(cell)
        assert said in problem.message
        fix = next(f for f in problem.fixes if f.label == label)
        (mended,) = make_plan(apply_fix(asked, cell.hash, fix), ONE, roomy).configurations
        assert mended.runnable, messages(mended.problems)
    for fine in (llama(engine=off), llama("q4_0"), llama(batch_size=(256,))):
        assert make_plan(fine, ONE, roomy).configurations[0].runnable
    many = experiment(precisions=("float32",), workload=WorkloadChoice.of(batch_size=(300,)))
    assert make_plan(many, ONE, roomy).configurations[0].runnable, "transformers holds more"


def test_that_a_model_without_a_tokenizer_says_what_is_missing_of_its_trials() -> None:
    model = random_model()
    facts = msgspec.structs.replace(model.facts, kind="folder", has_tokenizer=False)
    order = msgspec.structs.replace(model.order, kind="folder", path="/m", fingerprint="f")
    bare = {"a": ResolvedModel(order=order, facts=facts, quality_available=False)}
    asked = experiment(precisions=("float32", "q8_0"), workload=WorkloadChoice.of(prompt_file="", text_tokens=5))
    hf, gguf = make_plan(asked, bare, LLAMA).configurations
    assert hf.runnable
    (warning,) = [p for p in hf.problems if p.severity == "warning"]
    assert "prompts are random tokens, and quality is not measured" in warning.message
    assert "tokenizer.json" in warning.hint
    assert (hf.inference.perplexity_tokens, hf.inference.text_tokens) == (0, 0)
    assert [p.severity for p in gguf.problems] == ["error"]
    assert "holds no tokenizer" in messages(gguf.problems)


def test_that_what_does_not_fit_offers_a_batch_and_a_precision_that_do() -> None:
    small = msgspec.structs.replace(CPU, memory_free_bytes=2 * GIB)
    big = experiment(precisions=("float32",), workload=WorkloadChoice.of(batch_size=(1, 256), prompt_tokens=(512,)))
    plan = make_plan(big, ONE, probe(small))
    assert plan.configurations[0].runnable
    (problem,) = [p for p in plan.configurations[1].problems if p.severity == "error"]
    assert "too large" in problem.message
    assert "2.00 GiB are free" in problem.hint
    labels = [f.label for f in problem.fixes]
    assert labels[0].startswith("Batch ")
    assert labels[-1] == "Leave out"
    fixed = apply_fix(big, plan.configurations[1].hash, problem.fixes[0])
    assert all(c.runnable for c in make_plan(fixed, ONE, probe(small)).configurations)


def test_that_a_precision_is_offered_only_where_it_fits() -> None:
    one = {"a": random_model("llama-3.2-1b-instruct")}
    wide = experiment(precisions=("float32",))
    for free, offered in ((4 * GIB, ["Use bfloat16", "Use float16"]), (GIB, [])):
        plan = make_plan(wide, one, probe(msgspec.structs.replace(CPU, memory_free_bytes=free)))
        (problem,) = [p for p in plan.configurations[0].problems if p.severity == "error"]
        assert [f.label for f in problem.fixes if f.label.startswith("Use")] == offered


def test_that_little_memory_left_is_a_warning() -> None:
    (cell,) = make_plan(experiment(precisions=("float32",)), ONE, probe()).configurations
    tight = msgspec.structs.replace(CPU, memory_free_bytes=int(cell.memory.needed * 1.05))
    (cell,) = make_plan(experiment(precisions=("float32",)), ONE, probe(tight)).configurations
    assert cell.runnable
    assert "would be left" in messages(tuple(p for p in cell.problems if p.severity == "warning"))


def of_config(**config: object) -> ResolvedModel:
    facts = facts_of_config(
        config, kind="folder", parameters=10, linear_parameters=8, stored_bytes=40, stored_dtype="float32"
    )
    return ResolvedModel(order=ModelOrder(ref="a", title="A", kind="folder", path="/a"), facts=facts)


def test_that_a_model_that_writes_no_text_does_not_run_and_the_plan_says_why() -> None:
    reward = of_config(model_type="llama", architectures=["LlamaForSequenceClassification"], num_hidden_layers=2)
    plan = make_plan(experiment(), {"a": reward}, probe())
    assert plan.trials == 0
    for cell in plan.configurations:
        (problem,) = cell.problems
        assert problem.severity == "error"
        assert "LlamaForSequenceClassification is a classifier or reward model" in problem.message
        assert [fix.path for fix in problem.fixes] == ["skip"]


def test_that_attention_a_model_does_not_have_stops_it_and_of_one_without_any_does_not_matter() -> None:
    sizes = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}
    gemma = {"a": of_config(model_type="gemma2", **sizes)}
    plan = make_plan(experiment(precisions=("float32",)), gemma, probe())
    (problem,) = (p for p in plan.configurations[0].problems if p.severity == "error")
    assert "no sdpa attention for gemma2" in problem.message
    assert ("engine.attention", "eager") in [(fix.path, fix.value) for fix in problem.fixes]
    mended = apply_fix(experiment(precisions=("float32",)), plan.configurations[0].hash, problem.fixes[0])
    assert make_plan(mended, gemma, probe()).trials > 0
    mamba = make_plan(experiment(precisions=("float32",)), {"a": of_config(model_type="mamba", **sizes)}, probe())
    assert mamba.trials > 0
    assert "the attention backend does not matter" in messages(mamba.configurations[0].problems)


def test_that_a_plan_says_so_where_the_size_of_the_cache_is_not_available() -> None:
    model = random_model()
    unknown = msgspec.structs.replace(model.facts, attention=Layers(unknown="config.json has an odd key"))
    odd = msgspec.structs.replace(model, facts=unknown)
    plan = make_plan(experiment(), {"a": odd}, probe())
    told = "The size of the KV cache is not available: config.json has an odd key."
    assert all(told in messages(cell.problems) for cell in plan.configurations)
    assert plan.trials == make_plan(experiment(), ONE, probe()).trials, "a note, no obstacle"
    assert told not in str(make_plan(experiment(), ONE, probe()))


def test_that_unknown_models_and_devices_are_problems_of_the_whole_plan() -> None:
    wrong = Problem(severity="error", place="b", message="Unknown model.")
    asked = experiment("a", "b", run=RunSettings(machines=("this/cuda:0",)))
    plan = make_plan(asked, {**ONE, "b": wrong}, probe())
    assert wrong in plan.problems
    assert "this/cpu" in messages(plan.problems)
    assert plan.order == ()
    assert "No model is chosen" in messages(make_plan(Experiment(), {}, probe()).problems)


def test_that_this_means_the_gpu_where_there_is_one() -> None:
    assert {c.device for c in make_plan(experiment(), ONE, probe(CPU, GPU)).configurations} == {"cuda:GPU-1"}


@pytest.mark.parametrize(
    ("variables", "seen"),
    [
        ({}, "ABC"),
        ({"CUDA_VISIBLE_DEVICES": ""}, ""),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, ""),
        ({"CUDA_VISIBLE_DEVICES": "GPU-b"}, "B"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-"}, ""),
        ({"CUDA_VISIBLE_DEVICES": "2, 0"}, "ABC"),
        ({"CUDA_VISIBLE_DEVICES": "2, 0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, "AC"),
        ({"CUDA_VISIBLE_DEVICES": "1,3,0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, "B"),
    ],
)
def test_that_a_hidden_gpu_is_not_chosen(variables: dict[str, str], seen: str) -> None:
    """Unlike GPUs have numbers of their own in CUDA, unless the order is the bus's: a number then hides nothing."""
    gpus = [Device(id=f"cuda:GPU-{n.lower()}1", title=n, memory_total_bytes=1, memory_free_bytes=1) for n in "ABC"]
    shown = visible(probe(*gpus, CPU), variables)
    assert "".join(d.title for d in shown.devices if d.id != "cpu") == seen
    assert CPU in shown.devices


def test_that_a_number_means_one_gpu_where_all_are_alike() -> None:
    gpus = [Device(id=f"cuda:GPU-{n}", title="same", memory_total_bytes=1, memory_free_bytes=1) for n in "ab"]
    assert visible(probe(*gpus), {"CUDA_VISIBLE_DEVICES": "1"}).devices == (gpus[1],)


def test_that_two_devices_make_configurations_of_their_own_with_the_same_beginning() -> None:
    both = experiment(precisions=("float32",), run=RunSettings(machines=("this/cpu", "this/cuda:0")))
    on_cpu, on_gpu = make_plan(both, ONE, probe(CPU, GPU)).configurations
    assert on_cpu.hash.partition("@")[0] == on_gpu.hash.partition("@")[0]
    assert (on_cpu.device, on_gpu.device) == ("cpu", "cuda:GPU-1")
    assert hashes.short(on_cpu.hash).endswith("@cpu")
    assert on_gpu.title.endswith("H200")


def test_that_two_names_of_one_model_run_once_with_a_warning() -> None:
    plan = make_plan(experiment("a", "b", precisions=("float32",)), {"a": random_model(), "b": renamed("b")}, probe())
    assert len(plan.configurations) == 1
    assert "runs once" in messages(plan.problems)


def renamed(ref: str) -> ResolvedModel:
    model = random_model()
    return msgspec.structs.replace(model, order=msgspec.structs.replace(model.order, ref=ref))


def test_that_a_sweep_too_large_is_refused_before_it_is_made() -> None:
    sweep = tuple(range(1, 1001))
    huge = experiment(workload=WorkloadChoice.of(prompt_tokens=sweep, new_tokens=sweep, batch_size=sweep))
    plan = make_plan(huge, ONE, probe())
    assert plan.configurations == ()
    assert "2,000,000,000 configurations" in messages(plan.problems)


def test_that_known_times_replace_the_estimate_and_scale_the_others() -> None:
    plan = make_plan(experiment(), ONE, probe())
    first, second = plan.configurations
    better = make_plan(experiment(), ONE, probe(), History({first.hash: (first.expected_s * 3,)}))
    assert better.configurations[0].expected_s == pytest.approx(first.expected_s * 3)
    assert better.configurations[1].expected_s == pytest.approx(second.expected_s * 3)


def test_that_parameter_sweeps_multiply_and_show_in_titles(monkeypatch: pytest.MonkeyPatch) -> None:
    from engines.protocol.settings import Setting
    from engines.techniques import Technique
    from workbench.plan import cells as plan_cells
    from workbench.plan import labels

    fake = Technique(
        id="precision.fake",
        title="fake",
        sentence="",
        source="",
        implementation="",
        parameters=(Setting("group", "Group", "int", 64, 1, 512), Setting("fast", "Fast", "bool", True)),
        bits=4,
        changes="linear",
    )
    monkeypatch.setattr(plan_cells, "find", lambda _id: fake)
    monkeypatch.setattr(labels, "find", lambda _id: fake)
    swept = Experiment(models=("a",), techniques=(TechniqueChoice("precision.fake", {"group": (32, 64)}),))
    cells = make_plan(swept, ONE, probe()).configurations
    assert [c.technique_title("precision") for c in cells] == ["fake (group 32)", "fake"]
    assert cells[0].techniques[0].parameters == {"group": 32, "fast": True}
    assert cells[0].hash != cells[1].hash


# --- leaving out, order, orders --------------------------------------------------------------------


def test_that_a_configuration_left_out_stays_in_the_plan_and_out_of_the_order() -> None:
    plan = make_plan(experiment(), ONE, probe())
    gone = plan.configurations[0].hash
    for written in (gone, hashes.short(gone)):
        less = msgspec.structs.replace(experiment(), run=RunSettings(skip=(written,)))
        smaller = make_plan(less, ONE, probe())
        assert smaller.skipped == (gone,)
        assert len(smaller.configurations) == 2
        assert gone not in {hash for _, hash in smaller.order}
        assert take_in(less, gone).run.skip == ()
    assert leave_out(leave_out(experiment(), gone), gone).run.skip == (gone,)
    stale = make_plan(msgspec.structs.replace(experiment(), run=RunSettings(skip=("0" * 12,))), ONE, probe())
    assert "no configuration of this experiment" in messages(stale.problems)


@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.lists(st.text("0123456789abcdef", min_size=8), unique=True))
def test_that_every_block_is_a_permutation_and_the_seed_decides_it(seed: int, blocks: int, names: list[str]) -> None:
    order = block_order(seed, blocks, names)
    for block in range(blocks):
        assert sorted(name for b, name in order if b == block) == sorted(names)
    assert [b for b, _ in order] == sorted(b for b, _ in order)
    assert order == block_order(seed, blocks, names)


def _rows(seed: int, blocks: int, count: int) -> list[list[str]]:
    order = block_order(seed, blocks, [str(i) for i in range(count)])
    return [[name for b, name in order if b == block] for block in range(blocks)]


def test_that_pairs_of_blocks_and_seeds_differ_in_their_order() -> None:
    rows = _rows(7, 4, 20)
    assert len({tuple(row) for row in rows}) == 4
    assert rows[0] != _rows(8, 1, 20)[0]


@given(st.integers(0, 2**32 - 1), st.integers(0, 11), st.integers(1, 30))
def test_that_a_steady_drift_falls_on_all_configurations_alike(seed: int, blocks: int, count: int) -> None:
    """Over whole pairs of blocks every configuration has the same mean place; more blocks leave those before as they
    are."""
    rows = _rows(seed, blocks, count)
    whole = rows[: blocks // 2 * 2]
    assert len({sum(row.index(str(i)) for row in whole) for i in range(count)}) == 1
    assert _rows(seed, blocks + 3, count)[:blocks] == rows


def test_that_two_configurations_never_run_in_one_order_in_three_blocks_and_either_may_be_first() -> None:
    for seed in range(200):
        assert len({tuple(row) for row in _rows(seed, 3, 2)}) == 2
    assert {_rows(seed, 1, 2)[0][0] for seed in range(20)} == {"0", "1"}


def test_that_an_experiment_without_a_seed_draws_one_for_each_run_and_one_with_a_seed_keeps_it() -> None:
    four = ("float32", "bfloat16", "float16", "int8")
    plan = make_plan(experiment(precisions=four, run=RunSettings(trials=4)), ONE, probe())
    assert plan.experiment.seed is None
    first, second = with_seed(plan), with_seed(plan)
    assert first.experiment.seed is not None
    assert first.experiment.seed != second.experiment.seed
    hashes = [c.hash for c in plan.configurations]
    assert first.order == block_order(first.experiment.seed, 4, hashes)
    named = make_plan(first.experiment, ONE, probe())
    assert with_seed(named) == named
    assert named.order == first.order, "the stored experiment runs in the same order again"
    assert with_seed(make_plan(Experiment(), {}, probe())).order == ()
    with pytest.raises(ValueError, match="no seed"):
        orders(plan, store="s", experiment="e-1")


def test_that_orders_carry_everything_and_their_ids_sort_as_they_run() -> None:
    swept = experiment(run=RunSettings(trials=20, telemetry_hz=0))
    plan = with_seed(make_plan(swept, ONE, probe()))
    batch = orders(plan, store="s", experiment="e-1")
    assert len(batch) == 40
    ids = [order.trial for order in batch]
    assert ids == sorted(ids)
    assert len(set(ids)) == 40
    assert [(o.block, o.configuration) for o in batch] == list(plan.order)
    assert [o.position for o in batch] == list(range(40))
    assert {o.total for o in batch} == {40}
    assert not batch[0].telemetry.enabled
    assert not batch[0].allow_network
    assert new_id("e").startswith("e-")
    assert len(new_id("t")) == 23


def test_that_only_a_hub_model_may_use_the_network() -> None:
    facts = ModelFacts(kind="hub", architecture="", parameters=0, stored_bytes=0, stored_dtype="")
    hub = ResolvedModel(order=ModelOrder(ref="o/n", title="n", kind="hub", path="o/n"), facts=facts)
    plan = with_seed(make_plan(experiment("o/n"), {"o/n": hub}, probe()))
    assert all(o.allow_network for o in orders(plan, store="s", experiment="e"))
    assert {c.expected_s for c in plan.configurations} == {0.0}


# --- hashes ----------------------------------------------------------------------------------------


def test_that_precise_runs_and_gpus_start_workers_plainly() -> None:
    def methods(trials: int, written: str = "auto") -> list[str]:
        run = RunSettings(trials=trials, machines=("this/cpu", "this/cuda:0"))
        made = experiment(precisions=("float32",), run=run, engine=EngineSettings(start_method=written))
        return [c.engine.start_method for c in make_plan(made, ONE, probe(CPU, GPU)).configurations]

    assert methods(3) == methods(9) == ["template", "plain"]
    assert methods(10) == ["plain", "plain"]
    assert methods(10, "template") == ["template", "template"]
    assert methods(3, "plain") == ["plain", "plain"]


def test_that_seed_trials_machine_and_limits_do_not_change_the_hash() -> None:
    base = make_plan(experiment(precisions=("float32",)), ONE, probe()).configurations[0].hash
    other = experiment(
        precisions=("float32",), seed=8, run=RunSettings(trials=1, telemetry_hz=1.0, machines=("this/cuda:GPU-1",))
    )
    assert make_plan(other, ONE, probe(CPU, GPU)).configurations[0].hash == base


# --- fixes, presets, command line ------------------------------------------------------------------


def test_that_fixes_change_models_techniques_and_plain_keys() -> None:
    start = experiment("a.b", "c", precisions=("float32", "int8"))
    assert apply_fix(start, "", Fix("", "models.a.b", "random:gpt2")).models == ("random:gpt2", "c")
    assert apply_fix(start, "", Fix("", "models.a.b", None)).models == ("c",)
    assert apply_fix(start, "", Fix("", "run.trials", 5)).run.trials == 5
    changed = apply_fix(start, "", Fix("", "techniques.precision.float32", "precision.bfloat16"))
    assert [c.id for c in changed.techniques] == ["precision.bfloat16", "precision.int8"]
    merged = apply_fix(start, "", Fix("", "techniques.precision.float32", "precision.int8"))
    assert [c.id for c in merged.techniques] == ["precision.int8"]
    added = apply_fix(experiment(precisions=()), "", Fix("", "techniques.precision.float32", "precision.int8"))
    assert [c.id for c in added.techniques] == ["precision.int8"]
    with pytest.raises(ValueError, match="no way"):
        apply_fix(start, "", Fix("", "nothing.at.all", 1))


def test_that_presets_are_whole_and_the_demo_is_first() -> None:
    found = presets()
    assert found[0].id == "demo"
    assert found[0].experiment.run.trials == 3
    assert found[0].experiment.workload.values("perplexity_tokens")[0] == 512
    assert all(p.sentence and p.experiment.models for p in found)


def test_that_the_methods_on_the_starter_take_two_hours_at_the_most_on_two_cores() -> None:
    preset = next(p for p in presets() if p.id == "finetuning-starter").experiment
    entry = find_entry("smollm2-135m-instruct")
    facts = entry.facts("folder")
    (load,) = preset.workload.each()
    machine, engine = MachineFacts(device_kind="cpu"), EngineOrder(id="transformers", threads=2)
    of_each = [
        estimate_seconds(facts, (TechniqueOrder(id=choice.id, parameters=technique.defaults()),), load, engine, machine)
        for choice in preset.techniques
        if (technique := find(choice.id)) is not None
    ]
    assert len(of_each) >= 9
    assert 600 < preset.run.trials * sum(of_each) < 7200
    assert isinstance(load, Training)
    assert load.sequence_tokens >= 512, "docstrings are up to so long"


def test_that_a_rate_of_its_own_that_is_not_used_is_named() -> None:
    text = (
        'models = ["a"]\ntechniques.finetune = { id = "lora", learning_rate = 1e-3 }\n[workload]\nkind = "training"\n'
    )
    for rate, said in ((0.0, False), (1e-3, False), (1e-4, True)):
        asked, problems = parse(f"{text}learning_rate = {rate}")
        assert asked is not None, problems
        (cell,) = make_plan(asked, ONE, probe()).configurations
        warned = [p for p in cell.problems if "rate of [workload]" in p.message]
        assert bool(warned) == said
        for fix in (fix for p in warned for fix in p.fixes):
            assert apply_fix(asked, cell.hash, fix).workload.values("learning_rate") == (0.0,)


@pytest.mark.parametrize(("rank", "said"), [(8, False), (4096, True)])
def test_that_adapters_larger_than_their_model_are_a_warning(rank: int, said: bool) -> None:
    method = f'techniques.finetune = {{ id = "lora", rank = {rank} }}'
    asked, problems = parse(f'models = ["a"]\n{method}\n[workload]\nkind = "training"\n')
    assert asked is not None, problems
    (cell,) = make_plan(asked, ONE, probe()).configurations
    warned = [p for p in cell.problems if "more than the" in p.message and p.severity == "warning"]
    assert bool(warned) == said


def test_that_the_command_line_quotes_its_file() -> None:
    assert command_line(Experiment(), Path("my file.toml")) == "llm-workbench run 'my file.toml'"
    assert command_line(Experiment(name="Precision of X!"), None) == "llm-workbench run precision-of-x.toml"


def test_that_training_is_planned_over_whatever_it_sweeps() -> None:
    text = (
        'models = ["a"]\n[techniques]\nfinetune = "lora"\n[workload]\nkind = "training"\nlearning_rate = [1e-4, 2e-4]'
    )
    asked, problems = parse(text)
    assert asked is not None, problems
    cells = make_plan(asked, ONE, probe()).configurations
    assert [cell.title.rpartition(" · ")[2] for cell in cells] == ["learning rate 1e-4", "learning rate 2e-4"]
    assert {type(cell.workload) for cell in cells} == {Training}
    assert len({cell.hash for cell in cells}) == 2
    assert all(cell.memory.cache_or_activations > 0 and cell.memory.optimiser > 0 for cell in cells)
    assert parse(dump(asked)) == (asked, ())
