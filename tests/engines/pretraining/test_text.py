"""From files to documents, splits, a vocabulary and tokens: the same for the same text, and kept."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tokenizers import Tokenizer

from engines.data import bpe
from engines.data.text_corpus import Text, look_text, passages, read_text
from engines.data.tokenised import Corpus, kept, key_of, lengths_of, make
from engines.data.training.windows import Windows
from engines.models.identity import Digests
from engines.protocol.orders import Pretraining
from engines.protocol.text_file import FileError
from tests.engines.pretraining import kit
from workbench.machines.copying import parcel_of_data


def made(load: Pretraining, cache: Path, reports: list[float] | None = None) -> Corpus:
    text = read_text(load)
    told = reports if reports is not None else []
    return make(cache, key_of(load, text), load, text, lambda _text, share: told.append(share))


def of(documents: list[str]) -> Text:
    return Text("text", "sha256:0", "", tuple(documents), (None,) * len(documents))


def test_a_text_file_alone_is_divided_at_empty_lines_and_joined_it_is_the_text() -> None:
    text = kit.sentences(500)
    parts = passages(text)
    assert len(parts) > 5
    assert "".join(parts) == text
    assert all(len(part) >= 4000 and part.endswith("\n\n") for part in parts[:-1])
    assert passages("no empty line") == ["no empty line"]
    assert passages("") == []


def test_files_of_a_folder_are_a_document_each_and_splits_of_its_names_are_kept(tmp_path: Path) -> None:
    for name in ("a.txt", "deep/er/b.md", ".git/c.txt", "notes.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"Text of {name}.")
    (tmp_path / "empty.txt").write_text(" \n")
    text = read_text(Pretraining(data=str(tmp_path)))
    assert text.documents == ("Text of a.txt.", "Text of deep/er/b.md.")
    assert text.left_out == 1
    data = tmp_path / "data"
    data.mkdir()
    (data / "README.md").write_text("About these rows.")
    (data / "rows.csv").write_text("text\na row\n")
    assert read_text(Pretraining(data=str(data))).documents == ("a row",), "what is beside data is not the text"
    named = tmp_path / "named"
    for split in ("train", "valid", "test"):
        (named / split).mkdir(parents=True)
        (named / split / "one.txt").write_text(f"One of {split}.")
    found = read_text(Pretraining(data=str(named))).split(Pretraining())
    assert found == {"train": ["One of train."], "validation": ["One of valid."], "test": ["One of test."]}


def test_data_files_have_a_document_a_row(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = {"id": ["1", "2", "3"], "body": ["first", "second", None]}
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "rows.parquet")
    load = Pretraining(data=str(tmp_path / "rows.parquet"))
    text = read_text(load)
    assert (text.column, text.documents, text.left_out) == ("body", ("first", "second"), 1)
    look = look_text(load, tmp_path)
    assert (look.documents, look.left_out, look.column, look.hash) == (2, 1, "body", text.hash)
    named = read_text(msgspec.structs.replace(load, text_column="id"))
    assert named.documents == ("1", "2", "3")
    with pytest.raises(FileError, match="no column 'words'"):
        read_text(msgspec.structs.replace(load, text_column="words"))


def test_a_text_that_changed_since_the_plan_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    file = kit.text_file(tmp_path, 100)
    load = Pretraining(data=str(file), data_hash=look_text(Pretraining(data=str(file)), tmp_path).hash)
    assert read_text(load).hash == load.data_hash
    file.write_text("other")
    with pytest.raises(FileError, match="changed since"):
        read_text(load)
    file.write_text("\n \n")
    with pytest.raises(FileError, match="holds no text"):
        read_text(Pretraining(data=str(file)))


def test_the_built_in_text_is_sources_with_their_docstrings() -> None:
    text = read_text(Pretraining())
    assert len(text.documents) > 300
    assert sum(map(len, text.documents)) > 5_000_000
    assert any('"""Heap queue algorithm' in document for document in text.documents)
    assert not any("class TestCase" in document and "test_support" in document for document in text.documents)


def test_splits_are_by_contents_and_seed_and_share_no_document() -> None:
    documents = [f"document {n}" for n in range(200)]
    load = Pretraining(validation_share=0.1, test_share=0.05)
    found = of(documents).split(load)
    assert [len(found[name]) for name in ("train", "validation", "test")] == [170, 20, 10]
    assert sorted(d for held in found.values() for d in held) == sorted(documents)
    assert of(documents[::-1]).split(load) == found
    assert of(documents).split(msgspec.structs.replace(load, split_seed=8)) != found
    twice = of([*documents, *documents]).split(load)
    assert {d: sum(d in held for held in twice.values()) for d in documents} == dict.fromkeys(documents, 1)


