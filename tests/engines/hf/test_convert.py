"""The starter's conversion splits text as its GGUF file says."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers")
gguf = pytest.importorskip("gguf")


def file_with(pre: str | None, folder: Path) -> Path:
    path = folder / "words.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("pre", "pieces"),
    [("smollm", ["a", "1", "2", "3", "Ġb"]), ("gpt-2", ["a", "123", "Ġb"]), (None, ["a", "123", "Ġb"])],
)
def test_that_digits_are_split_as_the_file_names_it(pre: str | None, pieces: list[str], tmp_path: Path) -> None:
    from engines.hf.convert import splitting_rule

    rule = splitting_rule(file_with(pre, tmp_path))
    assert [piece for piece, _ in rule.pre_tokenize_str("a123 b")] == pieces


def test_that_a_rule_that_is_not_known_is_refused(tmp_path: Path) -> None:
    from engines.hf.convert import splitting_rule

    with pytest.raises(ValueError, match="'tekken'"):
        splitting_rule(file_with("tekken", tmp_path))
