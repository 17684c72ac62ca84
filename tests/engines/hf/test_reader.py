"""The transformers reader against the model's own logits."""

from __future__ import annotations

import math
from pathlib import Path

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
    from engines.hf.tokenizer import begin_of

    return HfReader(*parts, ends, begin_of(parts[1], ends), stop or Stop())


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


# --- many at once ---------------------------------------------------------------------------------

PAIRS = [
    ("Which is a statement?\nAnswer:", " the import statement binds names"),
    ("Which is a statement?\nAnswer:", " no"),
    ("Which is a statement?\nAnswer:", ""),
    ("Which is a statement?\nAnswer:", " a class body is executed in a new namespace, which is then discarded"),
    ("", "names refer to objects"),
    ("Names refer to ", "objects"),
    ("Names are introduced by name binding operations. " * 30, "Each name"),
    ("Names are introduced by name binding operations. " * 30, "Every other name there is"),
    ("word " * 2000, "end"),
    ("word " * 2000, "and end"),
]


def family(folder: Path, name: str):  # type: ignore[no-untyped-def]
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tests.engines.llama.kit import FAMILIES, make_family

    made = make_family(folder, FAMILIES[name])
    return AutoModelForCausalLM.from_pretrained(made).eval(), AutoTokenizer.from_pretrained(made)


@pytest.mark.real
@pytest.mark.parametrize("name", ["llama", "mistral"])
@pytest.mark.parametrize(("tokens", "logits_bytes"), [(2048, 2**27), (60, 2**27), (2048, 40_000)])
def test_that_many_at_once_are_as_likely_as_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, tokens: int, logits_bytes: int
) -> None:
    from engines.hf import likelihoods

    parts = family(tmp_path / name, name)
    alone = [reader(parts).likelihood(*pair) for pair in PAIRS]
    monkeypatch.setattr(likelihoods, "_BATCH_TOKENS", tokens)
    monkeypatch.setattr(likelihoods, "_LOGITS_BYTES", logits_bytes)
    told: list[int] = []
    together = reader(parts).likelihoods(PAIRS, told.append)
    assert [(found.tokens, found.greedy) for found in together] == [(found.tokens, found.greedy) for found in alone]
    for found, expected in zip(together, alone, strict=True):
        assert found.log_probability == pytest.approx(expected.log_probability, rel=1e-4, abs=1e-4)
    assert together[2].tokens == 0
    assert len({round(found.log_probability, 2) for found in together}) == len(PAIRS)
    assert told == sorted(told)
    assert told[0] == 0
    assert max(told) < len(PAIRS)


@pytest.mark.real
def test_that_a_prompt_is_computed_once_for_all_its_answers(parts) -> None:  # type: ignore[no-untyped-def]
    model, _ = parts
    seen: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    try:
        prompt = "Names are introduced by name binding operations. " * 10
        reading = reader(parts)
        reading.likelihoods([(prompt, f"{word} name") for word in ("one", "another", "no", "every")], lambda done: None)
        assert len(seen) == 2
        assert sum(seen) < 1.5 * len(reading.encode(prompt))
    finally:
        hook.remove()


@pytest.mark.real
def test_that_what_reports_may_end_it_between_two_computations(parts) -> None:  # type: ignore[no-untyped-def]
    def report(done: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reader(parts).likelihoods([(f"Question {n}", "answer") for n in range(600)], report)
