"""Finding models: refs, whole and broken files, stores of other programs."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from engines.models.files import BrokenModel
from engines.models.headers import read_gguf, read_safetensors
from engines.models.lookup.catalogue import catalogue
from engines.models.lookup.facts import inspect_folder, inspect_gguf
from engines.models.lookup.local_models import local_models
from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.places import Places
from engines.protocol.problems import Problem
from engines.techniques.layers import LayerGroup

CONFIG = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 10,
    "max_position_embeddings": 32,
}
TENSORS = {
    "model.embed_tokens.weight": (10, 8),
    "model.layers.0.self_attn.q_proj.weight": (8, 8),
    "model.layers.0.input_layernorm.weight": (8,),
}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No store of the person who runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)


def write_safetensors(file: Path, tensors: dict[str, tuple[int, ...]] = TENSORS, fill: bytes = b"\1") -> Path:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in tensors.items():
        size = 2
        for dimension in shape:
            size *= dimension
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(raw)) + raw + fill * at)
    return file


def make_folder(folder: Path, config: dict[str, object] | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG if config is None else config))
    write_safetensors(folder / "model.safetensors")
    return folder


def write_gguf(file: Path, tokenizer: str = "gpt2", *, architecture: str = "llama", type: str = "") -> Path:
    import gguf
    import numpy as np

    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(file, architecture)
    if type:
        writer.add_type(type)
    writer.add_name("Small One")
    writer.add_context_length(256)
    writer.add_block_count(1)
    writer.add_embedding_length(32)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    if tokenizer:
        writer.add_tokenizer_model(tokenizer)
    writer.add_token_list(["a", "b", "c"])
    writer.add_token_scores([0.0, 1.0, 2.0])
    writer.add_tensor("token_embd.weight", np.zeros((3, 32), dtype=np.float32))
    writer.add_tensor(
        "blk.0.attn_q.weight", np.zeros((32, 34), dtype=np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q8_0
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def problem_of(found: ResolvedModel | Problem) -> Problem:
    assert isinstance(found, Problem)
    assert found.severity == "error"
    return found


def model_of(found: ResolvedModel | Problem) -> ResolvedModel:
    assert isinstance(found, ResolvedModel)
    return found


# --- refs ------------------------------------------------------------------------------------------


def test_that_random_weights_need_nothing_on_disk(home: Places, tmp_path: Path) -> None:
    model = model_of(resolve("random:gpt2", home, tmp_path))
    assert model.order.kind == "random"
    assert model.order.config["model_type"] == "gpt2"
    assert model.order.title.endswith("(random weights)")
    assert not model.quality_available
    assert model.facts.parameters == 124_439_808
    assert "gpt2" in problem_of(resolve("random:gtp2", home, tmp_path)).hint


def test_that_the_starter_is_named_by_how_to_get_it_until_it_is_there(home: Places, tmp_path: Path) -> None:
    missing = problem_of(resolve("smollm2-135m-instruct", home, tmp_path))
    assert "--fetch-starter" in missing.hint
    assert missing.fixes[0].value == "random:smollm2-135m-instruct"
    make_folder(home.starter_model)
    model = model_of(resolve("smollm2-135m-instruct", home, tmp_path))
    assert model.order.title == "SmolLM2-135M-Instruct (from Q4_1)"
    assert "Q4_1" in model.order.origin
    assert [m.ref for m in local_models(home)] == ["smollm2-135m-instruct"]


def test_that_a_folder_is_found_by_absolute_relative_and_home_path(home: Places, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "user" / "m")
    for ref, base in ((str(folder), Path("/")), ("m", folder.parent), ("./m", folder.parent), ("~/m", Path("/"))):
        model = model_of(resolve(ref, home, base))
        assert model.order.path == str(folder) or Path(model.order.path).samefile(folder)
        assert model.order.kind == "folder"
        assert model.order.ref == ref
    facts = model.facts
    assert (facts.parameters, facts.linear_parameters, facts.stored_bytes) == (152, 64, 304)
    assert (facts.stored_dtype, facts.kv_heads, facts.head_dim, facts.context_tokens) == ("bfloat16", 1, 4, 32)
    assert not facts.has_tokenizer
    assert not model.quality_available
    (folder / "tokenizer.json").write_text("{}")
    assert model_of(resolve(str(folder), home, tmp_path)).quality_available


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("smolm2-135m-instruct", "Did you mean 'smollm2-135m-instruct'"),
        ("nonsense", "catalogue id"),
        ("/no/such/folder", "no such file"),
        ("./gone", "no such file"),
        ("gone.gguf", "no such file"),
        ("", "no such file"),
        ("a\0b", "Unknown model"),
        ("~nobody-of-that-name/x", "cannot be read"),
        ("x" * 5000, "cannot be read"),
        ("llama-3.2-1b-instruct", "not downloaded"),
    ],
)
def test_that_a_ref_that_names_nothing_says_what_to_do(ref: str, words: str, home: Places, tmp_path: Path) -> None:
    found = problem_of(resolve(ref, home, tmp_path))
    assert words in f"{found.message} {found.hint}"
    assert found.fixes[-1].label == "Leave out"


def test_that_a_hub_id_comes_from_the_cache_or_is_marked_for_download(
    home: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = model_of(resolve("Org/Name-1", home, tmp_path))
    assert absent.order.kind == "hub"
    assert "will be downloaded" in absent.problems[0].message
    known = model_of(resolve("Qwen/Qwen2.5-0.5B-Instruct", home, tmp_path))
    assert (known.order.kind, known.facts.parameters) == ("hub", 494_032_768)

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    repository = tmp_path / "hf" / "hub" / "models--Org--Name-1"
    for commit in ("aaa", "bbb"):
        make_folder(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("aaa")
    there = model_of(resolve("Org/Name-1", home, tmp_path))
    assert (there.order.kind, there.order.revision, there.order.title) == ("folder", "aaa", "Name-1")
    assert [m.ref for m in local_models(home)] == ["Org/Name-1"]


# --- broken files ----------------------------------------------------------------------------------


def test_that_a_folder_that_is_not_a_model_says_so(home: Places, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no config.json" in problem_of(resolve("./empty", home, tmp_path)).message
    (tmp_path / "empty" / "config.json").write_text("{")
    assert "cannot be read" in problem_of(resolve("./empty", home, tmp_path)).message
    (tmp_path / "empty" / "config.json").write_text("{}")
    assert "model_type" in problem_of(resolve("./empty", home, tmp_path)).message
    (tmp_path / "empty" / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "empty" / "pytorch_model.bin").write_bytes(b"x")
    assert "safetensors" in problem_of(resolve("./empty", home, tmp_path)).hint


@pytest.mark.parametrize("keep", [0, 4, 8, 20, -1, -100])
def test_that_a_truncated_safetensors_file_is_found_without_reading_it(keep: int, home: Places, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    found = problem_of(resolve(str(folder), home, tmp_path))
    assert "model.safetensors" in found.message
    assert "again" in found.hint


def test_that_headers_that_lie_are_refused(tmp_path: Path) -> None:
    file = write_safetensors(tmp_path / "x.safetensors")
    file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(BrokenModel, match="longer than its header"):
        read_safetensors(file)
    for entry in (
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": "x"},
        3,
    ):
        raw = json.dumps({"w": entry}).encode()
        file.write_bytes(struct.pack("<Q", len(raw)) + raw + b"0000")
        with pytest.raises(BrokenModel):
            read_safetensors(file)


def test_that_a_missing_shard_is_named(home: Places, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    found = problem_of(resolve(str(folder), home, tmp_path))
    assert "1 of 2 weight files are missing" in found.message
    assert "model-00002-of-00002.safetensors" in found.message
    write_safetensors(folder / "model-00002-of-00002.safetensors")
    assert model_of(resolve(str(folder), home, tmp_path)).facts.parameters == 304


def test_that_weights_in_a_folder_that_are_not_the_models_are_named(home: Places, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m")
    assert model_of(resolve(str(folder), home, tmp_path)).problems == ()
    write_safetensors(folder / "old.safetensors")
    model = model_of(resolve(str(folder), home, tmp_path))
    (note,) = model.problems
    assert note.severity == "note"
    assert note.message == "m: old.safetensors in its folder is not read."
    assert (model.facts.parameters, model.facts.stored_bytes) == (152, 304), "the file that is not read does not count"
    (listed,) = local_models(home, (folder,))
    assert listed.size_bytes == (folder / "model.safetensors").stat().st_size
    for name in ("a", "b", "c"):
        write_safetensors(folder / f"{name}.safetensors")
    (note,) = model_of(resolve(str(folder), home, tmp_path)).problems
    assert note.message == "m: a.safetensors, b.safetensors, c.safetensors and 1 more in its folder are not read."


# --- GGUF ------------------------------------------------------------------------------------------


def test_that_a_gguf_header_gives_the_facts(home: Places, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "small.gguf")
    model = model_of(resolve("small.gguf", home, tmp_path))
    facts = model.facts
    assert (facts.kind, facts.architecture, facts.layers, facts.context_tokens) == ("gguf", "llama", 1, 256)
    assert (facts.heads, facts.kv_heads, facts.head_dim, facts.vocabulary) == (4, 2, 8, 3)
    assert facts.parameters == 3 * 32 + 32 * 32
    assert facts.stored_bytes == 3 * 32 * 4 + 32 * 34
    assert facts.linear_parameters == 32 * 32
    assert facts.has_tokenizer
    assert model.order.origin == "stored as Q8_0"
    from tests.tiny_gguf import write_tiny_gguf

    plain = model_of(resolve(str(write_tiny_gguf(tmp_path / "plain.gguf", stored="F16")), home, tmp_path))
    assert plain.order.origin == "", "its quality is that of the model"
    assert inspect_gguf(file)[1] == "Small One"


def test_that_a_list_of_heads_in_a_gguf_file_is_read_layer_by_layer_and_not_taken_for_its_length(
    tmp_path: Path,
) -> None:
    from tests.tiny_gguf import HEADS, HIDDEN, LAYERS, write_tiny_gguf

    facts = inspect_gguf(write_tiny_gguf(tmp_path / "m.gguf", kv_heads=(2, *[0] * (LAYERS - 1))))[0]
    assert facts.kv_heads == 2
    assert facts.attention.groups == (LayerGroup(1, HIDDEN, 4 * HIDDEN // HEADS), LayerGroup(LAYERS - 1, 0, 0))


@pytest.mark.parametrize(
    ("file_type", "name"), [(15, "Q4_K_M"), (7, "Q8_0"), (None, "Q8_0"), (999, "Q8_0"), (1, "Q8_0")]
)
def test_that_a_gguf_file_is_called_by_its_own_type_not_by_that_of_most_weights(
    home: Places, tmp_path: Path, file_type: int | None, name: str
) -> None:
    from tests.tiny_gguf import write_tiny_gguf

    file = write_tiny_gguf(tmp_path / "m.gguf", stored="Q8_0", file_type=file_type)
    model = model_of(resolve(str(file), home, tmp_path))
    assert (model.facts.stored_dtype, model.order.origin) == (name, f"stored as {name}")


def test_that_file_types_are_those_of_the_gguf_package() -> None:
    from gguf.constants import LlamaFileType

    from engines.protocol.gguf_types import FILE_TYPES

    known = {int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_") for kind in LlamaFileType}
    assert {number: known[number].removesuffix("_MOE") for number in FILE_TYPES} == FILE_TYPES


def test_that_broken_gguf_files_are_told_apart(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "x.gguf")
    whole = file.read_bytes()
    for broken, words in (
        (b"GGUX" + whole[4:], "not a GGUF file"),
        (whole[:10], "cut short"),
        (whole[:100], "ends inside its header"),
        (whole[:-600], "cut short"),
        (whole[:4] + struct.pack("<I", 9) + whole[8:], "version 9"),
        (whole[:4] + struct.pack(">I", 3) + whole[8:], "big-endian"),
        (whole[:8] + b"\xff" * 16 + whole[24:], "damaged"),
    ):
        file.write_bytes(broken)
        with pytest.raises(BrokenModel, match=words):
            read_gguf(file)


@pytest.mark.parametrize(
    ("version", "what", "to_do"),
    [
        (struct.pack("<I", 4), "of GGUF version 4", "newer than this program: update"),
        (struct.pack("<I", 1), "of GGUF version 1", "current converter"),
        (struct.pack(">I", 3), "big-endian", "little-endian file"),
    ],
)
def test_that_a_gguf_file_of_another_version_says_what_to_do_about_it(
    version: bytes, what: str, to_do: str, home: Places, tmp_path: Path
) -> None:
    file = write_gguf(tmp_path / "x.gguf")
    whole = file.read_bytes()
    file.write_bytes(whole[:4] + version + whole[8:])
    found = problem_of(resolve(str(file), home, tmp_path))
    assert f"x.gguf is {what}" in found.message
    assert to_do in found.hint


@pytest.mark.parametrize("name", ["notes.txt", "pytorch_model.bin", "renamed.gguf"])
def test_that_a_file_that_is_no_model_is_told_what_a_model_is(name: str, home: Places, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"a text that is no model\n" * 4)
    found = problem_of(resolve(f"./{name}", home, tmp_path))
    assert f"{name} is not a GGUF file" in found.message
    assert "config.json and *.safetensors" in found.hint


def test_that_a_pointer_of_git_lfs_is_called_that(home: Places, tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 12345\n"
    (tmp_path / "x.gguf").write_bytes(pointer)
    folder = make_folder(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(pointer)
    for ref, name in (("./x.gguf", "x.gguf"), ("./m", "model.safetensors")):
        found = problem_of(resolve(ref, home, tmp_path))
        assert found.message.startswith(f"{name} is a pointer of Git LFS")
        assert "git lfs pull" in found.hint


@pytest.mark.parametrize(
    ("architecture", "type", "said"),
    [("clip", "", "vision part"), ("clip", "mmproj", "vision part"), ("llama", "adapter", "an adapter")],
)
def test_that_a_file_that_goes_with_a_model_is_none(
    architecture: str, type: str, said: str, home: Places, tmp_path: Path
) -> None:
    file = write_gguf(tmp_path / "x.gguf", architecture=architecture, type=type)
    found = problem_of(resolve(str(file), home, tmp_path))
    assert found.message.startswith("x.gguf is no whole model, but ")
    assert said in found.message
    assert "model itself" in found.hint
    assert model_of(resolve(str(write_gguf(tmp_path / "y.gguf", type="model")), home, tmp_path))


@pytest.mark.parametrize("tokenizer", ["no_vocab", "none", ""])
def test_that_a_gguf_file_that_says_it_has_no_tokenizer_has_none(tokenizer: str, home: Places, tmp_path: Path) -> None:
    model = model_of(resolve(str(write_gguf(tmp_path / "bare.gguf", tokenizer)), home, tmp_path))
    assert not model.facts.has_tokenizer
    assert not model.quality_available
    assert model_of(resolve(str(write_gguf(tmp_path / "whole.gguf")), home, tmp_path)).quality_available


def test_that_a_gguf_model_in_parts_is_one_model_by_any_of_its_parts(home: Places, tmp_path: Path) -> None:
    from tests.tiny_gguf import write_tiny_gguf

    first = write_tiny_gguf(tmp_path / "tiny.gguf", tensors_a_part=8)
    whole = model_of(resolve(str(write_tiny_gguf(tmp_path / "whole" / "tiny.gguf")), home, tmp_path))
    for chosen in ("tiny-00001-of-00003.gguf", "tiny-00002-of-00003.gguf"):
        model = model_of(resolve(chosen, home, tmp_path))
        assert (model.order.title, model.order.path) == ("tiny", str(first))
        assert model.facts == whole.facts
    (listed,) = (m for m in local_models(home, (tmp_path,)) if "whole" not in m.path)
    assert (listed.title, listed.ref, listed.problem) == ("tiny", str(first), "")
    assert listed.size_bytes == sum(file.stat().st_size for file in tmp_path.glob("tiny-*.gguf"))


def test_that_a_missing_part_and_a_renamed_one_are_told(home: Places, tmp_path: Path) -> None:
    from tests.tiny_gguf import write_tiny_gguf

    write_tiny_gguf(tmp_path / "tiny.gguf", tensors_a_part=8)
    (tmp_path / "tiny-00002-of-00003.gguf").rename(tmp_path / "second.gguf")
    missing = problem_of(resolve("tiny-00001-of-00003.gguf", home, tmp_path))
    assert "1 of 3 parts of the model is missing" in missing.message
    assert "tiny-00002-of-00003.gguf" in missing.message
    renamed = problem_of(resolve("second.gguf", home, tmp_path))
    assert "NAME-00002-of-00003.gguf" in renamed.hint
    listed = {m.title: m for m in local_models(home, (tmp_path,))}
    assert listed["tiny"].problem == "1 of its 3 parts is missing."


def test_that_a_gguf_file_of_the_hub_is_fetched_later_and_then_a_file_like_any(
    home: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    later = model_of(resolve("org/name/sub/small-Q8_0.gguf", home, tmp_path))
    assert (later.order.kind, later.order.path) == ("hub", "org/name/sub/small-Q8_0.gguf")
    assert (later.order.title, later.facts.kind) == ("small-Q8_0", "gguf")
    assert "will be downloaded" in later.problems[0].message
    file = write_gguf(tmp_path / "hub" / "models--org--name" / "snapshots" / "abc" / "sub" / "small-Q8_0.gguf")
    here = model_of(resolve("org/name/sub/small-Q8_0.gguf", home, tmp_path))
    assert (here.order.kind, here.order.path) == ("gguf", str(file))


def test_that_a_path_with_a_slip_in_it_is_no_hub_model(home: Places, tmp_path: Path) -> None:
    (tmp_path / "models" / "good").mkdir(parents=True)
    assert "no such file" in problem_of(resolve("models/gooood/x.gguf", home, tmp_path)).message


def test_that_a_download_that_did_not_finish_can_be_gone_on_with(
    home: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = make_folder(tmp_path / "hub" / "models--org--name" / "snapshots" / "abc")
    assert model_of(resolve("org/name", home, tmp_path)).order.kind == "folder"
    (snapshot / "model.safetensors").unlink()
    again = model_of(resolve("org/name", home, tmp_path))
    assert again.order.kind == "hub"
    assert "is not whole" in again.problems[0].hint


# --- stores ----------------------------------------------------------------------------------------


def test_that_stores_of_other_programs_are_listed_and_broken_entries_survived(home: Places, tmp_path: Path) -> None:
    user = tmp_path / "user"
    write_gguf(user / ".lmstudio/models/pub/model/small.gguf")
    manifests = user / ".ollama/models/manifests/registry.ollama.ai/library"
    blobs = user / ".ollama/models/blobs"
    blobs.mkdir(parents=True)
    (manifests / "tiny").mkdir(parents=True)
    write_gguf(blobs / "sha256-abc").chmod(0o600)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:abc", "size": 5}
    (manifests / "tiny" / "latest").write_text(json.dumps({"layers": [layer]}))
    (manifests / "tiny" / "lost").write_text(json.dumps({"layers": [{**layer, "digest": "sha256:def"}]}))
    (manifests / "tiny" / "broken").write_text("{")
    (manifests / "tiny" / "evil").write_text(json.dumps({"layers": [{**layer, "digest": "../../x"}]}))
    extra = tmp_path / "extra"
    make_folder(extra / "deep" / "m")
    make_folder(extra / "bad", {"no": "type"})
    (extra / "loop").symlink_to(extra)
    hub = user / ".cache/huggingface/hub"
    (hub / "models--half--done" / "snapshots" / "x").mkdir(parents=True)
    found = {m.title: m for m in local_models(home, (extra, tmp_path / "not-there"))}
    assert set(found) == {"small", "tiny:latest", "tiny:lost", "m", "bad"}
    assert found["tiny:latest"].source == "Ollama"
    assert "pull the model again" in found["tiny:lost"].problem
    assert found["small"].source == "LM Studio"
    assert found["m"].architecture == "llama"
    assert "model_type" in found["bad"].problem
    assert model_of(resolve(found["tiny:latest"].ref, home, tmp_path)).order.title == "Small One"


def test_that_the_catalogue_starts_with_the_starter_and_has_no_id_twice() -> None:
    entries = catalogue()
    assert entries[0].starter
    assert sum(e.starter for e in entries) == 1
    assert len({e.id for e in entries}) == len(entries) >= 16
    assert all(e.facts("random").layers and e.facts("random").head_dim for e in entries)


# --- against the real library ----------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize("id", [e.id for e in catalogue()])
def test_that_a_catalogue_entry_builds_the_model_it_describes(id: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    entry = next(e for e in catalogue() if e.id == id)
    config = AutoConfig.for_model(**entry.config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    assert sum(p.numel() for p in model.parameters()) == entry.parameters
    assert sum(m.weight.numel() for m in linear) == entry.linear_parameters
    facts = entry.facts("random")
    assert facts.context_tokens == config.max_position_embeddings
    assert facts.layers == config.num_hidden_layers
    assert facts.head_dim == (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


@pytest.mark.real
@pytest.mark.parametrize(
    "architecture", ["llama", "qwen2", "gpt_neox", "falcon", "olmoe", "gpt2", "phi3", "gemma3_text"]
)
def test_that_header_facts_agree_with_the_model_transformers_saves(architecture: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": 0}
    if architecture == "gpt2":
        sizes = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4}
    else:
        sizes |= {"intermediate_size": 48} if architecture != "falcon" else {}
    if architecture == "gemma3_text":
        sizes |= {"head_dim": 8, "num_key_value_heads": 2}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **sizes))
    model.save_pretrained(tmp_path / "m")
    facts, _ = inspect_folder(tmp_path / "m")
    head = model.get_output_embeddings()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    assert facts.parameters == sum(p.numel() for p in model.parameters())
    assert facts.linear_parameters == sum(m.weight.numel() for m in linear)
    assert facts.layers == 2


@pytest.mark.real
def test_that_a_folder_written_by_bitsandbytes_is_planned_with_all_its_weights(tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

    from engines.models.lookup.facts import inspect_folder

    config = AutoConfig.for_model(
        "llama",
        hidden_size=64,
        num_hidden_layers=2,
        vocab_size=96,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    AutoModelForCausalLM.from_config(config).save_pretrained(plain)
    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    AutoModelForCausalLM.from_pretrained(plain, quantization_config=quantised).save_pretrained(packed)
    was, now = inspect_folder(plain)[0], inspect_folder(packed)[0]
    assert now.parameters == was.parameters
    assert now.linear_parameters == was.linear_parameters
    assert now.stored_dtype == "nf4"
    assert now.stored_bytes < was.stored_bytes / 2
