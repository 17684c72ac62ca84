"""Ready-made studies: what they take in and leave out by model and machine, and that what they make can be planned."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engines.models.lookup.catalogue import find_entry
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import Package, ProbeResult
from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places
from engines.protocol.problems import ProblemsFound
from engines.techniques import MachineFacts, techniques
from engines.techniques.architecture import SHAPES
from engines.techniques.architecture import facts as architecture_facts
from tests.builders import probe_result, processor
from tests.tiny_gguf import write_tiny_gguf
from workbench.experiment.file import dump, parse
from workbench.experiment.presets import presets
from workbench.experiment.studies import (
    STUDIES,
    architecture_left_out,
    architecture_study,
    find_study,
    left_out_text,
    make,
    precision_left_out,
    precision_study,
)
from workbench.plan.plan import make_plan

GIB = 2**30
HF = {"torch": "2.13", "transformers": "5.23", "torchao": "0.18"}
BOTH = HF | {"llama-cpp-python": "0.3.36", "gguf": "0.19"}


def model(kind: str = "folder", **more: object) -> ResolvedModel:
    entry = find_entry("smollm2-135m-instruct")
    facts = msgspec.structs.replace(entry.facts("folder"), kind=kind, **more)
    order = ModelOrder(ref="m", title="M", kind=kind, path="/m")  # type: ignore[arg-type]
    return ResolvedModel(order=order, facts=facts)


def machine(packages: dict[str, str], free: int = 24 * GIB) -> MachineFacts:
    return MachineFacts(
        device_kind="cpu", memory_total_bytes=32 * GIB, memory_free_bytes=free, cores=4, packages=packages
    )


def probe(packages: dict[str, str]) -> ProbeResult:
    listed = tuple(Package(name=n, version=v) for n, v in packages.items())
    return probe_result(processor(32 * GIB, 24 * GIB), packages=listed)


def chosen(resolved: ResolvedModel, facts: MachineFacts) -> set[str]:
    return {c.id for c in precision_study(resolved, facts).techniques}


def test_that_a_machine_with_both_engines_gets_the_floats_and_the_ladder() -> None:
    found = chosen(model(), machine(BOTH))
    assert {"precision.float32", "precision.int8", "precision.gguf-f16", "precision.q4_k_m"} <= found
    assert "precision.gguf-stored" not in found


def test_that_without_llama_cpp_the_ladder_is_left_out_with_its_reason() -> None:
    assert not any(id.startswith("precision.q") for id in chosen(model(), machine(HF)))
    told = left_out_text(precision_left_out(model(), machine(HF)))
    assert "Q4_K_M" in told
    assert "llama-cpp-python" in told


def test_that_a_gguf_file_is_studied_as_it_is_and_down_the_ladder_only() -> None:
    found = chosen(model("gguf"), machine(BOTH))
    assert "precision.gguf-stored" in found
    assert "precision.float32" not in found


def test_that_what_would_not_fit_is_left_out_by_the_estimate() -> None:
    large = model(parameters=8_000_000_000, linear_parameters=7_500_000_000)
    roomy, tight = chosen(large, machine(BOTH, 100 * GIB)), chosen(large, machine(BOTH, 12 * GIB))
    assert "precision.float32" in roomy
    assert "precision.float32" not in tight
    assert "precision.q4_k_m" in tight
    reasons = [x.reason for x in precision_left_out(large, machine(BOTH, 12 * GIB)) if x.title == "float32"]
    assert "GiB are free" in reasons[0]


@pytest.mark.parametrize("packages", [HF, BOTH, {}])
def test_that_every_precision_is_either_in_or_left_out(packages: dict[str, str]) -> None:
    facts = machine(packages)
    left = {x.title for x in precision_left_out(model(), facts)}
    taken = chosen(model(), facts)
    for technique in techniques("precision"):
        assert (technique.id in taken) != (technique.title in left), technique.id


def test_that_the_study_measures_quality_and_writes_texts() -> None:
    load = precision_study(model(), machine(BOTH)).workload
    assert load.whole("perplexity_tokens")[0] > 0
    assert load.whole("text_tokens")[0] > 0


def test_that_a_study_can_be_planned_on_both_engines_and_survives_its_file() -> None:
    resolved = model()
    experiment = precision_study(resolved, machine(BOTH))
    again, problems = parse(dump(experiment))
    assert again == experiment
    assert not problems
    plan = make_plan(experiment, {"m": resolved}, probe(BOTH))
    assert {c.engine.id for c in plan.configurations} == {"transformers", "llama.cpp"}
    assert all(c.runnable for c in plan.configurations), [str(p) for c in plan.configurations for p in c.problems]


def test_that_a_model_that_is_not_there_is_a_problem_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ProblemsFound) as error:
        make(STUDIES[0], "no-such-model", _places(tmp_path), probe(BOTH), tmp_path)
    assert error.value.problems[0].place == "no-such-model"


def test_that_a_gguf_file_without_llama_cpp_is_told_what_installs_it(tmp_path: Path) -> None:
    file = write_tiny_gguf(tmp_path / "x.gguf")
    with pytest.raises(ProblemsFound) as error:
        make(STUDIES[0], str(file), _places(tmp_path), probe(HF), tmp_path)
    assert "Needs llama-cpp-python and gguf: llm-workbench doctor --install gguf" in error.value.problems[0].message


def test_that_a_machine_that_can_do_nothing_of_it_says_why(tmp_path: Path) -> None:
    with pytest.raises(ProblemsFound, match=r"Nothing of the precision study.*Needs torch"):
        make(STUDIES[0], "random:smollm2-135m-instruct", _places(tmp_path), probe({}), tmp_path)


def test_that_every_study_has_its_preset_and_is_found_by_both_names() -> None:
    known = {p.id for p in presets()}
    for study in STUDIES:
        assert study.preset in known
        assert find_study(study.id) is study
        assert find_study(study.preset) is study
    assert find_study("nonsense") is None


def _places(folder: Path) -> Places:
    return Places(config=folder, data=folder, cache=folder, state=folder, runtime=folder)


# --- what attention costs ---------------------------------------------------------------------------


def shape(context: int = 131_072) -> ResolvedModel:
    config = {**SHAPES["small"], "max_position_embeddings": context}
    return ResolvedModel(
        order=ModelOrder(ref="shape/small", title="small", kind="random", config=config),
        facts=architecture_facts(config),
    )


def lengths(resolved: ResolvedModel, facts: MachineFacts) -> tuple[object, ...]:
    return architecture_study(resolved, facts).workload.values("prompt_tokens")


def test_that_the_lengths_are_those_that_every_kind_of_attention_fits() -> None:
    roomy = lengths(shape(), machine(HF, 100 * GIB))
    assert roomy == (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536), "128k and the new tokens pass the context"
    tight = lengths(shape(), machine(HF, 2 * GIB))
    assert tight == roomy[: len(tight)]
    assert 1 < len(tight) < len(roomy)
    told = left_out_text(architecture_left_out(shape(), machine(HF, 2 * GIB)))
    assert "65,536 tokens: By the estimate it needs" in told
    assert "131,072 tokens: Longer than the model's context of 131,072 tokens." in told
    assert lengths(shape(4096), machine(HF)) == (512, 1024, 2048)


def test_that_attention_that_runs_as_reference_code_is_left_out_with_its_reason() -> None:
    chosen_ids = [c.id for c in architecture_study(shape(), machine(HF)).techniques]
    assert {"attention.gqa", "attention.mha", "attention.mqa", "attention.mla"} <= set(chosen_ids)
    assert "attention.mamba" not in chosen_ids
    assert "Its time would be that of the code." in left_out_text(architecture_left_out(shape(), machine(HF)))


def test_that_key_value_heads_divide_the_heads() -> None:
    odd = SHAPES["small"] | {"num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 576}
    resolved = ResolvedModel(
        order=ModelOrder(ref="s", title="s", kind="random", config=dict(odd)), facts=architecture_facts(odd)
    )
    (grouped,) = [c for c in architecture_study(resolved, machine(HF)).techniques if c.id == "attention.gqa"]
    assert grouped.parameters["kv_heads"] == (3,)
    prime = SHAPES["small"] | {"num_attention_heads": 7, "num_key_value_heads": 7, "hidden_size": 448}
    alone = ResolvedModel(
        order=ModelOrder(ref="s", title="s", kind="random", config=dict(prime)), facts=architecture_facts(prime)
    )
    assert "attention.gqa" not in {c.id for c in architecture_study(alone, machine(HF)).techniques}
    assert "7 heads share" in left_out_text(architecture_left_out(alone, machine(HF)))


@pytest.mark.parametrize("ref", ["shape/tiny", "random:smollm2-135m-instruct"])
def test_that_what_the_study_makes_of_a_shape_or_of_the_catalogue_can_be_planned(ref: str, tmp_path: Path) -> None:
    """The catalogue's configs leave the size of a head out."""
    study = find_study("architecture")
    assert study is not None
    experiment, _ = make(study, ref, _places(tmp_path), probe(HF), tmp_path)
    again, problems = parse(dump(experiment))
    assert again == experiment
    assert not problems
    assert {"attention.mha", "attention.mqa", "attention.mla"} <= {c.id for c in experiment.techniques}
    assert experiment.workload.values("perplexity_tokens") == (0,)
    assert len(experiment.workload.values("prompt_tokens")) > 1


def test_that_a_trained_model_keeps_its_architecture(tmp_path: Path) -> None:
    assert architecture_study(model(), machine(HF)).techniques == ()
    assert "keeps the architecture it was trained with" in left_out_text(architecture_left_out(model(), machine(HF)))
