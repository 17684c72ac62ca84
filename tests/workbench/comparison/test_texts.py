"""Written texts of an experiment side by side, from what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.protocol.records import WrittenText
from tests.workbench.store_kit import add_experiment, ended, lines, log, started
from workbench.comparison.texts import first_difference, written_texts
from workbench.store.local import LocalStore
from workbench.store.operations import Ingest, ReadKinds, SetBaseline, StoreError


def text(seq: int, prompt: str, words: str) -> WrittenText:
    return WrittenText(seq=seq, prompt_id=prompt, prompt=f"Please {prompt}", text=words, tokens=len(words), ended=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    """Two configurations, c-0 and c-1, of two trials each."""
    store = LocalStore(tmp_path / "store.duckdb")
    add_experiment(store, "t-0", "t-1", "t-2", "t-3")
    yield store
    store.close()


def ingest(store: LocalStore, trial: str, *texts: tuple[str, str], outcome: str = "completed") -> None:
    said = [text(i, *one) for i, one in enumerate(texts, 2)]
    stream = (started(), *said, ended(2 + len(said), outcome=outcome))
    store.execute(Ingest(trial=trial, lines=lines(stream)))


def test_that_texts_stand_side_by_side_with_the_first_difference(store: LocalStore) -> None:
    ingest(store, "t-0", ("list", "one, two"), ("explain", "It falls."))
    ingest(store, "t-1", ("list", "one, too"), ("explain", "It falls."))
    found = written_texts(store)
    assert [p.prompt_id for p in found] == ["list", "explain"]
    left, right = found[0].texts
    assert (left.text, left.is_baseline, left.first_difference) == ("one, two", True, None)
    assert (right.text, right.is_baseline, right.first_difference) == ("one, too", False, 6)
    assert found[0].prompt == "Please list"
    assert found[1].texts[1].same_as_baseline
    assert not left.same_as_baseline


def test_that_the_pinned_baseline_is_compared_with_and_another_may_be_named(store: LocalStore) -> None:
    ingest(store, "t-0", ("list", "abc"))
    ingest(store, "t-1", ("list", "abd"))
    store.execute(SetBaseline(experiment="e-1", configuration="c-1"))
    assert [t.is_baseline for t in written_texts(store, "1")[0].texts] == [False, True]
    assert [t.is_baseline for t in written_texts(store, baseline="c-0")[0].texts] == [True, False]


def test_that_a_configuration_without_texts_says_why(store: LocalStore) -> None:
    ingest(store, "t-1", ("list", "abc"))
    missing, there = written_texts(store)[0].texts
    assert missing.text is None
    assert "not ended" in missing.reason
    assert there.is_baseline, "the first that wrote is compared with"
    ingest(store, "t-0", outcome="failed")
    assert written_texts(store)[0].texts[0].reason == "Its trial of the first block failed."


def test_that_the_earliest_trial_counts_where_several_wrote(store: LocalStore) -> None:
    ingest(store, "t-2", ("list", "late"))
    ingest(store, "t-0", ("list", "early"))
    assert written_texts(store)[0].texts[0].text == "early"


def test_that_an_experiment_without_texts_has_none_and_an_unknown_one_is_told(store: LocalStore) -> None:
    ingest(store, "t-0")
    assert written_texts(store) == ()
    with pytest.raises(StoreError):
        written_texts(store, "nothing of that name")


def test_that_kinds_are_read_over_an_experiment_in_the_order_of_blocks(store: LocalStore) -> None:
    store.execute(Ingest(trial="t-2", lines=lines((started(), log(2, "late")))))
    store.execute(Ingest(trial="t-0", lines=lines((started(), log(2, "early"), log(3, "again")))))
    rows = store.execute(ReadKinds(experiment="", kinds=("log",)))
    assert [r.trial for r in rows] == ["t-0", "t-0", "t-2"]
    assert all('"kind":"log"' in r.line for r in rows)
    assert store.execute(ReadKinds(experiment="", kinds=())) == ()


@pytest.mark.parametrize(
    ("text", "other", "where"),
    [("", "", None), ("a", "", 0), ("ab", "abc", 2), ("äb", "äc", 1), ("same", "same", None)],
)
def test_first_difference(text: str, other: str, where: int | None) -> None:
    assert first_difference(text, other) == where
