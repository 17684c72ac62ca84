"""Models whose files are quantised already, in the plan: a precision of their own, and reasons against the others."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import msgspec
import pytest

from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import Package, ProbeResult
from engines.protocol.places import Places
from engines.techniques import MachineFacts, find, techniques
from engines.techniques.precision_stored import AS_STORED
from tests.workbench.models.test_models import CONFIG, make_folder, model_of, problem_of, write_gguf
from tests.workbench.plan.test_plan import GPU, experiment, messages, probe
from workbench.experiment.experiment import Experiment
from workbench.plan.labels import labels_of
from workbench.plan.obstacles import INSTALL
from workbench.plan.plan import Configuration, make_plan
from workbench.store.operations import ConfigurationRow

NF4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
GPTQ = {"quant_method": "gptq", "bits": 4}
AWQ = {"quant_method": "awq", "bits": 4}
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
MXFP4 = {"quant_method": "mxfp4"}
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
}
READERS = ("bitsandbytes", "accelerate", "gptqmodel", "optimum", "compressed-tensors", "kernels", "triton")


def machine(*more: str, gpu: bool = False) -> ProbeResult:
    found = probe(GPU) if gpu else probe()
    packages = (*found.packages, *(Package(name=name, version="1") for name in more))
    return msgspec.structs.replace(found, packages=packages)


def quantised(home: Places, folder: Path, how: dict[str, object]) -> ResolvedModel:
    make_folder(folder, {**CONFIG, "max_position_embeddings": 4096, "quantization_config": how})
    return model_of(resolve(str(folder), home, Path("/")))


def cells(model: ResolvedModel, on: ProbeResult, *precisions: str) -> list[Configuration]:
    ref = model.order.ref
    wanted = experiment(ref, precisions=precisions) if precisions else Experiment(name="t", models=(ref,))
    return list(make_plan(wanted, {ref: model}, on).configurations)


def test_that_a_model_without_a_precision_runs_in_its_own(home: Places, tmp_path: Path) -> None:
    model = quantised(home, tmp_path / "m", NF4)
    assert model.order.origin == "stored as nf4"
    (cell,) = cells(model, machine(*READERS))
    assert [t.id for t in cell.applied if t.id.startswith("precision.")] == [AS_STORED]
    assert cell.runnable
    assert cell.memory.weights == model.facts.stored_bytes
    assert cell.technique_title("precision") == "as stored: nf4"


def test_that_rows_and_labels_say_what_the_weights_are(home: Places, tmp_path: Path) -> None:
    model = quantised(home, tmp_path / "m", NF4)
    ref = model.order.ref
    plan = make_plan(experiment(ref, precisions=("as-stored", "bfloat16")), {ref: model}, machine(*READERS))
    assert [c.title for c in plan.configurations] == [
        "m · as stored: nf4",
        "m · bfloat16 (dequantised from nf4)",
    ]
    assert "Dequantised first: nf4 weights in bfloat16" in messages(plan.configurations[1].problems)
    said = [
        labels_of(
            ConfigurationRow(
                configuration=cell.hash,
                experiment="e",
                title=cell.title,
                color=0,
                position=0,
                model=cell.model.title,
                resolved=msgspec.json.encode({"model": cell.model, "techniques": cell.techniques}).decode(),
            )
        )["precision"]
        for cell in plan.configurations
    ]
    assert said == ["as stored: nf4", "bfloat16 (dequantised from nf4)"]


@pytest.mark.parametrize(
    ("how", "words"),
    [(GPTQ, "gptq 4 bit"), (AWQ, "awq 4 bit")],
)
def test_that_plain_precisions_are_grey_where_no_library_makes_them(
    how: dict[str, object], words: str, home: Places, tmp_path: Path
) -> None:
    model = quantised(home, tmp_path / "m", how)
    on = machine(*READERS)
    for cell in cells(model, on, "float32", "bfloat16", "int8"):
        assert not cell.runnable
        assert f"hold {words} weights" in messages(cell.problems)
        fixes = [fix.value for p in cell.problems for fix in p.fixes]
        assert AS_STORED in fixes, "its own precision is offered"
    assert cells(model, on)[0].runnable


@pytest.mark.parametrize(
    ("how", "missing"),
    [(NF4, "bitsandbytes"), (GPTQ, "gptqmodel"), (AWQ, "gptqmodel"), (MXFP4, "kernels")],
)
def test_that_a_missing_library_is_named(how: dict[str, object], missing: str, home: Places, tmp_path: Path) -> None:
    model = quantised(home, tmp_path / "m", how)
    (cell,) = cells(model, machine(), "as-stored")
    assert not cell.runnable
    assert f"Needs {missing}" in messages(cell.problems) or f"and {missing}" in messages(cell.problems)
    offered = {name for p in cell.problems for fix in p.fixes if fix.path == INSTALL for name in fix.value}  # type: ignore[attr-defined]
    assert offered == ({"bitsandbytes", "accelerate"} if how is NF4 else set()), "only what we know how to install"
    (cell,) = cells(model, machine(*READERS), "as-stored")
    assert cell.runnable


def test_that_what_a_library_would_widen_without_a_word_is_no_precision_of_its_own(
    home: Places, tmp_path: Path
) -> None:
    fp8, compressed = quantised(home, tmp_path / "a", FP8), quantised(home, tmp_path / "b", COMPRESSED)
    for model in (fp8, compressed):
        stored, plain = cells(model, machine(*READERS), "as-stored", "bfloat16")
        assert not stored.runnable
        assert "do not run as stored" in messages(stored.problems)
        assert plain.runnable
    assert cells(fp8, machine(*READERS, gpu=True), "as-stored")[0].runnable


def test_that_nothing_else_is_made_of_quantised_files(home: Places, tmp_path: Path) -> None:
    model = quantised(home, tmp_path / "m", NF4)
    (tmp_path / "m" / "tokenizer.json").write_text("{}")
    model = model_of(resolve(str(tmp_path / "m"), home, Path("/")))
    on = MachineFacts(device_kind="cpu", packages={t: "1" for x in techniques("precision") for t in x.packages})
    able = {t.short for t in techniques("precision") if t.cannot_apply(model.facts, on) is None}
    assert able == {"as-stored", "float32", "bfloat16", "float16"}
    q8 = find("precision.q8_0")
    assert "its files hold nf4 weights" in str(q8.cannot_apply(model.facts, on))


def test_that_other_models_have_no_stored_precision(home: Places, tmp_path: Path) -> None:
    plain = model_of(resolve(str(make_folder(tmp_path / "m")), home, Path("/")))
    gguf = model_of(resolve(str(write_gguf(tmp_path / "m.gguf")), home, Path("/")))
    assert plain.order.stored == gguf.order.stored == ""
    assert "are not quantised" in messages(cells(plain, machine(), "as-stored")[0].problems)
    assert not cells(gguf, machine(), "as-stored")[0].runnable


def test_that_packed_weights_nobody_describes_are_refused(home: Places, tmp_path: Path) -> None:
    """An old GPTQ folder: transformers does not read quantize_config.json, and would fill the matrices with noise."""
    folder = make_folder(tmp_path / "m")
    header = json.dumps({"a.qweight": {"dtype": "I32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    (folder / "quantize_config.json").write_text('{"bits": 4}')
    found = problem_of(resolve(str(folder), home, Path("/")))
    assert "no quantization_config" in found.message
    assert "quantize_config.json" in found.hint
