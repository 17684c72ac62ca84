"""Loss on held-out rows: what is scored, and what the record says."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pytest

from engines.data.begin import Begin
from engines.data.held_out import evaluate_documents
from engines.data.training.documents import Document
from engines.protocol.records import Evaluation

ROWS = [
    Document(array("i", [1, 10, 11, 20, 21]), bytes([0, 0, 0, 1, 1])),
    Document(array("i", [1, 12, 22, 13, 23]), bytes([0, 0, 1, 0, 1])),
    Document(array("i", [1, 24]), bytes([0, 1])),
]


def evaluated(rows: Sequence[Document], tokens: int, stop_after: int = 99) -> Evaluation | None:
    asked: list[list[int]] = []

    def losses(ids: Sequence[int], scored: int) -> list[float] | None:
        asked.append(list(ids))
        return [float(id) for id in ids[-scored:]] if len(asked) <= stop_after else None

    return evaluate_documents(
        rows, tokens, losses, lambda ids, place: sum(ids[:place]), name="own", hash="sha256:1", begin=Begin((1,), "<s>")
    )


@pytest.mark.parametrize(
    ("tokens", "scored"), [(1, (20, 21)), (2, (20, 21)), (3, (20, 21, 22, 23)), (99, (20, 21, 22, 23, 24))]
)
def test_that_whole_rows_are_scored_until_there_are_enough_tokens(tokens: int, scored: tuple[int, ...]) -> None:
    found = evaluated(ROWS, tokens)
    assert (found.nll_sum, found.tokens, found.text_bytes) == (sum(scored), len(scored), sum(scored))
    assert (found.data_name, found.data_hash, found.context_tokens, found.begin) == ("own", "sha256:1", 5, "<s> (1)")
    assert sum(found.part_nll) == found.nll_sum
    assert sum(found.part_bytes) == found.text_bytes


def test_that_parts_are_of_counted_tokens_across_rows() -> None:
    found = evaluated(ROWS * 8, 40)
    assert (found.part_tokens, len(found.part_nll)) == (16, 3)
    assert found.part_nll[-1] == 22 + 23 + 24 + 20 + 21 + 22 + 23 + 24  # the last 8 of 40


def test_that_nothing_is_recorded_without_rows_and_after_a_stop() -> None:
    assert evaluated([], 10) is None
    assert evaluated(ROWS, 10, stop_after=1) is None