def test_every_string_is_tokens_and_comes_back() -> None:
    tokenizer = bpe.made_of([kit.sentences(50)], 400)
    again = bpe.made_of([kit.sentences(50)], 400)
    assert tokenizer.to_str() == again.to_str(), "made twice it is the same"
    for words in ("The sailor", "żółw 🐢 \x00\t", "日本"):
        ids = tokenizer.encode(words).ids
        assert tokenizer.decode(ids) == words
        lengths = bpe.token_bytes(tokenizer)
        assert sum(lengths[id] for id in ids) == len(words.encode())
    assert tokenizer.token_to_id(bpe.END) == 0
    assert bpe.token_bytes(tokenizer)[0] == 0


def test_tokens_are_those_of_each_split_with_an_end_after_each_document(tmp_path: Path) -> None:
    load = kit.pretraining(kit.text_file(tmp_path, 1000))
    shares: list[float] = []
    corpus = made(load, tmp_path / "cache", shares)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    splits, tokenizer = read_text(load).split(load), Tokenizer.from_file(str(corpus.tokenizer_file))
    for name, documents in splits.items():
        expected = [id for document in documents for id in (*tokenizer.encode(document).ids, 0)]
        assert corpus.ids(name).tolist() == expected
        told = corpus.made.splits[name]
        lengths = lengths_of(corpus.tokenizer_file)
        assert lengths[corpus.ids(name)].sum() == told.bytes == sum(len(d.encode()) for d in documents)
    alone = bpe.made_of(splits["train"], load.vocabulary_tokens)
    assert alone.to_str() == tokenizer.to_str(), "the vocabulary knows nothing of held-out documents"


def test_it_is_made_once_for_the_same_text_and_settings(tmp_path: Path) -> None:
    load, cache = kit.pretraining(kit.text_file(tmp_path, 300)), tmp_path / "cache"
    text = read_text(load)
    assert kept(cache, key_of(load, text)) is None
    corpus = made(load, cache)
    assert kept(cache, key_of(load, text)) == corpus
    same = msgspec.structs.replace(load, steps=9, learning_rate=0.5, sequence_tokens=16)
    assert key_of(same, text) == key_of(load, text)
    for name, value in {"vocabulary_tokens": 401, "split_seed": 8, "validation_share": 0.2}.items():
        assert key_of(msgspec.structs.replace(load, **{name: value}), text) != key_of(load, text)
    (corpus.folder / "corpus.json").write_text("{")
    assert kept(cache, key_of(load, text)) is None, "what is not whole is made again"
    assert made(load, cache) == corpus


def test_what_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(_text: str, share: float) -> None:
        if share > 0.5:
            raise Stopped

    load = kit.pretraining(kit.text_file(tmp_path, 300))
    text = read_text(load)
    with pytest.raises(Stopped):
        make(tmp_path / "cache", key_of(load, text), load, text, stop)
    assert not list((tmp_path / "cache").iterdir())


def test_an_end_token_that_a_text_writes_out_does_not_end_it(tmp_path: Path) -> None:
    (tmp_path / "odd.txt").write_text(f"{kit.sentences(60)}\n\nIt says {bpe.END} here.\n\n" * 8)
    load = kit.pretraining(tmp_path / "odd.txt", validation_share=0.0, test_share=0.0)
    corpus = made(load, tmp_path / "cache")
    assert np.count_nonzero(corpus.ids("train") == 0) == corpus.made.splits["train"].documents


def test_a_text_shorter_than_a_sequence_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("A few words.")
    with pytest.raises(FileError, match="fewer than a sequence of 32"):
        made(kit.pretraining(tmp_path / "short.txt"), tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_windows_follow_one_another_and_the_rest_is_left() -> None:
    windows = Windows(np.arange(11, dtype=np.uint16), 4)
    assert [list(window.ids) for window in windows] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [window.loss_tokens for window in windows] == [3, 3]
    assert len(Windows(np.arange(3, dtype=np.uint16), 4)) == 0
    assert [list(w.ids) for w in windows[1:]] == [[4, 5, 6, 7]]
    with pytest.raises(IndexError):
        windows[2]


def test_a_folder_of_text_is_copied_to_other_machines_file_by_file(tmp_path: Path) -> None:
    for name in ("a.txt", "b/c.txt"):
        (tmp_path / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / name).write_text(name)
    parcel = parcel_of_data("texts", tmp_path, Digests(tmp_path / "digests"))
    assert [name for name, _ in parcel.files] == ["a.txt", "b/c.txt"]
    assert parcel.fingerprint == look_text(Pretraining(data="texts"), tmp_path).hash
