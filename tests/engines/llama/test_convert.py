"""Conversion to GGUF: llama.cpp computes what transformers computes, and cuts text into the same tokens."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.data.text import held_out_text
from engines.techniques.gguf import CONVERTIBLE
from engines.worker.failures import WorkerFailure
from tests.engines.llama.kit import FAMILIES, copy_of, llama_logits, make_family, need_llama, transformers_logits
from tests.tiny_model import BEGINS, VOCABULARY, make_tiny_model

need_llama()

from engines.hf.files import gguf_model  # noqa: E402
from engines.llama.convert import check, sentencepiece, tokenizer  # noqa: E402
from engines.llama.convert.shape import ARCHITECTURES, shape_of  # noqa: E402
from engines.llama.convert.weights import Stored, converted, open_folder  # noqa: E402
from engines.llama.convert.write import convert_folder, write_random  # noqa: E402

IDS = [(n * 7919) % VOCABULARY for n in range(200)]


def quiet(_text: str, _share: float) -> None:
    pass


def changed(tiny: Path, target: Path, **settings: Any) -> Path:
    """A copy of the tiny model whose config says something else."""
    folder = copy_of(tiny, target)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **settings}))
    return folder


# --- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_that_both_engines_compute_the_same_logits(family: str, tmp_path: Path) -> None:
    folder = make_family(tmp_path / "model", FAMILIES[family])
    target = tmp_path / "model.gguf"
    convert_folder(folder, target, "F32", family, quiet)
    expected = transformers_logits(folder, IDS)
    assert expected.std() > 0.5, "logits that hardly differ would show nothing"
    np.testing.assert_allclose(llama_logits(target, IDS), expected, atol=5e-5)


def test_that_a_bfloat16_model_is_the_same_in_float16(tmp_path: Path) -> None:
    """float16 holds every bfloat16 weight of ordinary size, so the two files hold the same numbers."""
    folder = make_family(tmp_path / "model", FAMILIES["llama"], dtype="bfloat16")
    for kind in ("F32", "F16"):
        convert_folder(folder, tmp_path / f"{kind}.gguf", kind, "tiny", quiet)
    exact, half = (llama_logits(tmp_path / f"{kind}.gguf", IDS) for kind in ("F32", "F16"))
    np.testing.assert_allclose(exact, transformers_logits(folder, IDS), atol=5e-5)
    np.testing.assert_allclose(half, exact, atol=0.02)  # activations may be rounded to float16 too


@pytest.mark.parametrize("wanted", ["F16", "BF16"])
def test_that_types_are_converted_as_torch_does(wanted: str) -> None:
    import torch

    values = np.concatenate(
        [
            np.random.default_rng(0).normal(0, 1, 10_000),
            [0.0, -0.0, 1e-7, -3.1e-6, 6.1e-5, 65504.0, 1.0039062, 1.0117188],
        ]
    ).astype(np.float32)
    found = converted(Stored("F32", values), wanted)  # type: ignore[arg-type]
    expected = torch.from_numpy(values).to(torch.float16 if wanted == "F16" else torch.bfloat16)
    assert np.array_equal(found.view(np.int16), expected.view(torch.int16).numpy())
    back = converted(Stored(wanted, found), "F32")  # type: ignore[arg-type]
    assert np.array_equal(back, expected.float().numpy())


def test_that_a_tensor_that_is_written_no_longer_takes_memory(tiny: Path) -> None:
    """Or a model would stand in memory as a whole at the end of its conversion."""
    file = str(tiny / "model.safetensors")
    (first, *_) = tensors = list(open_folder(tiny).values())
    checksum = sum(float(tensor.raw.sum()) for tensor in tensors)
    assert resident_kibibytes(file) > 300
    first.release()
    assert resident_kibibytes(file) == 0
    assert sum(float(tensor.raw.sum()) for tensor in tensors) == checksum, "it can be read again"


def resident_kibibytes(file: str) -> int:
    """Of a mapped file in this process."""
    blocks = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)
    return sum(int(re.findall(r"^Rss: +(\d+)", block, re.MULTILINE)[0]) for block in blocks if file in block)


def test_that_a_weight_too_large_for_float16_is_told(tiny: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = copy_of(tiny, tmp_path / "large")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] = 1e5
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WorkerFailure, match=r"layers\.1\.mlp\.up_proj.*65,504"):
        convert_folder(folder, tmp_path / "large.gguf", "F16", "large", quiet)


def test_that_random_weights_are_the_same_at_every_making(tmp_path: Path) -> None:
    config = {**json.loads(make_tiny_model(tmp_path / "tiny").joinpath("config.json").read_text())}
    for name in ("a", "b"):
        facts = write_random(config, tmp_path / f"{name}.gguf", "random", quiet)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
    assert facts["gguf.tokenizer"] == "none"
    logits = llama_logits(tmp_path / "a.gguf", IDS)
    assert np.isfinite(logits).all()
    assert logits.std() > 0


# --- tokens ----------------------------------------------------------------------------------------

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}"
    r"\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def splitter(rule: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    if rule == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    if rule == "smollm":
        parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        return pre_tokenizers.Sequence(parts)
    regex = {"llama-bpe": LLAMA3, "dbrx": LLAMA3, "qwen2": QWEN2, "tekken": TEKKEN}[rule]
    parts = [
        pre_tokenizers.Split(Regex(regex), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    return pre_tokenizers.Sequence(parts)


def train(folder: Path, rule: str, size: int = VOCABULARY) -> Path:
    """Give a model folder a byte-level tokenizer that splits by `rule`, trained on the held-out text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=rule in ("llama-bpe", "tekken")))
    tokenizer.pre_tokenizer = splitter(rule)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([held_out_text()[:120_000]], trainer)
    tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("rule", ["gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "tekken"])
def test_that_every_splitting_rule_is_known_and_gives_the_same_tokens(rule: str, tiny: Path, tmp_path: Path) -> None:
    folder = train(copy_of(tiny, tmp_path / "model"), rule)
    facts = convert_folder(folder, tmp_path / "model.gguf", "F16", rule, quiet)
    assert facts["gguf.tokenizer"] == f"gpt2, {rule}"
    said = check.check_tokens(tmp_path / "model.gguf", folder)
    assert said.startswith("the same as the model's own tokenizer over ")
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    sample = "<s>a <tool> of 12345</s>"
    assert check.llama_tokens(tmp_path / "model.gguf", sample) == own.encode(sample).ids


def test_that_other_tokens_are_noticed(tiny: Path, tmp_path: Path) -> None:
    by_words = train(copy_of(tiny, tmp_path / "words"), "gpt-2")
    by_digits = train(copy_of(tiny, tmp_path / "digits"), "qwen2")
    convert_folder(by_words, tmp_path / "words.gguf", "F16", "tiny", quiet)
    with pytest.raises(WorkerFailure, match="other tokens"):
        check.check_tokens(tmp_path / "words.gguf", by_digits)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["pre_tokenizer"].update(add_prefix_space=True), "not known here"),
        (lambda d: d.update(pre_tokenizer={"type": "Whitespace"}), "not known here"),
        (lambda d: d["model"].update(ignore_merges=True), "not known here"),
        (lambda d: d.update(normalizer={"type": "Lowercase"}), "Lowercase"),
        (lambda d: d.update(model={"type": "WordPiece", "vocab": {}}), "WordPiece"),
        (lambda d: d["model"]["vocab"].update({f"extra{n}": VOCABULARY + n for n in range(3)}), "515 tokens"),
        (lambda d: d.pop("model"), "damaged"),
    ],
)
def test_that_a_tokenizer_that_would_be_wrong_is_refused(
    change: Callable[[dict[str, Any]], object], said: str, tiny: Path, tmp_path: Path
) -> None:
    folder = copy_of(tiny, tmp_path / "model")
    document = json.loads((folder / "tokenizer.json").read_text())
    change(document)
    (folder / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(WorkerFailure, match=said):
        convert_folder(folder, tmp_path / "model.gguf", "F16", "tiny", quiet)
    assert not (tmp_path / "model.gguf").exists()


def test_that_a_folder_without_tokenizer_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny, tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(WorkerFailure, match=r"neither tokenizer\.json nor tokenizer\.model"):
        convert_folder(folder, tmp_path / "model.gguf", "F16", "tiny", quiet)


def test_that_form_nfc_is_a_caution(tiny: Path) -> None:
    document = json.loads((tiny / "tokenizer.json").read_text())
    document["normalizer"] = {"type": "NFC"}
    assert "NFC" in tokenizer._normaliser_cautions(document)[0]


def sentencepiece_folder(tiny: Path, target: Path) -> Path:
    """The tiny model with a tokenizer of Llama 2's kind: pieces with "▁", bytes for what is not there."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    folder = copy_of(tiny, target)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.ByteFallback()
    special = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False, limit_alphabet=90)
    # words one by one: SentencePiece does not join pieces over spaces either
    tokenizer.train_from_iterator(held_out_text()[:120_000].split(), trainer)
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = document["added_tokens"][:3]  # bytes are pieces, not added tokens
    (folder / "tokenizer.json").write_text(json.dumps(document))
    return folder


def test_that_merges_with_bytes_become_sentencepiece(tiny: Path, tmp_path: Path) -> None:
    folder = sentencepiece_folder(tiny, tmp_path / "model")
    facts = convert_folder(folder, tmp_path / "model.gguf", "F16", "tiny", quiet)
    assert facts["gguf.tokenizer"] == "llama, default"
    said = check.check_tokens(tmp_path / "model.gguf", folder)
    assert said.startswith("the same"), said


def test_that_both_engines_count_the_same_bytes_of_the_scored_text(tiny: Path, tmp_path: Path) -> None:
    """Their perplexities compare only then. A token of SentencePiece's kind begins with the space before its word."""
    from transformers import AutoTokenizer

    from engines.hf.perplexity import bytes_to
    from engines.llama.library import library
    from engines.llama.vocabulary import Vocabulary

    folder = sentencepiece_folder(tiny, tmp_path / "model")
    document = json.loads((folder / "tokenizer.json").read_text())
    parts = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]
    document["decoder"] = {"type": "Sequence", "decoders": parts}  # Llama 2's
    (folder / "tokenizer.json").write_text(json.dumps(document))
    convert_folder(folder, tmp_path / "model.gguf", "F16", "tiny", quiet)
    api = library().api
    settings = api.llama_model_default_params()
    settings.vocab_only = True
    model = api.llama_model_load_from_file(os.fsencode(tmp_path / "model.gguf"), settings)
    try:
        vocabulary, tokenizer = Vocabulary(library(), model), AutoTokenizer.from_pretrained(folder)
        words = held_out_text()[:3_000]
        ids = vocabulary.encode(words)
        assert ids == tokenizer(words, add_special_tokens=False)["input_ids"]
        spaced = [n for n, token in enumerate(ids) if n and vocabulary.piece(token).startswith(b" ")]
        for first in (spaced[3], spaced[3] + 1, spaced[40]):
            theirs = bytes_to(tokenizer, ids, first + 300) - bytes_to(tokenizer, ids, first)
            assert theirs == len(vocabulary.decode(ids[first : first + 300]))
    finally:
        api.llama_model_free(model)


