"""Model folders and adapters come from anywhere: their files are read as data, and only theirs."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from engines.hf.artifacts.adapter import attach
from engines.hf.load import LoadRequest, empty_model, load_weights, stored_of
from engines.hf.tokenizer import load_tokenizer
from engines.models import artifacts
from engines.models.artifacts import PEFT_CONFIG, Made
from engines.models.files import BrokenModel, folder_files
from engines.models.lookup.resolve import resolve
from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places
from engines.protocol.problems import Problem
from engines.worker.failures import WorkerFailure
from tests.house import ROOT


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/../../secret.safetensors", "w.bin"])
def test_that_a_model_names_no_file_outside_its_folder_and_no_pickle(tmp_path: Path, name: str) -> None:
    """It would be hashed, read, and copied to another machine with the model."""
    folder = tmp_path / "m"
    folder.mkdir()
    (tmp_path / "secret.safetensors").write_bytes(b"x")
    (folder / "w.bin").write_bytes(b"x")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(BrokenModel, match="no weight file of this folder"):
        folder_files(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "transformers_weights": name}))
    with pytest.raises(BrokenModel, match=r"no weight file of this folder|no safetensors"):
        folder_files(folder)


def test_that_a_pickled_adapter_is_refused_when_planned_and_when_run(tmp_path: Path, home: Places) -> None:
    """peft would unpickle adapter_model.bin."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / PEFT_CONFIG).write_text('{"peft_type": "LORA", "base_model_name_or_path": "/base"}')
    (folder / "adapter_model.bin").write_bytes(b"\x80\x04.")
    problem = resolve(str(folder), home, tmp_path)
    assert isinstance(problem, Problem)
    assert "convert them to safetensors" in f"{problem.message} {problem.hint}"
    with pytest.raises(WorkerFailure, match=r"has no adapter_model\.safetensors"):
        attach(cast("Any", None), folder)


def test_that_a_checkpoint_is_taken_from_where_checkpoints_lie(tmp_path: Path) -> None:
    """The record that names one may have come with a bundle."""
    place, elsewhere = tmp_path / "artifacts", tmp_path / "downloads"
    base = ModelOrder(ref="tiny", title="tiny", kind="folder", path="/tiny")
    for at in (place, elsewhere):
        folder = artifacts.place_of(at, "t-1", "step-5")
        made = Made(artifact="checkpoint", trial="t-1", title="tiny", experiment_title="x", step=5, base=base)
        artifacts.write(folder, made, lambda draft: (draft / "state").write_bytes(b"5") and None)
    inside = artifacts.resumable(place, "t-2", str(place / "t-1" / "step-5"))
    assert inside.step == 5
    for before in (elsewhere / "t-1" / "step-5", place / ".." / "downloads" / "t-1" / "step-5"):
        assert artifacts.resumable(place, "t-2", str(before)) is None


@pytest.fixture
def with_code(tmp_path: Path) -> Iterator[Path]:
    """A folder that names its own classes, in a module that leaves a trace where it is imported."""
    folder = tmp_path / "m"
    folder.mkdir()
    trace = tmp_path / "trace"
    (folder / "evil.py").write_text(f"open({str(trace)!r}, 'w').close()\nConfig = Model = Tokenizer = dict\n")
    own = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "of_its_own", "auto_map": own}))
    tokenizer = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": [None, "evil.Tokenizer"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    yield folder
    assert not trace.exists()


def test_that_code_in_a_model_folder_is_not_run_and_the_user_reads_why(with_code: Path) -> None:
    model = ModelOrder(ref="m", title="Model m", kind="folder", path=str(with_code))
    request = LoadRequest(model, "precision.float32", torch.device("cpu"), "eager")
    for use in (stored_of, empty_model, lambda asked: load_weights(asked, torch.float32)):
        with pytest.raises(WorkerFailure, match=r"needs Python code that comes with it\. Such code is not run"):
            use(request)
    with pytest.raises(WorkerFailure):
        load_tokenizer(model)


def test_that_every_call_that_could_run_a_models_code_forbids_it() -> None:
    """Left out, transformers asks at the terminal; and no setting of ours turns it on."""
    found = 0
    for path in (ROOT / "engines").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            if node.func.attr in ("from_pretrained", "from_config") and owner.startswith(("Auto", "class_of(")):
                found += 1
                said = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
                assert said.get("trust_remote_code") is False, f"{path}:{node.lineno}"
    assert found >= 7
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "engines").rglob("*.py"))
    assert not any("trust_remote_code=True" in text.replace(" ", "") for text in texts)


def test_that_nothing_unpickles_and_nothing_goes_through_a_shell() -> None:
    """In the application; tests and benchmarks may."""
    forbidden = {
        *("pickle", "cPickle", "dill", "shelve", "marshal", "torch.load", "os.system", "os.popen"),
        *("subprocess.getoutput", "subprocess.getstatusoutput", "eval", "exec", "yaml.load", "np.load", "numpy.load"),
    }
    for folder in ("engines", "workbench", "widgets"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                elif isinstance(node, ast.Call):
                    names = [ast.unparse(node.func)]
                    assert not any(k.arg == "shell" for k in node.keywords), f"{path}:{node.lineno}"
                assert forbidden.isdisjoint(names), f"{path}:{node.lineno}"
