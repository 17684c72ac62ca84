"""Packing, batches and splits."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.data.training.documents import Batches, Document, joined, pieces
from engines.data.training.packing import packed
from engines.data.training.splits import Split, split


def documents(*lengths: int) -> list[Document]:
    return [Document(array("i", [n] * length), b"\0" + b"\1" * (length - 1)) for n, length in enumerate(lengths)]


@given(st.lists(st.integers(1, 12)), st.integers(12, 30))
def test_that_packing_takes_each_document_once_and_overfills_no_row(lengths: list[int], room: int) -> None:
    rows = packed(lengths, room)
    assert sorted(place for row in rows for place in row) == list(range(len(lengths)))
    filled = sorted(sum(lengths[place] for place in row) for row in rows)
    assert all(0 < length <= room for length in filled)
    assert len(filled) < 2 or filled[0] + filled[1] > room  # or one row would have taken both


def test_that_packing_fits_exactly_and_refuses_what_does_not_fit() -> None:
    assert sorted(map(sorted, packed([6, 4, 3, 7], 10))) == [[0, 1], [2, 3]]
    assert packed([], 5) == []
    with pytest.raises(ValueError, match="6 tokens does not fit"):
        packed([6], 5)


def test_that_a_hundred_thousand_documents_are_packed_tightly() -> None:
    lengths = [1 + n * 7919 % 2048 for n in range(100_000)]  # looking at every row for each would take the whole day
    rows = packed(lengths, 2048)
    assert sum(map(len, rows)) == len(lengths)
    assert sum(lengths) / (2048 * len(rows)) > 0.99


def test_that_positions_begin_again_and_first_tokens_do_not_count() -> None:
    row = joined(documents(3, 1, 2))
    assert row.ids == [0, 0, 0, 1, 2, 2]
    assert row.positions == [0, 1, 2, 0, 0, 1]
    assert list(row.loss_mask) == [0, 1, 1, 0, 0, 1]


@pytest.mark.parametrize("packing", [True, False])
def test_that_every_epoch_takes_each_document_once_in_an_order_of_the_seed(packing: bool) -> None:
    made = documents(*(1 + n % 5 for n in range(20)))
    one, same, other = (Batches(made, 6, 1, seed, packing=packing) for seed in ("7 0", "7 0", "7 1"))
    count = len(one)
    epochs = [[one.batch(n)[0] for n in range(e * count, (e + 1) * count)] for e in range(3)]
    for epoch in epochs:
        assert sorted({id for row in epoch for id in row.ids}) == list(range(20))
        assert sum(len(row.ids) for row in epoch) == sum(len(d.ids) for d in made)
    assert epochs[0] != epochs[1]
    assert [same.batch(n) for n in range(5)] == [one.batch(n) for n in range(5)]
    assert [other.batch(n) for n in range(5)] != [one.batch(n) for n in range(5)]
    assert same.batch(3) == one.batch(3)  # also backwards


def test_that_padding_is_what_rows_lack_to_the_longest_of_their_batch() -> None:
    assert Batches(documents(2, 4), 8, 2, "0", packing=False).padding_share == pytest.approx(2 / 8)
    assert Batches(documents(2, 4), 8, 2, "0").padding_share == 0  # one row, taken twice
    assert Batches(documents(3, 3), 3, 1, "0").padding_share == 0


def test_that_batches_need_a_document() -> None:
    with pytest.raises(ValueError, match="no document"):
        Batches([], 8, 1, "0")


def test_that_a_text_is_cut_into_pieces_after_the_begin_token() -> None:
    made = pieces(range(10, 17), 4, (1,))
    assert [list(one.ids) for one in made] == [[1, 10, 11, 12], [1, 13, 14, 15], [1, 16]]
    assert [list(one.loss_mask) for one in made] == [[0, 1, 1, 1], [0, 1, 1, 1], [0, 1]]
    assert len(pieces(range(7), 4, (1,), whole_only=True)) == 2
    assert [list(one.loss_mask) for one in pieces(range(4), 4, ())] == [[0, 1, 1, 1]]
    assert [list(one.ids) for one in pieces(range(5), 4, ())] == [[0, 1, 2, 3]], "nothing predicts the last one"
    assert [list(one.ids) for one in pieces(range(4), 4, (9,))] == [[9, 0, 1, 2], [9, 3]]
    assert pieces([1], 4, ()) == []
    with pytest.raises(ValueError, match="no room"):
        pieces([1], 1, (0,))


Own = list[Split | None]
KEYS = [bytes([n]) for n in range(40)]


def of(
    keys: list[bytes], own: list[Split | None] | None = None, seed: int = 7, shares: tuple[float, float] = (0.1, 0.2)
) -> list[Split | None]:
    return split(keys, own or [None] * len(keys), seed, *shares)


def test_that_a_split_has_its_shares_and_follows_contents_and_seed() -> None:
    found = of(KEYS)
    assert [found.count(name) for name in ("train", "validation", "test")] == [28, 4, 8]
    assert of(KEYS[::-1]) == found[::-1]
    assert of(KEYS, seed=8) != found


def test_that_rows_that_say_the_same_are_in_one_split() -> None:
    doubled = of([*KEYS, *KEYS])
    assert doubled[:40] == doubled[40:] == of(KEYS)


@pytest.mark.parametrize(
    ("rows", "counts"), [(0, [0, 0, 0]), (1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1]), (4, [2, 1, 1])]
)
def test_that_few_rows_leave_one_to_train_on(rows: int, counts: list[int]) -> None:
    found = of(KEYS[:rows], shares=(0.05, 0.05))
    assert [found.count(name) for name in ("train", "validation", "test")] == counts


def test_that_no_share_means_no_row() -> None:
    assert set(of(KEYS, shares=(0.0, 0.0))) == {"train"}


def test_that_the_splits_of_the_data_are_kept_and_copies_of_held_out_rows_are_not_trained_on() -> None:
    own: list[Split | None] = ["train", "train", "train", "validation", "test", "validation"]
    keys = [b"a", b"b", b"c", b"c", b"d", b"d"]
    assert of(keys, own) == ["train", "train", None, "validation", "test", None]
    only_test: list[Split | None] = ["test" if n < 5 else "train" for n in range(40)]
    found = of(KEYS, only_test)
    assert [found.count(name) for name in ("train", "validation", "test")] == [31, 4, 5]