def model_proto(pieces: list[tuple[str, float, int]]) -> bytes:
    """A SentencePiece file with these pieces, of type BPE."""

    def field(number: int, data: bytes) -> bytes:
        assert len(data) < 128
        return bytes([number << 3 | 2, len(data)]) + data

    out = b""
    for text, score, kind in pieces:
        out += field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + bytes([3 << 3, kind]))
    return out + field(2, bytes([3 << 3, 2])) + field(3, bytes([3 << 3, 1]))


def test_that_a_sentencepiece_file_is_taken_before_the_merges(tiny: Path, tmp_path: Path) -> None:
    folder = sentencepiece_folder(tiny, tmp_path / "model")
    by_merges = tokenizer.read_vocabulary(folder, {}, VOCABULARY)
    (folder / "tokenizer.model").write_bytes(model_proto([(p.text, p.score, p.kind) for p in by_merges.pieces]))
    found = tokenizer.read_vocabulary(folder, {}, VOCABULARY)
    assert found.pieces == by_merges.pieces
    assert found.space_prefix
    convert_folder(folder, tmp_path / "model.gguf", "F16", "tiny", quiet)
    assert check.check_tokens(tmp_path / "model.gguf", folder).startswith("the same")


TRAINED = Path(__file__).with_name("data") / "sentencepiece_bpe.model"
"""A model that the package sentencepiece trained, and what it makes of some texts, beside it as JSON."""


