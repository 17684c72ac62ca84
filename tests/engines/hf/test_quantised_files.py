"""Models whose files are quantised already: they run as stored or as plain weights, and as nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engines.hf import files
from engines.models.lookup.facts import inspect_folder
from engines.protocol.orders import ModelOrder
from engines.protocol.records import ModelLoaded
from engines.worker.failures import WorkerFailure
from tests.engines.hf.test_precisions import LINEAR, WORKLOAD, load
from tests.engines.worker_harness import folder_model, run_worker, trial_order
from tests.tiny_model import make_tiny_model

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
BLOCK = 32


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "plain")


@pytest.fixture(scope="module")
def four(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelOrder:
    """nf4, as bitsandbytes and transformers save it."""
    return saved(plain, tmp_path_factory.mktemp("models") / "nf4", load_in_4bit=True, bnb_4bit_quant_type="nf4")


@pytest.fixture(scope="module")
def eight(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelOrder:
    return saved(plain, tmp_path_factory.mktemp("models") / "int8", load_in_8bit=True)


@pytest.fixture(scope="module")
def fp8(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelOrder:
    """Fine-grained FP8, as DeepSeek publishes: float8 matrices with a scale for each block."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = make_tiny_model(tmp_path_factory.mktemp("models") / "fp8")
    tensors: dict[str, Any] = {}
    for name, tensor in load_file(plain / "model.safetensors").items():
        if not name.endswith("_proj.weight"):
            tensors[name] = tensor
            continue
        rows, columns = tensor.shape
        blocks = tensor.reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
        scale = blocks.abs().amax((1, 3)) / 448
        tensors[name] = (blocks / scale[:, None, :, None]).reshape(rows, columns).to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = scale
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK],
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder_model(folder)


def saved(plain: Path, folder: Path, **how: object) -> ModelOrder:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    make_tiny_model(folder)
    (folder / "model.safetensors").unlink()
    config = BitsAndBytesConfig(**how)
    AutoModelForCausalLM.from_pretrained(
        plain, dtype=torch.float32, quantization_config=config, use_safetensors=True
    ).save_pretrained(folder)
    return folder_model(folder)


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(input_ids=torch.arange(2, 66).reshape(1, 64)).logits.float()


@pytest.mark.parametrize("kind", ["four", "eight"])
def test_that_quantised_files_run_as_they_are(kind: str, request: pytest.FixtureRequest) -> None:
    from engines.hf.count import count, holds_packed

    order: ModelOrder = request.getfixturevalue(kind)
    model = load(order, "as-stored")
    counted = count(model)
    assert holds_packed(model)
    assert counted.quantised_parameters == LINEAR
    assert counted.parameters == inspect_folder(Path(order.path))[0].parameters
    assert counted.tensor_bytes == pytest.approx(files.stored_bytes(Path(order.path)), rel=0.1)


@pytest.mark.parametrize("kind", ["four", "eight", "fp8"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_that_plain_weights_are_those_of_the_files(kind: str, precision: str, request: pytest.FixtureRequest) -> None:
    """Not of a repacked form of them, which a library widens into nonsense, and not packed ones by a plain name."""
    import torch

    from engines.hf.count import count

    order: ModelOrder = request.getfixturevalue(kind)
    model = load(order, precision)
    counted = count(model)
    assert counted.quantised_parameters == 0
    assert set(counted.bytes_by_dtype) == {precision}
    for name, expected in widened(Path(order.path)).items():
        weight = dict(model.named_parameters())[name]
        assert weight.dtype == getattr(torch, precision)
        assert not weight.requires_grad
        limit = 0.02 if precision == "bfloat16" else 1e-5
        assert float((weight.float() - expected).abs().max() / expected.abs().max()) < limit, name
    assert logits(model).isfinite().all()


def widened(folder: Path) -> dict[str, Any]:
    """The matrices that the files stand for, by the formats' definitions."""
    import bitsandbytes.functional as bnb
    import torch
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")
    found: dict[str, Any] = {}
    for name, tensor in tensors.items():
        if f"{name}_scale_inv" in tensors:
            scale = tensors[f"{name}_scale_inv"]
            found[name] = tensor.float() * scale.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
        elif name.endswith(".SCB"):
            weight = name.removesuffix("SCB") + "weight"
            found[weight] = tensors[weight].float() * tensor[:, None] / 127
        elif name.endswith(".weight.absmax"):
            weight = name.removesuffix(".absmax")
            state = bnb.QuantState.from_dict(
                {k: v for k, v in tensors.items() if k.startswith(f"{weight}.")}, torch.device("cpu")
            )
            found[weight] = bnb.dequantize_4bit(tensors[weight], state).float()
    assert len(found) == 14
    return found


@pytest.mark.parametrize("short", ["int8", "llm-int8", "fp4", "quanto-int8"])
def test_that_nothing_else_is_made_of_them(short: str, four: ModelOrder) -> None:
    """transformers would keep the files' own quantisation, and the row would say another."""
    with pytest.raises(WorkerFailure, match=f"hold nf4 weights: there is no {short} of them"):
        load(four, short)


def test_that_files_a_library_widens_do_not_run_as_stored(fp8: ModelOrder, plain: Path) -> None:
    with pytest.raises(WorkerFailure, match="transformers widened its fp8 weights"):
        load(fp8, "as-stored")
    with pytest.raises(WorkerFailure, match="its files are not quantised"):
        load(folder_model(plain), "as-stored")


def test_that_a_whole_trial_says_what_it_ran(four: ModelOrder, tmp_path: Path) -> None:
    found = {}
    for short in ("as-stored", "float32"):
        outcome = run_worker(trial_order(four, short, WORKLOAD), tmp_path / short)
        assert (outcome.exit_code, outcome.failure) == (0, "")
        found[short] = outcome.only(ModelLoaded)
    assert found["as-stored"].nominal_bits == 4
    assert 4 <= found["as-stored"].stored_bits < 6
    assert (found["float32"].nominal_bits, found["float32"].stored_bits) == (32, 32)
    assert found["float32"].original_bytes == found["as-stored"].original_bytes
