"""What a model is the same as: every byte counts, each file is read once, and the memory of it can be trusted."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import pytest

from engines.hf import files as engine_files
from engines.models import identity
from engines.models.files import BrokenModel, model_files
from engines.models.identity import Digests
from engines.protocol.orders import ModelOrder
from engines.worker.failures import WorkerFailure
from tests.engines.models.test_files import add_shards, make_folder, write_weights


@pytest.fixture
def digests(tmp_path: Path) -> Digests:
    return Digests(tmp_path / "digests")


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as a large one, whose digest is kept on disk."""
    monkeypatch.setattr(identity, "SMALL_BYTES", -1)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def changed(file: Path, at: int) -> None:
    """One byte differs, the size does not."""
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(bytes(data))


def test_that_every_byte_of_the_weights_counts(tmp_path: Path, digests: Digests) -> None:
    """Deep inside a large tensor too, where sampled fingerprints did not look."""
    folder = make_folder(tmp_path / "m", single=False)
    weights = write_weights(folder / "model.safetensors", count=200_000)
    seen = {digests.of_model(model_files(folder))}
    for at in (10, weights.stat().st_size // 3, weights.stat().st_size // 2, weights.stat().st_size - 1):
        changed(weights, at)
        seen.add(digests.of_model(model_files(folder)))
    assert len(seen) == 5


@pytest.mark.parametrize(
    "name",
    ["config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "chat_template.jinja", "model_x.py",
     "special_tokens_map.json", "merges.txt", "quantize_config.json", "additional_chat_templates/rag.jinja"],
)  # fmt: skip
def test_that_everything_that_decides_a_run_counts(name: str, tmp_path: Path, digests: Digests) -> None:
    folder = make_folder(tmp_path / "m")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text('{"model_type": "llama", "a": 1}')
    before = digests.of_model(model_files(folder))
    (folder / name).write_text('{"model_type": "llama", "a": 2}')
    assert digests.of_model(model_files(folder)) != before


def test_that_place_time_and_what_is_not_read_do_not_count(tmp_path: Path, digests: Digests) -> None:
    first, second = make_folder(tmp_path / "a"), make_folder(tmp_path / "b")
    before = digests.of_model(model_files(first))
    for name in ("README.md", "trainer_state.json"):
        (second / name).write_text("x")
    write_weights(second / "old.safetensors")
    os.utime(second / "config.json", (1, 1))
    assert digests.of_model(model_files(second)) == before
    assert before.startswith("sha256:")


def test_that_weights_in_shards_are_in_the_fingerprint_each(tmp_path: Path, digests: Digests) -> None:
    folder = make_folder(tmp_path / "m", single=False)
    add_shards(folder)
    before = digests.of_model(model_files(folder))
    shard = folder / "model-00002-of-00002.safetensors"
    changed(shard, shard.stat().st_size - 1)
    assert digests.of_model(model_files(folder)) != before


def test_that_a_gguf_file_is_named_by_its_own_hash_wherever_it_lies(tmp_path: Path, digests: Digests) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(b"GGUF...")
    found = digests.of_model(model_files(file))
    assert found == f"sha256:{sha(b'GGUF...')}"
    assert digests.of_model(model_files(file.rename(tmp_path / "b.gguf"))) == found
    parts = [tmp_path / f"c-0000{n}-of-00002.gguf" for n in (1, 2)]
    for part in parts:
        part.write_bytes(b"GGUF...")
    two = digests.of_model(model_files(parts[1]))
    parts[1].write_bytes(b"GGUF..!")
    assert len({found, two, digests.of_model(model_files(parts[0]))}) == 3


def test_that_blobs_are_believed_by_their_name_and_other_names_are_not(tmp_path: Path, digests: Digests) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / ("a" * 64)).write_bytes(b"weights")
    (blobs / ("b" * 40)).write_bytes(b"config")  # as git names small files
    (snapshot / "model.safetensors").symlink_to(blobs / ("a" * 64))
    (snapshot / "config.json").symlink_to(blobs / ("b" * 40))
    assert digests.known(snapshot / "model.safetensors") == "a" * 64
    assert digests.known(snapshot / "config.json") == sha(b"config")
    elsewhere = tmp_path / ("c" * 64)
    elsewhere.write_bytes(b"x")
    assert digests.known(elsewhere) == sha(b"x")
    (blobs / ("sha256-" + "d" * 64)).write_bytes(b"x")
    assert digests.known(blobs / ("sha256-" + "d" * 64)) == "d" * 64
    (snapshot / "gone").symlink_to(blobs / ("e" * 64))
    with pytest.raises(OSError, match="No such file"):
        digests.known(snapshot / "gone")


@pytest.mark.usefixtures("all_large")
def test_that_a_file_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"one")
    read: list[int] = []
    digests = Digests(tmp_path / "digests")
    assert digests.known(file) is None
    assert digests.of(file, read.append) == sha(b"one")
    assert read == [3]
    again = Digests(tmp_path / "digests")  # another process
    assert again.of(file, read.append) == sha(b"one")
    assert read == [3]
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a tool that keeps times does
    assert again.known(file) is None
    assert again.of(file, read.append) == sha(b"two")
    assert read == [3, 3]
    assert len(list((tmp_path / "digests").iterdir())) == 1, "what was known of the old contents is gone"


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize("damage", [b"", b"not a hash", b"\xff\xfe", b"a" * 63, b"A" * 64])
def test_that_a_damaged_memory_is_no_memory(damage: bytes, tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"one")
    Digests(tmp_path / "digests").of(file)
    (kept,) = (tmp_path / "digests").iterdir()
    kept.write_bytes(damage)
    digests = Digests(tmp_path / "digests")
    assert digests.known(file) is None
    assert digests.of(file) == sha(b"one")
    assert kept.read_text() == sha(b"one")


@pytest.mark.usefixtures("all_large")
def test_that_a_folder_that_cannot_be_written_costs_time_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"one")
    (tmp_path / "digests").write_text("a file in the way")
    digests = Digests(tmp_path / "digests")
    assert digests.of(file) == sha(b"one")
    assert digests.known(file) == sha(b"one")


def test_that_a_file_that_changes_while_it_is_read_has_no_digest(tmp_path: Path, digests: Digests) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"one")

    def grow(_count: int) -> None:
        with file.open("ab") as stream:
            stream.write(b"!" if file.stat().st_size < 10 else b"")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "SMALL_BYTES", -1)
        with pytest.raises(BrokenModel, match="changed while it was read"):
            digests.of(file, grow)


def test_that_an_engine_refuses_files_that_are_not_those_that_were_planned(tmp_path: Path, digests: Digests) -> None:
    folder = make_folder(tmp_path / "m")
    planned = digests.of_model(model_files(folder))
    order = ModelOrder(ref="m", title="m", kind="folder", path=str(folder), fingerprint=planned)
    engine_files.check_same(order, folder, digests)
    write_weights(folder / "model.safetensors", value=2.0)
    with pytest.raises(WorkerFailure, match="have changed since"):
        engine_files.check_same(order, folder, digests)
    # of an earlier version: it sampled, and says nothing about every byte
    engine_files.check_same(msgspec.structs.replace(order, fingerprint="0" * 64), folder, digests)