def trained_folder(tiny: Path, target: Path, *, legacy: bool) -> Path:
    """A folder of Llama 2's kind: tokenizer.model as it was trained, tokenizer.json as transformers writes it of that:
    with a normaliser, or (not `legacy`) with a pre-tokenizer that puts the space before the text."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers.convert_slow_tokenizer import generate_merges

    folder = copy_of(tiny, target)
    shutil.copy(TRAINED, folder / "tokenizer.model")
    pieces = sentencepiece.read(TRAINED).pieces
    vocabulary = {piece.text: n for n, piece in enumerate(pieces)}
    merges = generate_merges(vocabulary, {piece.text: piece.score for piece in pieces})
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.ByteFallback()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("files", ["tokenizer.model", "both", "tokenizer.json"])
@pytest.mark.parametrize("legacy", [True, False])
def test_that_a_trained_sentencepiece_model_gives_the_tokens_of_sentencepiece_and_transformers(
    files: str, legacy: bool, tiny: Path, tmp_path: Path
) -> None:
    from transformers import PreTrainedTokenizerFast

    folder = trained_folder(tiny, tmp_path / "model", legacy=legacy)
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    for name in {"tokenizer.model", "tokenizer.json"} - {files} if files != "both" else ():
        (folder / name).unlink()
    target = tmp_path / "model.gguf"
    facts = convert_folder(folder, target, "F16", "tiny", quiet)
    assert facts["gguf.tokenizer"] == "llama, default"
    samples = json.loads(TRAINED.with_suffix(".json").read_text(encoding="utf-8"))["samples"]
    assert sum(len(sample["ids"]) for sample in samples) > 2000
    for sample in samples:
        assert check.llama_tokens(target, sample["text"]) == sample["ids"], sample["text"]
        if legacy or not sample["text"].startswith((" ", "▁")):
            assert theirs.encode(sample["text"], add_special_tokens=False) == sample["ids"], sample["text"]
    if (folder / "tokenizer.json").is_file():
        said = check.check_tokens(target, folder)
        assert said.startswith("the same as the model's own tokenizer over ")
        assert said.endswith(" characters" if legacy else ", but for text that begins with a space")


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff", b"not a model", b"\x0a\x7fshort"])
def test_that_a_broken_sentencepiece_file_is_no_model(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(ValueError):
        sentencepiece.read(tmp_path / "tokenizer.model")


def test_that_special_tokens_and_the_chat_template_are_kept(tiny: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny, tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    document = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**document, "post_processor": BEGINS}))
    convert_folder(folder, tmp_path / "model.gguf", "F16", "tiny", quiet)
    said = gguf_model(tmp_path / "model.gguf").metadata
    assert said["tokenizer.chat_template"] == "{{ messages }}"
    assert said["tokenizer.ggml.bos_token_id"] == 0
    assert said["tokenizer.ggml.eos_token_id"] == 1
    assert said["tokenizer.ggml.add_bos_token"] is True
    assert said["tokenizer.ggml.add_eos_token"] is False


def test_that_techniques_offer_what_the_converter_knows() -> None:
    assert set(ARCHITECTURES) == CONVERTIBLE


# --- what cannot be converted -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_type": "gpt2"}, "its architecture is gpt2"),
        ({"hidden_act": "gelu"}, "activation is gelu"),
        ({"use_sliding_window": True}, "sliding window"),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "scaled as dynamic"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "part of each head"),
        ({"quantization_config": {"quant_method": "gptq"}}, "already quantised"),
        ({"num_hidden_layers": 0}, "num_hidden_layers = 0"),
    ],
)
def test_that_what_llama_cpp_would_compute_differently_is_refused(
    settings: dict[str, object], said: str, tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(WorkerFailure, match=said):
        convert_folder(changed(tiny, tmp_path / "m", **settings), tmp_path / "m.gguf", "F16", "tiny", quiet)


@pytest.mark.parametrize(
    ("layers", "said"), [(3, r"lacks 9 tensors \(blk\.2"), (1, r"does not have: model\.layers\.1")]
)
def test_that_tensors_of_another_shape_of_model_are_refused(layers: int, said: str, tiny: Path, tmp_path: Path) -> None:
    folder = changed(tiny, tmp_path / "m", num_hidden_layers=layers)
    with pytest.raises(WorkerFailure, match=said):
        convert_folder(folder, tmp_path / "m.gguf", "F16", "tiny", quiet)


def test_that_integer_weights_are_refused(tiny: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = copy_of(tiny, tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"].astype(np.int8)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WorkerFailure, match="already quantised"):
        convert_folder(folder, tmp_path / "m.gguf", "F16", "tiny", quiet)


def test_that_the_first_mistral_is_limited_to_its_window() -> None:
    config = {
        "model_type": "mistral", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 512,
        "num_attention_heads": 4, "max_position_embeddings": 32768, "sliding_window": 4096,
    }  # fmt: skip
    shape = shape_of(config)
    assert shape.context == 4096
    assert "4,096" in shape.cautions[0]
    assert shape_of({**config, "sliding_window": None}).context == 32768
