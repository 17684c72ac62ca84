"""Prompts of an exact length whatever they are made of, files of the user's own, and text as tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.data.begin import NONE, Begin, added_before
from engines.data.prompts import LEAD_TOKENS, Asked, built_in, make_prompts
from engines.data.tokenising import cut_at, encode_pair, fit_pair, fit_prompt
from engines.protocol.orders import Inference
from engines.protocol.prompt_file import read_prompt_file
from engines.protocol.text_file import FileError
from engines.worker.failures import WorkerFailure

FILLER = list(range(1000, 2000))


def characters(text: str) -> list[int]:
    return [ord(c) for c in text]


def own(tmp_path: Path, text: str | bytes, name: str = "own.txt") -> Path:
    file = tmp_path / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


# --- prompts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "looks"),
    [
        ("one\ntwo".encode("utf-16"), "UTF-16"),
        ("one\ntwo".encode("utf-16-le"), "UTF-16"),
        ("one\ntwo".encode("utf-16-be"), "UTF-16"),
        ("größer".encode("utf-16-le"), "UTF-16"),
        (b"one\0two three four five", "null bytes"),
        ("Straße".encode("latin-1"), "byte 4 (line 1) is 0xdf"),
        ("one\nпривет".encode("cp1251"), "(line 2)"),
    ],
)
@pytest.mark.parametrize("name", ["own.txt", "own.jsonl"])
def test_that_another_encoding_is_refused_with_what_it_looks_like(
    raw: bytes, looks: str, name: str, tmp_path: Path
) -> None:
    with pytest.raises(FileError) as refused:
        read_prompt_file(own(tmp_path, raw, name))
    assert f"{name} is not UTF-8 text" in str(refused.value)
    assert looks in str(refused.value)
    assert "save it as UTF-8" in refused.value.advice


def test_that_a_mark_of_utf_8_is_no_part_of_the_first_prompt(tmp_path: Path) -> None:
    assert read_prompt_file(own(tmp_path, b"\xef\xbb\xbfone\ntwo")).prompts == ("one", "two")


@pytest.mark.parametrize("task", ["generate", "answer", "summarise"])
def test_that_prompts_have_the_exact_length_and_none_comes_twice(task: str) -> None:
    order = Inference(task=task, prompt_tokens=90)  # type: ignore[arg-type]
    prompts = make_prompts(order, 0, FILLER * 5, characters)
    made = [tuple(p) for _ in range(40) for p in prompts.next_batch(3)]
    assert {len(p) for p in made} == {90}
    assert len(set(made)) == len(made)


def test_that_the_same_block_gets_the_same_prompts_and_another_block_others() -> None:
    order = Inference(task="answer", prompt_tokens=100)
    first, again, other = (make_prompts(order, block, FILLER, characters).next_batch(8) for block in (1, 1, 2))
    assert first == again
    assert first != other


def test_that_what_is_asked_stands_whole_at_the_end_and_filler_before_it() -> None:
    order = Inference(task="answer", prompt_tokens=300)
    prompts = make_prompts(order, 0, FILLER, characters)
    questions = {tuple(characters(q)) for q in built_in("answer")}
    for prompt in prompts.next_batch(len(questions)):
        length = sum(token < 1000 for token in prompt)
        assert tuple(prompt[-length:]) in questions
    facts = prompts.facts()
    assert float(facts["prompts.filler_tokens_mean"]) == pytest.approx(
        300 - sum(map(len, questions)) / len(questions), abs=0.06
    )
    assert facts["prompts.cut_tokens_mean"] == "0.0"


def test_that_of_a_longer_prompt_the_end_is_kept() -> None:
    prompts = Asked([characters("abcdefgh")], FILLER, 3, 0, "test")
    assert prompts.next_batch(1) == [characters("fgh")]
    assert prompts.facts()["prompts.cut_tokens_mean"] == "5.0"


def test_that_a_prompt_that_comes_again_has_other_text_before_it() -> None:
    asked = characters("a question that is longer than it needs to be")
    first, second, third = Asked([asked], FILLER, 40, 0, "test").next_batch(3)
    assert first == asked[-40:]
    for later in (second, third):
        assert later[LEAD_TOKENS:] == asked[-(40 - LEAD_TOKENS) :]
        assert min(later[:LEAD_TOKENS]) >= 1000
    assert second != third


def test_that_two_prompts_that_end_alike_stay_different() -> None:
    made = Asked([characters("one end"), characters("own end")], FILLER, 4, 0, "test").next_batch(2)
    assert made[0] != made[1]


def test_that_an_end_of_different_prompts_is_told() -> None:
    prompts = Asked([[1]], [7], 1, 0, "test")
    with pytest.raises(ValueError, match="no more different prompts"):
        prompts.next_batch(5)


def test_that_a_model_without_a_tokenizer_gets_windows_whatever_the_task() -> None:
    prompts = make_prompts(Inference(task="answer", prompt_tokens=8), 0, FILLER, None)
    assert prompts.facts()["prompts.source"] == "random token ids"
    assert all(token >= 1000 for prompt in prompts.next_batch(4) for token in prompt)


def test_that_the_built_in_prompts_are_enough_and_different() -> None:
    assert len(set(built_in("answer"))) == len(built_in("answer")) >= 40
    assert len(set(built_in("summarise"))) >= 20


# --- files of prompts -------------------------------------------------------------------------------


def test_that_lines_and_json_lines_give_prompts_each_once(tmp_path: Path) -> None:
    found = read_prompt_file(own(tmp_path, "\ufeffone\n\n two \r\none\n"))
    assert (found.prompts, found.repeated) == (("one", "two"), 1)
    assert found.hash.startswith("sha256:")
    lines = '{"prompt": "one\\ntwo", "id": 3}\n{"prompt": "three"}'
    assert read_prompt_file(own(tmp_path, lines, "own.jsonl")).prompts == ("one\ntwo", "three")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", b"fine\nstra\xdfe\n", "byte 9 \\(line 2\\) is 0xdf"),
        ("a.txt", b"", "holds no prompt"),
        ("a.txt", b"\n  \n", "holds no prompt"),
        ("a.csv", b"one\n", "neither a .txt nor a .jsonl"),
        ("a.jsonl", b'{"prompt": "a"}\n{"text": "b"}\n', "Line 2 of a.jsonl has no text under"),
        ("a.jsonl", b'{"prompt": 5}\n', "Line 1 of a.jsonl has no text under"),
        ("a.jsonl", b'{"prompt": "a"}\nnonsense\n', "Line 2 of a.jsonl is not JSON"),
        ("a.jsonl", b'{"prompt": " "}\n', "prompt in line 1 of a.jsonl is empty"),
    ],
)
def test_that_a_file_that_cannot_be_used_says_where(tmp_path: Path, name: str, text: bytes, said: str) -> None:
    with pytest.raises(FileError, match=said) as caught:
        read_prompt_file(own(tmp_path, text, name))
    assert caught.value.advice


def test_that_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="There is no file"):
        read_prompt_file(tmp_path / "nowhere.txt")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(FileError, match="cannot be read"):
        read_prompt_file(tmp_path / "folder.txt")


def test_that_a_worker_refuses_a_file_that_changed_after_the_plan(tmp_path: Path) -> None:
    file = own(tmp_path, "one\ntwo\n")
    order = Inference(prompt_tokens=5, prompt_file=str(file), prompt_file_hash=read_prompt_file(file).hash)
    assert make_prompts(order, 0, FILLER, characters).facts()["prompts.different_count"] == "2"
    file.write_text("one\nthree\n")
    with pytest.raises(WorkerFailure, match="has changed since") as caught:
        make_prompts(order, 0, FILLER, characters)
    assert caught.value.kind == "order"
    file.unlink()
    with pytest.raises(WorkerFailure, match="There is no file"):
        make_prompts(order, 0, FILLER, characters)


# --- text as tokens ---------------------------------------------------------------------------------


def test_that_a_space_at_the_contexts_end_belongs_to_the_continuation() -> None:
    none = Begin(empty=7)
    assert encode_pair(characters, "ab ", "cd", none) == (characters("ab"), characters(" cd"))
    assert encode_pair(characters, "", "cd", none) == ([7], characters("cd"))
    assert encode_pair(characters, " ", "cd", none) == ([7], characters(" cd"))


def test_that_what_does_not_fit_loses_its_beginning_and_the_last_token_is_a_target_only() -> None:
    assert fit_pair([1, 2, 3], [4, 5], 10, NONE) == [1, 2, 3, 4]
    assert fit_pair([1, 2, 3], [4, 5], 3, NONE) == [2, 3, 4]
    assert fit_prompt([1, 2, 3, 4], 2, 4, NONE) == [3, 4]
    assert fit_prompt([], 2, 4, Begin(empty=9)) == [9]
    for wrong in (
        lambda: fit_pair([1], [2, 3, 4], 2, NONE),
        lambda: fit_pair([1], [], 2, NONE),
        lambda: fit_prompt([1], 4, 4, NONE),
    ):
        with pytest.raises(ValueError):
            wrong()


BEGIN = Begin((7,), "<bos>", 7)


def test_that_a_context_and_a_prompt_begin_with_the_begin_token_once() -> None:
    assert encode_pair(characters, "ab ", "cd", BEGIN) == ([7, *characters("ab")], characters(" cd"))
    assert encode_pair(characters, "", "cd", BEGIN) == ([7], characters("cd"))
    assert fit_prompt([1, 2], 2, 10, BEGIN) == [7, 1, 2]
    assert fit_prompt([7, 1, 2], 2, 10, BEGIN) == [7, 1, 2]  # a chat template wrote it
    assert fit_prompt([], 2, 10, BEGIN) == [7]
    assert BEGIN.told == "<bos> (7)"
    assert NONE.told == ""


def test_that_the_begin_token_stays_where_a_beginning_is_cut_off() -> None:
    assert fit_prompt([1, 2, 3, 4], 2, 5, BEGIN) == [7, 3, 4]
    assert fit_prompt([1, 2, 3], 2, 6, BEGIN) == [7, 1, 2, 3]  # just fits
    assert fit_prompt([1, 2, 3], 2, 4, BEGIN) == [7, 3]
    assert fit_prompt([1, 2, 3], 2, 3, BEGIN) == [3]  # no room for it beside a word
    assert fit_pair([7, 1, 2, 3], [4, 5], 3, BEGIN) == [7, 3, 4]
    assert fit_pair([7, 1, 2, 3], [4, 5], 2, BEGIN) == [7, 4]
    assert fit_pair([7, 1], [4, 5, 6], 3, BEGIN) == [7, 4, 5]


@pytest.mark.parametrize(
    ("with_special", "found"), [([7, 1], (7,)), ([1], ()), ([1, 9], ()), ([7, 8, 1, 9], (7, 8)), ([5], ())]
)
def test_that_what_a_tokenizer_adds_is_read_off_what_it_does(with_special: list[int], found: tuple[int, ...]) -> None:
    assert added_before(lambda text: with_special, lambda text: [1]) == found


def test_that_timed_prompts_begin_with_it_and_keep_their_length() -> None:
    order = Inference(prompt_tokens=8)
    prompts = make_prompts(order, 0, FILLER * 5, characters, BEGIN)
    (first, second) = prompts.next_batch(2)
    assert len(first) == len(second) == 8
    assert first[0] == second[0] == 7
    assert first != second
    assert 7 not in make_prompts(order, 0, FILLER * 5, characters).next_batch(1)[0]
    assert prompts.facts()["prompts.begin"] == "<bos> (7)"
    # a prompt of one token is a word
    assert make_prompts(Inference(prompt_tokens=1), 0, FILLER, characters, BEGIN).next_batch(1) != [[7]]


def test_that_text_is_cut_at_the_first_stop() -> None:
    assert cut_at("one. two! three", ("!", ".")) == "one"
    assert cut_at("one", ("!", "")) is None
