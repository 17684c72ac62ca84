"""Quantised precisions of the transformers engine: whole trials of the tiny model, and what each stores.

Formats for GPUs have no GPU here: their settings are built by the library itself and held to what it documents.
"""

from __future__ import annotations

import importlib
import itertools
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines.models.lookup.facts import inspect_folder
from engines.protocol.orders import ModelOrder, Scalar, TechniqueOrder
from engines.protocol.records import Cue, Environment, Evaluation, ModelLoaded, PhaseStarted
from engines.techniques import MachineFacts, find, techniques
from tests.engines.worker_harness import QUICK, Outcome, folder_model, run_worker, trial_order
from tests.tiny_model import make_tiny_model
from workbench.plan.memory import weight_bytes

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),  # the first use of quanto compiles its kernels
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch.*"),
]

HERE = ("int8", "llm-int8", "quanto-int8", "float8", "nf4", "fp4", "quanto-int4")
"""Those that run on a processor."""
WORKLOAD = msgspec.structs.replace(QUICK, perplexity_tokens=300)
# of the tiny model: 2 layers of q 64x64, k and v 32x64, o 64x64, gate and up 128x64, down 64x128
LINEAR = 2 * (64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 128 * 64)
ROWS = 2 * (64 + 2 * 32 + 64 + 2 * 128 + 64)
LAYERS = 2 * 7
RANDOM = ModelOrder(
    ref="random:llama",
    title="llama",
    kind="random",
    config={
        "model_type": "llama",
        "vocab_size": 128,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
)
GPT2 = ModelOrder(
    ref="random:gpt2",
    title="gpt2",
    kind="random",
    config={"model_type": "gpt2", "vocab_size": 128, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64},
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelOrder:
    return folder_model(make_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def outcomes(tiny: ModelOrder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """One whole trial of each precision that runs here, and of float32."""
    return {
        name: run_worker(trial_order(tiny, name, WORKLOAD), tmp_path_factory.mktemp(name))
        for name in ("float32", *HERE)
    }


def load(model: ModelOrder, short: str, **parameters: Scalar) -> Any:
    import torch

    from engines.hf.load import LoadRequest

    technique = find(f"precision.{short}")
    module, _, name = technique.implementation.partition(":")
    return getattr(importlib.import_module(module), name)(
        LoadRequest(
            model=model,
            technique=technique.id,
            device=torch.device("cpu"),
            attention="sdpa",
            parameters={**technique.defaults(), **parameters},
        )
    )


def failure_of(model: ModelOrder, short: str, **parameters: Scalar) -> Any:
    from engines.worker.failures import WorkerFailure

    with pytest.raises(WorkerFailure) as caught:
        load(model, short, **parameters)
    return caught.value


# --- whole trials ---------------------------------------------------------------------------------


@pytest.mark.parametrize("short", HERE)
def test_that_a_quantised_precision_runs_a_whole_trial(outcomes: dict[str, Outcome], short: str) -> None:
    outcome = outcomes[short]
    assert (outcome.exit_code, outcome.failure) == (0, "")
    names = [r.name for r in outcome.all(PhaseStarted) if r.name not in ("prefill", "decode")]
    assert names == ["start", "load", "warmup", "measure", "evaluate", "unload"]
    assert [r.index for r in outcome.measured] == [0, 1]
    for request in outcome.measured:
        assert all(a < b for a, b in itertools.pairwise(outcome.token_times(request)))
    assert "cache.bytes_per_token" in {k for e in outcome.all(Environment) for k in e.facts}


@pytest.mark.parametrize("short", HERE)
def test_that_a_quantised_precision_writes_texts_and_scores_continuations(tiny: ModelOrder, short: str) -> None:
    from engines.data.begin import NONE
    from engines.hf.reader import HfReader
    from engines.hf.tokenizer import load_tokenizer
    from engines.worker.stop import Stop

    model, tokenizer = load(tiny, short), load_tokenizer(tiny)
    assert tokenizer is not None
    reader = HfReader(model, tokenizer, frozenset(), NONE, Stop())
    assert reader.write("Names refer to", 4).tokens == 4
    found = reader.likelihood("Names refer", " to objects")
    assert found.tokens > 0
    assert -100 < found.log_probability < 0


@pytest.mark.parametrize("short", HERE)
def test_that_the_libraries_say_nothing_a_matmul(outcomes: dict[str, Outcome], short: str) -> None:
    assert outcomes[short].stdout == ""
    assert outcomes[short].stderr == ""


@pytest.mark.parametrize("short", HERE)
def test_that_what_is_counted_is_every_weight_and_the_bits_are_near_the_promise(
    outcomes: dict[str, Outcome], short: str
) -> None:
    plain, loaded = outcomes["float32"].only(ModelLoaded), outcomes[short].only(ModelLoaded)
    technique = find(f"precision.{short}")
    assert technique is not None
    assert loaded.parameters == plain.parameters, "packed weights count by what they stand for"
    assert loaded.details["quantised_parameters"] == str(LINEAR)
    assert loaded.nominal_bits == technique.bits
    assert technique.bits < loaded.stored_bits < technique.bits + 1, "scales included, and no more than them"
    assert loaded.tensor_bytes == sum(loaded.bytes_by_dtype.values()) < plain.tensor_bytes


@pytest.mark.parametrize("short", HERE)
def test_that_quality_is_measured_close_to_and_not_as_float32(outcomes: dict[str, Outcome], short: str) -> None:
    plain, score = outcomes["float32"].only(Evaluation), outcomes[short].only(Evaluation)
    assert (score.data_hash, score.tokens) == (plain.data_hash, plain.tokens)
    assert score.nll_sum == pytest.approx(plain.nll_sum, rel=0.01)
    assert score.nll_sum != plain.nll_sum


# --- bytes ----------------------------------------------------------------------------------------


def test_that_the_bytes_of_each_format_are_those_of_its_parts(tiny: ModelOrder) -> None:
    """Worked out from the shapes; compute precision float32, so that every other type belongs to a quantised part."""
    from engines.hf.count import count

    def parts(short: str, **parameters: Scalar) -> dict[str, int]:
        return count(load(tiny, short, compute="float32", **parameters)).bytes_by_dtype

    rest = 4 * (count(load(tiny, "float32")).parameters - LINEAR)
    assert parts("llm-int8") == {"int8": LINEAR, "float32": rest + 4 * ROWS}
    assert parts("float8") == {"float8_e4m3fn": LINEAR, "float32": rest + 4 * ROWS}
    # quanto keeps two scales of activations a layer, which stay at 1
    assert parts("quanto-int8") == {"int8": LINEAR, "float32": rest + 4 * ROWS + LAYERS * 8}
    # the widest group that a layer's width allows: 128 where it is 128 (down), else 64
    down = 2 * 64 * 128
    groups = (LINEAR - down) // 64 + down // 128
    assert parts("quanto-int4") == {"uint8": LINEAR // 2, "float32": rest + 2 * 4 * groups + LAYERS * 8}


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("double", [False, True])
def test_that_four_bit_scales_are_counted_in_the_form_they_are_used_in(
    tiny: ModelOrder, kind: str, double: bool
) -> None:
    from bitsandbytes.functional import has_avx512bf16

    from engines.hf.count import count

    counted = count(load(tiny, kind, compute="float32", double_quantisation=double))
    rest = 4 * (counted.parameters - LINEAR)
    books = LAYERS * 16 * 4
    if has_avx512bf16():  # repacked at the first use: bfloat16 scales, nothing nested, an offset that stays behind
        scales = {"uint8": LINEAR // 2, "bfloat16": 2 * LINEAR // 64}
        assert counted.bytes_by_dtype == {**scales, "float32": rest + books + LAYERS * 4 * double}
        assert counted.stored_bits == pytest.approx(4.25, abs=0.15)
    elif not double:
        assert counted.bytes_by_dtype == {"uint8": LINEAR // 2, "float32": rest + books + 4 * LINEAR // 64}
    else:
        assert counted.bytes_by_dtype["uint8"] == LINEAR // 2 + LINEAR // 64


@pytest.mark.parametrize("short", HERE)
def test_that_using_a_model_changes_no_byte_of_it(tiny: ModelOrder, short: str) -> None:
    """bitsandbytes repacks and moves things at the first use: what is counted is what is there afterwards."""
    import torch

    from engines.hf.count import count

    model = load(tiny, short)
    before = count(model)
    with torch.no_grad():
        model(torch.arange(3, 40)[None])
    assert count(model) == before


@pytest.mark.parametrize("short", HERE)
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_that_the_estimate_of_the_weights_is_within_a_tenth_of_what_is_counted(
    tiny: ModelOrder, short: str, compute: str
) -> None:
    from engines.hf.count import count

    facts, _ = inspect_folder(Path(tiny.path))
    order = TechniqueOrder(id=f"precision.{short}", parameters={"compute": compute})
    estimated = weight_bytes(facts, (order,), MachineFacts(device_kind="cpu"))
    assert estimated == pytest.approx(count(load(tiny, short, compute=compute)).tensor_bytes, rel=0.1)


@pytest.mark.parametrize("short", HERE)
def test_that_random_weights_are_quantised_like_read_ones_and_the_head_is_left_alone(short: str) -> None:
    import torch

    from engines.hf.count import count, is_quantised

    model = load(RANDOM, short, compute="float32")
    assert is_quantised(model.model.layers[0].mlp.up_proj.weight)
    assert model.lm_head.weight.dtype == model.model.embed_tokens.weight.dtype == torch.float32
    assert count(model).quantised_parameters == LINEAR
    plain = load(RANDOM, "float32")
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        difference = (model(ids).logits - plain(ids).logits).abs().max()
        assert 0 < float(difference) < 0.5 * float(plain(ids).logits.abs().max())


def test_that_the_outlier_threshold_reaches_every_layer(tiny: ModelOrder) -> None:
    for model in (tiny, RANDOM):
        layers = load(model, "llm-int8", threshold=3.5).model.layers
        assert {layer.mlp.up_proj.state.threshold for layer in layers} == {3.5}


def test_that_weights_of_nf4_and_fp4_take_their_own_sixteen_values(tiny: ModelOrder) -> None:
    from bitsandbytes.functional import get_4bit_type

    for kind in ("nf4", "fp4"):
        state = load(tiny, kind).model.layers[0].mlp.up_proj.weight.quant_state
        assert state.quant_type == kind
        assert sorted(state.code.tolist()) == pytest.approx(sorted(get_4bit_type(kind, device="cpu").tolist()))


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("short", HERE)
def test_that_a_model_in_which_nothing_was_quantised_is_a_failure(short: str) -> None:
    failure = failure_of(GPT2, short)
    assert failure.kind == "technique"
    assert f"{short} changed nothing in gpt2" in failure.message


@pytest.mark.parametrize(
    ("short", "module", "package"),
    [
        ("nf4", "bitsandbytes", "bitsandbytes"),
        ("llm-int8", "bitsandbytes", "bitsandbytes"),
        ("quanto-int4", "optimum.quanto", "optimum-quanto"),
        ("int8", "torchao.quantization", "torchao"),
    ],
)
def test_that_a_missing_package_is_named_as_it_is_installed(
    short: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.hf.precision import import_needed
    from engines.worker.failures import WorkerFailure

    technique = find(f"precision.{short}")
    assert technique is not None
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(WorkerFailure) as caught:
        import_needed(technique.packages)
    assert caught.value.kind == "package"
    assert caught.value.advice.endswith(f"pip install {package}")
    assert caught.value.message == f"The package {package} is missing."


def test_that_what_a_precision_imports_is_imported_before_its_load_is_timed() -> None:
    from engines.hf.precision import MODULES_OF

    wanted = {p for t in techniques("precision") if "transformers" in t.engines for p in t.packages}
    assert wanted - {"torch", "transformers", "accelerate"} == set(MODULES_OF)


def test_that_a_broken_package_is_told_from_a_missing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engines.hf.precision import need
    from engines.worker.failures import WorkerFailure

    (tmp_path / "broken_quantiser.py").write_text("import a_library_that_is_not_there")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WorkerFailure, match="cannot be imported: ModuleNotFoundError: No module named 'a_library"):
        need("broken_quantiser", "broken-quantiser")


def test_that_numbers_that_are_not_finite_end_the_trial_in_words(tmp_path: Path) -> None:
    """A model whose values exceed float16's range: the trial keeps what it measured and says what went wrong."""
    from safetensors.torch import load_file, save_file

    folder = make_tiny_model(tmp_path / "overflowing")
    file = folder / "model.safetensors"
    weights = load_file(file)
    for name in weights:
        if name.endswith("down_proj.weight"):
            weights[name] = weights[name] * 1e9
    save_file(weights, file, metadata={"format": "pt"})
    model = folder_model(folder)
    whole = run_worker(trial_order(model, "float32", WORKLOAD), tmp_path / "float32")
    assert math.isfinite(whole.only(Evaluation).nll_sum), "the model itself is sound"
    outcome = run_worker(trial_order(model, "float16", WORKLOAD), tmp_path / "float16")
    assert (outcome.exit_code, outcome.failure) == (3, "technique")
    assert len(outcome.measured) == 2
    assert not outcome.all(Evaluation)
    (cue,) = [c for c in outcome.all(Cue) if c.code.startswith("failure:")]
    assert "not finite" in cue.text
    assert "bfloat16" in cue.text


def test_that_memory_running_out_while_loading_for_a_quantised_precision_is_called_that(tmp_path: Path) -> None:
    large = msgspec.structs.replace(RANDOM, config={**RANDOM.config, "vocab_size": 4_000_000, "hidden_size": 2048})
    outcome = run_worker(trial_order(large, "nf4"), tmp_path, address_space_bytes=6 * 2**30)
    assert (outcome.exit_code, outcome.failure) == (3, "out_of_memory")


# --- for GPUs: what can be held to the libraries without one ----------------------------------------


@pytest.mark.parametrize("short", ["int4", "float8-dynamic"])
def test_that_what_needs_a_gpu_refuses_a_processor(tiny: ModelOrder, short: str) -> None:
    failure = failure_of(tiny, short)
    assert failure.kind == "technique"
    assert "needs a GPU" in failure.message


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_that_int4_settings_are_torchaos_own_with_the_kernel_of_torch(size: int) -> None:
    from torchao.quantization import Int4WeightOnlyConfig
    from torchao.quantization.quantize_.workflows import Int4PackingFormat

    from engines.hf.precision_torchao import int4_config

    config = int4_config(size)
    assert isinstance(config, Int4WeightOnlyConfig)
    assert (config.group_size, config.int4_packing_format) == (size, Int4PackingFormat.TILE_PACKED_TO_4D)


def test_that_a_group_size_divides_every_layer_or_is_refused() -> None:
    from engines.hf.precision_torchao import group_size
    from engines.worker.failures import WorkerFailure

    assert group_size("auto", [4096, 11008], "m") == 128
    assert group_size("auto", [576, 1536], "m") == 64
    assert group_size("auto", [96, 160], "m") == 32
    assert group_size("256", [4096, 11008], "m") == 256
    with pytest.raises(WorkerFailure, match="Groups of 128 weights do not divide the width of 1 of 2 layers of m"):
        group_size("128", [576, 1536], "m")
    with pytest.raises(WorkerFailure, match="Groups of 32 weights"):
        group_size("auto", [40], "m")


@pytest.mark.parametrize("model", ["tiny", "random"])
def test_that_widths_are_known_before_any_weight_is_read(model: str, tiny: ModelOrder) -> None:
    import torch

    from engines.hf.load import LoadRequest, empty_model
    from engines.hf.precision import linear_layers

    request = LoadRequest(
        model=tiny if model == "tiny" else RANDOM,
        technique="precision.int4",
        device=torch.device("cpu"),
        attention="sdpa",
    )
    empty = empty_model(request)
    assert {p.device.type for p in empty.parameters()} == {"meta"}
    assert sorted({layer.in_features for _, layer in linear_layers(empty)}) == [64, 128]


# --- the template -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def imported_beforehand() -> str:
    import subprocess

    code = "import engines.hf.beforehand, sys; print(*sorted(m for m in sys.modules if '.' not in m))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("module", ["bitsandbytes", "optimum"])
def test_that_a_template_leaves_a_precisions_library_to_its_trial(imported_beforehand: str, module: str) -> None:
    names = imported_beforehand.split()
    assert "transformers" in names
    assert module not in names


def test_that_every_precision_of_transformers_names_something_that_exists() -> None:
    for technique in techniques("precision"):
        if "transformers" in technique.engines:
            module, _, name = technique.implementation.partition(":")
            assert callable(getattr(importlib.import_module(module), name)), technique.id
