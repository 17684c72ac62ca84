"""Which tokens the loss counts, with templates of each kind."""

from __future__ import annotations

from array import array

import pytest

from engines.data.begin import Begin
from engines.data.training.columns import Example
from engines.data.training.documents import Document
from engines.data.training.masks import NO_ROOM, ONE_TOKEN, REFUSES, REWRITES, Encoder
from engines.protocol.work import Training
from tests.engines.training_data.kit import Characters, Forgetful

PAIR = Example((("user", "Hi"), ("assistant", "Yo!")))
TALK = Example((("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")))


def encoded(
    example: Example, tokenizer: Characters | None = None, **changes: object
) -> tuple[Encoder, list[Document], str, str]:
    """The encoder, the documents, and of the first its text and what of it counts."""
    tokenizer = tokenizer or Characters()
    encoder = Encoder(tokenizer, Training(**{"sequence_tokens": 200} | changes))  # type: ignore[arg-type]
    [documents] = encoder.documents([example])
    first = documents[0] if documents else Document(array("i"), b"")
    counted = [id for id, counts in zip(first.ids, first.loss_mask, strict=True) if counts]
    return encoder, documents, tokenizer.text(first.ids), tokenizer.text(counted)


def test_that_of_chatml_only_the_response_counts() -> None:
    _, _, text, counted = encoded(PAIR)
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYo!<|im_end|>\n"
    assert counted == "Yo!<|im_end|>\n"


def test_that_every_response_of_a_conversation_counts() -> None:
    assert encoded(TALK)[3] == "b<|im_end|>\nd<|im_end|>\n"


def test_that_plain_pairs_end_with_the_end_token() -> None:
    encoder, _, text, counted = encoded(PAIR, template="plain")
    assert (encoder.template, text, counted) == ("plain", "Hi\nYo!<|end|>", "Yo!<|end|>")
    assert encoded(TALK, template="plain")[3] == "b<|end|>d<|end|>"


def test_that_a_tokenizer_without_a_template_writes_plainly() -> None:
    encoder, _, text, _ = encoded(PAIR, Characters(has_template=False), template="chat")
    assert (encoder.template, text) == ("plain", "Hi\nYo!<|end|>")


@pytest.mark.parametrize("template", ["chat", "plain"])
def test_that_everything_is_all_but_the_first_token_and_the_begin_token(template: str) -> None:
    for begin in (Begin(), Begin((0,), "<s>")):
        _, [one], _, _ = encoded(PAIR, Characters(begin=begin), template=template, loss_on="everything")
        assert (one.ids[0] == 0) == bool(begin.ids)
        assert one.loss_mask == b"\0" + b"\1" * (len(one.ids) - 1)


def test_that_the_begin_token_comes_before_the_prompt_and_does_not_count() -> None:
    _, _, text, counted = encoded(PAIR, Characters(begin=Begin((0,), "<s>")), template="plain")
    assert (text, counted) == ("<s>Hi\nYo!<|end|>", "Yo!<|end|>")


def test_that_a_token_across_prompt_and_response_is_split_and_counted() -> None:
    encoder, _, text, counted = encoded(PAIR, Characters(merges=["\nYo"]), template="plain")
    assert (text, counted, encoder.counts.joined) == ("Hi\nYo!<|end|>", "Yo!<|end|>", 1)
    encoder, _, _, counted = encoded(PAIR, Characters(merges=["Yo"]), template="plain")
    assert (counted, encoder.counts.joined) == ("Yo!<|end|>", 0)


def test_that_of_a_template_that_rewrites_earlier_turns_only_the_last_response_counts() -> None:
    rewritten = Example((("user", "a"), ("assistant", "[x]b"), ("user", "c"), ("assistant", "[y]d")))
    encoder, _, text, counted = encoded(rewritten, Forgetful())
    assert "[x]" not in text
    assert counted == "[y]d<|im_end|>\n"
    assert not encoder.counts.left_out


def test_that_rows_in_which_no_response_can_be_found_are_left_out_and_counted() -> None:
    rewritten = Example((("user", "[a]q"), ("assistant", "b")))
    encoder, documents, _, _ = encoded(rewritten, Forgetful())
    assert documents == []
    assert encoder.counts.left_out == {REWRITES: 1}
    encoder, documents, _, _ = encoded(Example((("refused", "a"), ("assistant", "b"))))
    assert documents == []
    assert encoder.counts.left_out == {f"{REFUSES}: roles must alternate": 1}


@pytest.mark.parametrize(
    ("tokens", "kept", "truncated", "left_out"),
    [(7, "Yo!<|end|>", 0, 0), (6, "Yo!", 1, 0), (4, "Y", 1, 0), (3, "", 0, 1)],
)
def test_that_what_does_not_fit_is_cut_and_counted(tokens: int, kept: str, truncated: int, left_out: int) -> None:
    encoder, _, _, counted = encoded(PAIR, template="plain", sequence_tokens=tokens)
    assert (counted, encoder.counts.truncated, encoder.counts.left_out[NO_ROOM]) == (kept, truncated, left_out)


def test_that_a_text_of_one_token_is_left_out_and_counted() -> None:
    tokenizer = Characters()
    tokenizer.end = ""
    encoder, documents, _, _ = encoded(Example(text="a"), tokenizer)
    assert documents == []
    assert encoder.counts.left_out == {ONE_TOKEN: 1}


def test_that_rows_are_counted_only_where_they_are_used() -> None:
    refused = Example((("refused", "a"), ("assistant", "b")))
    encoder = Encoder(Characters(), Training(sequence_tokens=200))
    rows = encoder.documents([PAIR, refused, refused])
    assert len(next(rows)) == 1
    assert not encoder.counts.left_out
    assert next(rows) == []
    assert encoder.counts.left_out.total() == 1


def test_that_a_long_text_becomes_several_documents() -> None:
    encoder, documents, _, counted = encoded(
        Example(text="abcdefg"), Characters(begin=Begin((0,), "<s>")), sequence_tokens=4
    )
    assert [len(one.ids) for one in documents] == [4, 4, 3]
    assert counted == "abc"
    assert encoder.counts.cut == 1
