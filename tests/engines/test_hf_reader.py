"""The transformers reader against the model's own logits."""

from __future__ import annotations

import math

import pytest

from engines.worker.failures import WorkerFailure
from engines.worker.stop import Stop
from tests.tiny_model import CONTEXT_TOKENS, make_tiny_model


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def reader(parts, stop: Stop | None = None, ends: frozenset[int] = frozenset({1})):  # type: ignore[no-untyped-def]
    from engines.hf.reader import HfReader

    return HfReader(*parts, ends, stop or Stop())


@pytest.mark.real
def test_that_the_likelihood_is_the_sum_over_the_continuations_tokens(parts) -> None:  # type: ignore[no-untyped-def]
    import torch

    model, tokenizer = parts
    context, continuation = "The import statement ", "binds names"
    before = tokenizer("The import statement", add_special_tokens=False)["input_ids"]
    whole = tokenizer("The import statement binds names", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = torch.log_softmax(model(torch.tensor([whole])).logits[0].double(), dim=-1)
    expected = sum(float(logits[i - 1, whole[i]]) for i in range(len(before), len(whole)))
    found = reader(parts).likelihood(context, continuation)
    assert found.tokens == len(whole) - len(before)
    assert found.log_probability == pytest.approx(expected, rel=1e-5)
    assert found.log_probability < found.tokens * math.log(0.5)


@pytest.mark.real
def test_that_greedy_says_what_the_model_itself_would_write(parts) -> None:  # type: ignore[no-untyped-def]
    reading = reader(parts, ends=frozenset())
    written = reading.write("Names refer to", 4)
    assert (written.tokens, written.ended) == (4, False)
    again = reading.write("Names refer to", 4)
    assert again == written
    assert reading.likelihood("Names refer to", "zzzz qqq").greedy is False


@pytest.mark.real
def test_that_writing_ends_at_a_stop_word_the_end_token_and_a_stop(parts) -> None:  # type: ignore[no-untyped-def]
    free = reader(parts, ends=frozenset())
    whole = free.write("Names refer to", 12).text
    middle = whole[len(whole) // 2]
    cut = free.write("Names refer to", 12, until=(middle,))
    assert cut.text == whole[: whole.index(middle)]
    first = free.encode("Names refer to")
    import torch

    token = int(parts[0](torch.tensor([first])).logits[0, -1].argmax())
    ended = reader(parts, ends=frozenset({token})).write("Names refer to", 12)
    assert (ended.text, ended.tokens, ended.ended) == ("", 0, True)
    stop = Stop()
    stop.requested = True
    assert reader(parts, stop, frozenset()).write("Names refer to", 12).tokens == 1


@pytest.mark.real
def test_that_too_much_text_loses_its_beginning_or_is_refused(parts) -> None:  # type: ignore[no-untyped-def]
    reading = reader(parts)
    assert reading.context_tokens == CONTEXT_TOKENS
    assert reading.chat("hello") is None
    long = "word " * 2000
    assert reading.likelihood(long, "end").tokens > 0
    assert reading.write(long, 2).tokens <= 2
    with pytest.raises(WorkerFailure, match="too long"):
        reading.likelihood("", long)
    with pytest.raises(WorkerFailure, match="leave no room"):
        reading.write("hello", CONTEXT_TOKENS)
