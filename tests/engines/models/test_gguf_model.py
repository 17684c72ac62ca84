"""GGUF models by the headers of their files, whole and broken. No llama.cpp."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from engines.hf.files import gguf_model
from engines.llama import shape
from engines.models.gguf import GgufModel
from engines.models.headers import Tensor
from engines.techniques.layers import LayerGroup, layers_of_details
from engines.worker.failures import WorkerFailure
from tests.tiny_gguf import CONTEXT_TOKENS, HEADS, HIDDEN, KV_HEADS, LAYERS, vocabulary, write_tiny_gguf


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "tiny.gguf", stored="Q8_0")


def refused(file: Path) -> WorkerFailure:
    with pytest.raises(WorkerFailure) as raised:
        gguf_model(file)
    assert raised.value.kind == "model"
    assert raised.value.advice
    return raised.value


def test_that_a_whole_file_is_read_as_the_gguf_package_reads_it(file: Path) -> None:
    from gguf import GGUFReader

    header, expected = gguf_model(file), GGUFReader(str(file))
    assert {t.name: (t.dtype, t.weights, t.size_bytes) for t in header.tensors} == {
        t.name: (t.tensor_type.name, int(t.n_elements), int(t.n_bytes)) for t in expected.tensors
    }
    assert (header.architecture, header.number("block_count")) == ("llama", LAYERS)
    assert header.tensor_bytes == sum(header.bytes_by_type().values())
    assert header.metadata["tokenizer.ggml.tokens"] == len(vocabulary())


def test_that_known_types_have_the_block_sizes_of_the_gguf_package() -> None:
    from gguf import GGML_QUANT_SIZES

    from engines.protocol.gguf_types import GGUF_TYPES

    # Q8_1 is made of activations in memory and is in no file; the package still gives its former size
    ours = {number: (block, size) for number, (name, block, size) in GGUF_TYPES.items() if name != "Q8_1"}
    theirs = {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()}
    assert {number: sizes for number, sizes in ours.items() if number in theirs} == {
        number: sizes for number, sizes in theirs.items() if number in ours
    }
    assert len(ours) >= 25


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_that_a_file_cut_short_is_refused_with_its_sizes(file: Path, kept: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept)])
    message = refused(file).message
    assert "tiny.gguf is damaged" in message
    assert "cut short" in message or "ends inside its header" in message


def test_that_every_cut_of_the_header_is_refused(file: Path) -> None:
    whole = file.read_bytes()
    for length in range(4, 400):
        file.write_bytes(whole[:length])
        refused(file)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"PK\x03\x04" + bytes(60), "not a GGUF file"),
        (b"\x80\x02}q" + bytes(60), "not a GGUF file"),
        (b"", "not a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
        (b"GGUF", "cut short"),
        (b"GGUF" + struct.pack("<I", 4) + bytes(60), "GGUF version 4"),
        (b"GGUF" + struct.pack("<I", 0) + bytes(60), "GGUF version 0"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(60), "GGUF version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(60), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1) + bytes(60), "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + bytes(60), "holds no tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + b"\xff" * 60, "damaged"),
    ],
)
def test_that_what_is_no_readable_gguf_is_refused_in_words(tmp_path: Path, start: bytes, words: str) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(start)
    assert words in refused(file).message


def test_that_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path / "none.gguf").message


def test_that_an_unknown_tensor_type_is_refused_by_name(file: Path) -> None:
    whole = file.read_bytes()
    place = whole.index(b"token_embd.weight") + len(b"token_embd.weight") + 4 + 2 * 8
    assert struct.unpack_from("<I", whole, place) == (8,)  # Q8_0
    file.write_bytes(whole[:place] + struct.pack("<I", 999) + whole[place + 4 :])
    failure = refused(file)
    assert "token_embd.weight" in failure.message
    assert "999" in failure.message


def test_that_a_model_in_several_files_counts_the_tensors_of_all(tmp_path: Path) -> None:
    parts = [write_tiny_gguf(tmp_path / f"m-0000{n}-of-00002.gguf", parts=(n, 2)) for n in (1, 2)]
    assert gguf_model(parts[0]).parameters == 2 * gguf_model(write_tiny_gguf(tmp_path / "one.gguf")).parameters
    assert "Choose its first part, m-00001-of-00002.gguf" in refused(parts[1]).advice
    parts[1].unlink()
    assert f"1 of 2 parts of the model is missing in {tmp_path}: m-00002-of-00002.gguf" in refused(parts[0]).message


def test_that_a_part_under_another_name_is_told_what_it_should_be_called(tmp_path: Path) -> None:
    renamed = write_tiny_gguf(tmp_path / "best.gguf", parts=(2, 3))
    assert "best.gguf is part 2 of a model in 3 files" in refused(renamed).message
    assert "NAME-00002-of-00003.gguf" in refused(renamed).advice


def test_that_a_part_that_is_another_one_is_damaged(tmp_path: Path) -> None:
    first = write_tiny_gguf(tmp_path / "m-00001-of-00002.gguf", parts=(1, 2))
    write_tiny_gguf(tmp_path / "m-00002-of-00002.gguf", parts=(1, 2))
    assert "m-00002-of-00002.gguf is damaged: it is not part 2 of 2" in refused(first).message
    write_tiny_gguf(tmp_path / "m-00002-of-00002.gguf")
    assert "it is not part 2 of 2" in refused(first).message


def test_that_parts_of_different_models_are_noticed_by_their_number_of_tensors(tmp_path: Path) -> None:
    first = write_tiny_gguf(tmp_path / "m.gguf", tensors_a_part=8)
    assert first.name == "m-00001-of-00003.gguf"
    assert len(gguf_model(first).tensors) == 20
    other = write_tiny_gguf(tmp_path / "other.gguf", tensors_a_part=9)
    other.with_name("other-00003-of-00003.gguf").replace(tmp_path / "m-00003-of-00003.gguf")
    assert "its 3 parts hold 18 tensors together, not 20" in refused(first).message


# --- what the shape means -------------------------------------------------------------------------


def test_that_the_shape_is_told_in_facts(file: Path) -> None:
    found = shape.details(gguf_model(file), "Q8_0")
    assert found["vocabulary"] == str(len(vocabulary()))
    assert found["layers"] == str(LAYERS)
    assert layers_of_details(found).groups == (LayerGroup(LAYERS, HIDDEN, KV_HEADS * 2 * HIDDEN // HEADS),)
    assert found["context_tokens"] == str(CONTEXT_TOKENS)
    assert "experts" not in found


def test_that_heads_are_read_layer_by_layer(tmp_path: Path) -> None:
    header = gguf_model(write_tiny_gguf(tmp_path / "m.gguf", kv_heads=(2, *[0] * (LAYERS - 1))))
    assert header.metadata["llama.attention.head_count_kv"] == (2, *[0] * (LAYERS - 1))
    found = shape.details(header, "F32")
    assert "kv_heads" not in found, "there is no one number"
    kept = LayerGroup(1, HIDDEN, 2 * 2 * HIDDEN // HEADS)
    assert layers_of_details(found).groups == (kept, LayerGroup(LAYERS - 1, 0, 0))


def test_that_stored_bits_count_scales_and_leave_norms_out(file: Path) -> None:
    assert shape.stored_bits(gguf_model(file)) == pytest.approx(8.5)


def test_that_stored_bits_of_an_unquantised_file_are_its_own(tmp_path: Path) -> None:
    header = gguf_model(write_tiny_gguf(tmp_path / "f16.gguf", stored="F16"))
    assert 16 < shape.stored_bits(header) < 16.2  # norms stay in float32


@pytest.mark.parametrize(
    ("name", "bits"),
    [("Q4_K - Medium", 4), ("Q4_1", 4), ("BF16", 16), ("all F32", 32), ("IQ2_XXS - 2.0625 bpw", 2), ("unknown", 0)],
)
def test_that_a_file_type_names_its_bits(name: str, bits: float) -> None:
    assert shape.named_bits(name) == bits


def test_that_a_mixture_of_experts_uses_a_part_of_its_parameters() -> None:
    metadata = {"general.architecture": "m", "m.expert_count": 8, "m.expert_used_count": 2}
    tensors = (
        Tensor("blk.0.ffn_up_exps.weight", "F16", (8, 100), 1600),
        Tensor("blk.0.attn_q.weight", "F16", (10, 10), 200),
    )
    assert shape.active_parameters(GgufModel(metadata, tensors)) == 300
