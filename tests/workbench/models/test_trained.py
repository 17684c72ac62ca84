"""What trials have kept is a model: listed, looked up, and refused where it is damaged or its base is another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engines.models import artifacts
from engines.models.artifacts import Made
from engines.models.files import BrokenModel, model_files
from engines.models.identity import Digests
from engines.models.lookup.local_models import local_models
from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.models.lookup.trained import check_identity
from engines.protocol.orders import ModelOrder, TechniqueOrder
from engines.protocol.places import Places
from engines.protocol.problems import Problem
from tests.tiny_model import make_tiny_model
from workbench.models.identity import Identities
from workbench.models.titles import distinct
from workbench.plan.identity import model_identity


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "tiny")


def order_of(base: Path) -> ModelOrder:
    fingerprint = Digests(base.parent / "digests").of_model(model_files(base))
    return ModelOrder(ref=str(base), title="tiny", kind="folder", path=str(base), fingerprint=fingerprint)


def keep(home: Places, base: Path, trial: str = "t-1", kind: str = "adapter", **config: object) -> Path:
    """An adapter (its tensors do not matter home) or a whole model, as a trial keeps it."""

    def fill(draft: Path) -> None:
        if kind == "model":
            make_tiny_model(draft)
            return
        (draft / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"} | config))
        (draft / "adapter_model.safetensors").write_bytes(trial.encode())

    made = Made(
        artifact=kind,  # type: ignore[arg-type]
        trial=trial,
        title="tiny · LoRA",
        experiment_title="test",
        step=5,
        base=order_of(base),
        techniques=(TechniqueOrder(id="finetune.lora"),),
        merged_into="the base in float32" if kind == "model" else "",
    )
    folder = artifacts.place_of(home.artifacts, trial, kind)
    artifacts.write(folder, made, fill)
    return folder


def looked_up(folder: Path, home: Places) -> ResolvedModel:
    found = Identities(Digests(home.digests)).read({"m": resolve(str(folder), home, folder.parent)}, lambda *_: None)[
        "m"
    ]
    assert isinstance(found, ResolvedModel), found
    return found


def refusal(folder: Path, home: Places) -> str:
    found = Identities(Digests(home.digests)).read({"m": resolve(str(folder), home, folder.parent)}, lambda *_: None)[
        "m"
    ]
    assert isinstance(found, Problem)
    return str(found)


def test_that_an_adapter_is_its_base_with_a_hash_of_its_own(home: Places, base: Path) -> None:
    folder = keep(home, base)
    model = looked_up(folder, home)
    order = model.order
    assert (order.path, order.adapter, order.kind) == (str(base), str(folder), "folder")
    assert order.title == "tiny · LoRA (adapter)"
    assert model.facts.adapter == "LORA"
    assert model.facts.parameters == looked_up(base, home).facts.parameters
    other = looked_up(keep(home, base, "t-2"), home)
    plain = looked_up(base, home)
    names = [json.dumps(model_identity(m.order)) for m in (model, other, plain)]
    assert len(set(names)) == 3
    assert model.order.fingerprint == plain.order.fingerprint
    assert [m.order.title for m in distinct([model, other])] == [
        "t-1/tiny · LoRA (adapter)",
        "t-2/tiny · LoRA (adapter)",
    ]


def test_that_a_kept_model_is_a_folder_whose_hash_is_its_fingerprint(home: Places, base: Path) -> None:
    folder = keep(home, base, kind="model")
    order = looked_up(folder, home).order
    made = artifacts.read(folder)
    assert order.fingerprint == made.sha256
    assert order.title == "tiny · LoRA (trained)"
    assert order.origin == "merged into the base in float32"


def test_that_what_was_kept_is_listed_newest_first(home: Places, base: Path) -> None:
    keep(home, base)
    keep(home, base, "t-2", kind="model")
    listed = [m for m in local_models(home) if m.source == "Trained here"]
    assert [(m.title, m.problem) for m in listed] == [("tiny · LoRA (trained)", ""), ("tiny · LoRA (adapter)", "")]
    assert {m.made_by for m in listed} == {"LoRA, test, 5 steps"}
    base.rename(base.with_name("moved"))
    gone = [m.problem for m in local_models(home) if m.source == "Trained here"]
    assert gone == ["", f"Its base model is gone: {base}"]


def test_that_damaged_files_are_refused(home: Places, base: Path) -> None:
    adapter, model = keep(home, base), keep(home, base, kind="model")
    (adapter / "adapter_model.safetensors").write_bytes(b"t-x")
    (model / "config.json").write_text((model / "config.json").read_text() + " ")
    for folder in (adapter, model):
        assert "not those that trial t-1 wrote" in refusal(folder, home)


def test_that_another_base_or_none_is_refused(home: Places, base: Path) -> None:
    folder = keep(home, base)
    (base / "config.json").write_text((base / "config.json").read_text() + " ")
    assert "is not the model that the adapter" in refusal(folder, home)
    base.rename(base.with_name("moved"))
    assert "The base model of the adapter" in refusal(folder, home)


def test_that_an_adapter_from_elsewhere_names_its_base_itself(home: Places, base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "downloaded"
    folder.mkdir()
    config = folder / "adapter_config.json"
    config.write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(base)}))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    order = looked_up(folder, home).order
    assert (order.path, order.title) == (str(base), "tiny with downloaded")
    config.write_text(json.dumps({"peft_type": "LORA"}))
    assert "does not say what base model" in refusal(folder, home)
    config.write_text(json.dumps({"peft_type": "PREFIX_TUNING"}))
    assert "virtual tokens" in refusal(folder, home)
    config.write_text("{")
    assert "cannot be read" in refusal(folder, home)


def test_that_an_order_without_artifacts_has_nothing_to_check(home: Places, base: Path) -> None:
    check_identity(order_of(base))
    with pytest.raises(BrokenModel):
        check_identity(
            ModelOrder(
                ref="", title="", kind="folder", path=str(base), adapter=str(keep(home, base)), fingerprint="sha256:0"
            )
        )
