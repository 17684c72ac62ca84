"""Filters of a text: what each leaves out, in what order, and what is recorded of it."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.data.filters import duplicates, order, rules
from engines.data.filters.chain import Rule, filtered


def kept(rule: Rule, *documents: str) -> list[int]:
    return list(rule(documents))


def words(seed: int, count: int = 200) -> str:
    source = random.Random(seed)
    return " ".join(f"w{source.randrange(5000)}" for _ in range(count))


# --- one document ---------------------------------------------------------------------------------


def test_that_length_keeps_both_ends() -> None:
    assert kept(rules.length(2, 3), "", "a", "ab", "abc", "abcd") == [2, 3]
    assert kept(rules.length(), "", "a") == [0, 1]
    assert kept(rules.length(1), "", "a", "a" * 1000) == [1, 2]


def test_that_compression_tells_repetition_and_noise_from_prose() -> None:
    noise = "".join(random.Random(1).choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(2000))
    prose = words(2, 400)
    assert kept(rules.compression(1.8, 8.0), "la " * 700, noise, prose) == [2]
    assert rules.compression_ratio("") == 0.0
    assert kept(rules.compression(), "", "x") == [0, 1]


def test_the_worked_example_of_repetition() -> None:
    """Four lines of which one is a copy; eleven words of which two runs of ten are the same but for nothing."""
    assert rules.repeated_lines("a\nb\n\na\nc") == 0.25
    assert rules.repeated_lines("") == 0.0
    ten = "a b c d e f g h i j"
    assert rules.repeated_words(f"{ten} {ten}") == 0.5
    assert rules.repeated_words(ten) == 0.0
    assert rules.repeated_words("") == 0.0
    assert kept(rules.repetition(), f"{ten} {ten}", ten, "x\nx\nx", "") == [1, 3]


# --- copies ---------------------------------------------------------------------------------------


def test_that_exact_copies_go_and_the_first_stays() -> None:
    assert kept(duplicates.exact(), "a b", "c", "a  b\n", "A b", "c") == [0, 1, 3]
    assert kept(duplicates.exact()) == []


def test_that_planted_near_copies_are_found_and_nothing_else_goes() -> None:
    """200 documents of 200 words; 40 of them again with three words changed (alike by 0.85 to 0.95) and 40 with sixty
    changed (alike by 0.2 or less). All of the first go; of the others, and of the originals, none: a removed pair was
    compared word by word, so the rate of false positives is 0."""
    pytest.importorskip("datasketch")
    source = random.Random(3)

    def changed(text: str, count: int) -> str:
        parts = text.split()
        for place in source.sample(range(len(parts)), count):
            parts[place] = f"new{source.randrange(10**6)}"
        return " ".join(parts)

    originals = [words(seed) for seed in range(200)]
    close = [changed(text, 3) for text in originals[:40]]
    far = [changed(text, 60) for text in originals[40:80]]
    stays = kept(duplicates.near(0.8), *originals, *close, *far)
    assert stays == [*range(200), *range(240, 280)]


def test_that_what_is_less_alike_than_asked_stays() -> None:
    pytest.importorskip("datasketch")
    one = " ".join(f"w{n}" for n in range(104))  # 100 runs of five words
    other = " ".join(f"w{n}" for n in range(94)) + " " + " ".join(f"x{n}" for n in range(10))
    alike = duplicates.similarity(duplicates.shingles(one), duplicates.shingles(other))
    assert alike == pytest.approx(90 / 110)
    assert kept(duplicates.near(alike + 0.001), one, other) == [0, 1]
    assert kept(duplicates.near(alike), one, other) == [0]


def test_that_similarity_has_its_ends() -> None:
    assert duplicates.similarity(frozenset(), frozenset()) == 1.0
    assert duplicates.similarity(frozenset("a"), frozenset("b")) == 0.0
    assert duplicates.shingles("One two") == frozenset({"one two"})


# --- order and choice -----------------------------------------------------------------------------


def test_that_a_curriculum_removes_nothing() -> None:
    documents = ("ccc", "a", "bb", "d")
    assert kept(order.curriculum("length"), *documents) == [1, 3, 2, 0]
    assert kept(order.curriculum("length", hard_first=True), *documents) == [0, 2, 1, 3]
    easy, hard = "la " * 300, words(5)
    assert kept(order.curriculum("compression"), hard, easy) == [1, 0]


def test_that_losses_choose_hard_easy_or_middle_documents() -> None:
    losses = [5.0, 1.0, 3.0, 2.0, float("nan"), 4.0]
    documents = tuple("abcdef")
    assert kept(order.by_loss(losses, 0.5, "hard"), *documents) == [0, 2, 5]
    assert kept(order.by_loss(losses, 0.5, "easy"), *documents) == [1, 2, 3]
    assert kept(order.by_loss(losses, 0.5), *documents) == [2, 3, 5]
    assert kept(order.by_loss(losses, 1.0), *documents) == [0, 1, 2, 3, 5], "what has no loss goes"
    for wrong in (0.0, 1.1, -1.0):
        with pytest.raises(ValueError, match="share"):
            order.by_loss(losses, wrong)
    with pytest.raises(ValueError, match="6 losses of 1 documents"):
        kept(order.by_loss(losses, 0.5), "a")


def test_that_sampling_favours_high_losses_in_the_stated_proportion() -> None:
    """Losses 0 and ln 3 at temperature 1, one of two drawn: the second in three of four draws."""
    import math

    drawn = [kept(order.sampled([0.0, math.log(3)], 0.5, 1.0, seed), "a", "b")[0] for seed in range(2000)]
    assert 0.72 < sum(drawn) / 2000 < 0.78
    assert kept(order.sampled([0.0, 1.0], 0.5, 1.0, 7), "a", "b") == kept(
        order.sampled([0.0, 1.0], 0.5, 1.0, 7), "a", "b"
    )


# --- the record -----------------------------------------------------------------------------------


def test_that_each_rule_records_what_it_removed() -> None:
    chain = [
        ("length from 3", rules.length(3)),
        ("exact copies", duplicates.exact()),
        ("short first", order.curriculum("length")),
    ]
    found = filtered(("first one", "é", "first one", "last"), chain)
    assert found.documents == ("last", "first one")
    assert [(r.documents, r.size_bytes, r.examples, r.reordered) for r in found.removals] == [
        (1, 2, ("é",), False),
        (1, 9, ("first one",), False),
        (0, 0, (), True),
    ]
    facts = found.facts()
    assert facts["training.filters.removed_documents"] == "2 of 4"
    assert facts["training.filters.removed_bytes"] == "11 of 24"
    assert "exact copies: 1 documents, 9 bytes removed" in facts["training.filters"]
    assert filtered(("a",), []).facts() == {}


@given(st.lists(st.text(max_size=30), max_size=12), st.integers(0, 10), st.integers(0, 20))
def test_that_what_stays_and_what_goes_is_all_there_was(documents: list[str], low: int, high: int) -> None:
    chain = [("length", rules.length(low, high)), ("copies", duplicates.exact()), ("repetition", rules.repetition())]
    found = filtered(documents, chain)
    assert len(found.documents) + sum(r.documents for r in found.removals) == len(documents)
    size = sum(len(d.encode()) for d in found.documents)
    assert size + sum(r.size_bytes for r in found.removals) == found.before_bytes
    assert filtered(found.documents, chain).documents == found.documents, "a second time removes nothing"
    lengths = [len(d) for d in filtered(documents, [("order", order.curriculum("length"))]).documents]
    assert all(a <= b for a, b in pairwise(lengths))
