"""Which files make a model: the rule held to transformers' own, and everything that reads weights held to the rule."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path

import pytest

from engines.hf import files as engine_files
from engines.models.files import BrokenModel, folder_files, model_files
from engines.worker.failures import WorkerFailure


def write_weights(file: Path, name: str = "a", *, value: float = 0.0, count: int = 4) -> Path:
    """A safetensors file with one float32 tensor."""
    header = json.dumps({name: {"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]}}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack(f"<{count}f", *[value] * count))
    return file


def make_folder(folder: Path, *, named: str = "", single: bool = True) -> Path:
    folder.mkdir(parents=True)
    config = {"model_type": "llama"} | ({"transformers_weights": named} if named else {})
    (folder / "config.json").write_text(json.dumps(config))
    if single:
        write_weights(folder / "model.safetensors")
    return folder


def add_shards(folder: Path, index: str = "model.safetensors.index.json") -> None:
    write_weights(folder / "model-00001-of-00002.safetensors", "a")
    write_weights(folder / "model-00002-of-00002.safetensors", "b")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": names}))


def names(files: tuple[Path, ...]) -> list[str]:
    return [file.name for file in files]


PIECES = ("single", "shards", "old", "pickled", "other index")


@pytest.mark.parametrize("named", ["", "old.safetensors", "other.safetensors.index.json"])
@pytest.mark.parametrize("pieces", [c for n in range(6) for c in itertools.combinations(PIECES, n)])
def test_that_the_rule_is_the_one_of_transformers(pieces: tuple[str, ...], named: str, tmp_path: Path) -> None:
    from transformers.modeling_utils import _get_resolved_checkpoint_files

    folder = make_folder(tmp_path / "m", named=named, single="single" in pieces)
    if "shards" in pieces:
        add_shards(folder)
    if "other index" in pieces:
        add_shards(folder, "other.safetensors.index.json")
    if "old" in pieces:
        write_weights(folder / "old.safetensors")
    if "pickled" in pieces:
        (folder / "pytorch_model.bin").write_bytes(b"x")
    try:
        theirs, _ = _get_resolved_checkpoint_files(
            str(folder), None, None, True, None, False, named or None, {"local_files_only": True}
        )
    except (OSError, ValueError):
        theirs = None
    # transformers opens a file that the config names and finds it missing later
    if theirs is None or not all(Path(file).is_file() for file in theirs):
        with pytest.raises(BrokenModel):
            folder_files(folder)
    else:
        assert [str(file) for file in folder_files(folder).weights] == theirs


def test_that_what_is_not_read_is_named_and_what_decides_a_run_is_listed(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    add_shards(folder)
    write_weights(folder / "old.safetensors")
    for name in ("pytorch_model.bin", "consolidated.00.pth", "optimizer.pt", "rng_state.pth", "training_args.bin"):
        (folder / name).write_bytes(b"x")
    deciding = (
        "chat_template.jinja", "generation_config.json", "merges.txt", "modeling_x.py", "tokenizer.json",
        "tokenizer.model", "tokenizer_config.json", "vocab.txt",
    )  # fmt: skip
    for name in (*deciding, "README.md", "trainer_state.json", "LICENSE.txt"):
        (folder / name).write_text("{}")
    found = folder_files(folder)
    assert names(found.weights) == ["model.safetensors"]
    assert sorted(names(found.others)) == sorted(["config.json", *deciding])
    assert found.ignored == (
        "consolidated.00.pth",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "old.safetensors",
        "pytorch_model.bin",
    )


def test_that_an_index_decides_with_its_shards(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", single=False)
    add_shards(folder)
    found = folder_files(folder)
    assert names(found.others) == ["config.json", "model.safetensors.index.json"]
    assert found.ignored == ()


def test_that_every_reader_of_weights_reads_the_same(tmp_path: Path) -> None:
    """Bytes, the transformers engine and the GGUF converter; a leftover file was read by some of them before."""
    from engines.llama.convert.weights import open_folder

    folder = make_folder(tmp_path / "m")
    write_weights(folder / "old.safetensors", "a", value=9.0)
    write_weights(folder / "zz.safetensors", "extra", count=100)
    add_shards(folder)
    assert engine_files.stored_bytes(folder) == 16
    assert names(engine_files.weight_files(folder)) == ["model.safetensors"]
    opened = open_folder(folder)
    assert list(opened) == ["a"]
    assert float(opened["a"].raw[0]) == 0.0


def test_that_weights_by_other_names_are_refused_with_what_to_do(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", single=False)
    with pytest.raises(BrokenModel, match=r"no \*\.safetensors") as caught:
        folder_files(folder)
    assert "download" in caught.value.advice
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(BrokenModel, match=r"no \*\.safetensors") as caught:
        folder_files(folder)
    assert "pickle" in caught.value.advice
    write_weights(folder / "weights.safetensors")
    with pytest.raises(BrokenModel, match="reads no others") as caught:
        folder_files(folder)
    assert "rename it to model.safetensors" in caught.value.advice
    with pytest.raises(WorkerFailure, match="reads no others"):
        engine_files.check_folder(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
@pytest.mark.parametrize("damaged", [b"{", b'{"model_type": "ll\xffma"}', b'{"weight_map": {"a": "\xff"}}'])
def test_that_a_file_that_is_no_json_or_no_utf_8_is_named(tmp_path: Path, name: str, damaged: bytes) -> None:
    folder = make_folder(tmp_path / "m", single=False)
    add_shards(folder)
    (folder / name).write_bytes(damaged)
    with pytest.raises(BrokenModel, match=rf"{name} in .* cannot be read"):
        folder_files(folder)


def test_that_an_adapter_beside_the_weights_is_refused(tmp_path: Path) -> None:
    """transformers applies it without a word where peft is installed."""
    folder = make_folder(tmp_path / "m")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(BrokenModel, match="adapter"):
        folder_files(folder)


def test_that_the_parts_of_a_gguf_model_are_its_files(tmp_path: Path) -> None:
    assert names(model_files(tmp_path / "m-00002-of-00002.gguf").all) == [
        "m-00001-of-00002.gguf",
        "m-00002-of-00002.gguf",
    ]
