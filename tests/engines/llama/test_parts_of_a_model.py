"""A GGUF model in several files: run as it is, and quantised, like the same model in one file."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines.hf.files import gguf_model
from engines.llama.ladder.files import make_file, plan_file
from engines.protocol.gguf_parts import model_stem, parts_of
from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places
from engines.protocol.records import Environment, Evaluation, ModelLoaded
from engines.worker.failures import WorkerFailure
from tests.engines.llama.kit import gguf_order, llama_logits, need_llama
from tests.engines.worker_harness import QUICK, Outcome, run_worker, trial_order

need_llama()

from tests.tiny_gguf import write_tiny_gguf  # noqa: E402

STORED, Q8_0 = "precision.gguf-stored", "precision.q8_0"
WORKLOAD = msgspec.structs.replace(QUICK, perplexity_tokens=300)


def order_of(file: Path) -> ModelOrder:
    return ModelOrder(ref=str(file), title=model_stem(file), kind="gguf", path=str(file))


def quiet(_text: str, _share: float) -> None:
    pass


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """The same weights in one file and, by their first part, in three."""
    return write_tiny_gguf(tmp_path / "one.gguf"), write_tiny_gguf(tmp_path / "three.gguf", tensors_a_part=8)


@pytest.mark.parametrize(
    ("name", "count", "stem"),
    [
        ("m-00001-of-00003.gguf", 3, "m"),
        ("m-00003-of-00003.gguf", 3, "m"),
        ("m-00001-of-00001.gguf", 1, "m-00001-of-00001"),
        ("m-00004-of-00003.gguf", 1, "m-00004-of-00003"),
        ("m-1-of-3.gguf", 1, "m-1-of-3"),
        ("m.gguf", 1, "m"),
    ],
)
def test_that_parts_are_known_by_their_names(name: str, count: int, stem: str, tmp_path: Path) -> None:
    files = parts_of(tmp_path / name)
    assert len(files) == count
    assert tmp_path / name in files
    assert model_stem(tmp_path / name) == stem


@pytest.mark.real
def test_that_a_model_in_parts_runs_as_the_same_model_in_one_file(models: tuple[Path, Path], tmp_path: Path) -> None:
    whole, split = (
        run_worker(gguf_order(order_of(file), STORED, workload=WORKLOAD), tmp_path / name)
        for file, name in zip(models, ("whole", "split"), strict=True)
    )
    for outcome in (whole, split):
        assert (outcome.exit_code, outcome.failure) == (0, "")
    loaded, expected = split.only(ModelLoaded), whole.only(ModelLoaded)
    assert (loaded.parameters, loaded.tensor_bytes) == (expected.parameters, expected.tensor_bytes)
    assert loaded.original_bytes == expected.original_bytes
    assert split.only(Evaluation).nll_sum == whole.only(Evaluation).nll_sum
    hashed = {name for record in split.all(Environment) for name in record.facts if name.startswith("model.file.")}
    assert hashed == {f"model.file.three-{n:05d}-of-00003.gguf" for n in (1, 2, 3)}


def test_that_a_rung_made_of_parts_is_one_file_and_the_same_as_of_one_file(
    models: tuple[Path, Path], home: Places
) -> None:
    made = []
    for file in models:
        order = gguf_order(order_of(file), Q8_0)
        make_file(order, quiet)
        made.append(plan_file(order).path)
    assert made[0].parent != made[1].parent
    assert made[1].name == "three-Q8_0.gguf"
    header = gguf_model(made[1])
    assert not [name for name in header.metadata if name.startswith("split.")]
    assert len(header.tensors) == len(gguf_model(made[0]).tensors)
    ids = list(range(2, 60))
    np.testing.assert_array_equal(llama_logits(made[1], ids), llama_logits(made[0], ids))


def test_that_a_change_in_a_later_part_makes_the_rungs_anew(models: tuple[Path, Path], home: Places) -> None:
    _, first = models
    order = gguf_order(order_of(first), Q8_0)
    before = plan_file(order).path
    last = parts_of(first)[2]
    data = bytearray(last.read_bytes())
    data[-1] ^= 1
    last.write_bytes(data)
    assert plan_file(order).path.parent != before.parent


@pytest.mark.real
@pytest.mark.parametrize("technique", [STORED, Q8_0])
def test_that_a_missing_part_is_named_before_anything_is_loaded(
    technique: str, models: tuple[Path, Path], tmp_path: Path, home: Places
) -> None:
    _, first = models
    parts_of(first)[1].unlink()
    outcome = run_worker(gguf_order(order_of(first), technique, workload=QUICK), tmp_path / "trial")
    assert (outcome.exit_code, outcome.failure) == (3, "model")
    assert "1 of 3 parts of the model is missing" in failure_text(outcome)
    assert "three-00002-of-00003.gguf" in failure_text(outcome)
    assert not outcome.all(ModelLoaded)


def test_that_a_missing_part_is_named_by_the_maker_too(models: tuple[Path, Path], home: Places) -> None:
    _, first = models
    parts_of(first)[2].unlink()
    with pytest.raises(WorkerFailure, match=r"three-00003-of-00003\.gguf"):
        make_file(gguf_order(order_of(first), Q8_0), quiet)


@pytest.mark.real
def test_that_transformers_refuses_parts_instead_of_filling_in_random_weights(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    outcome = run_worker(trial_order(order_of(models[1]), "float32", QUICK), tmp_path / "trial")
    assert (outcome.exit_code, outcome.failure) == (3, "model")
    assert "one of 3 parts" in failure_text(outcome)


def failure_text(outcome: Outcome) -> str:
    cue = outcome.cue(f"failure:{outcome.failure}")
    return cue.text.partition("\n")[0]
