"""Techniques of the data axis on the way of a text to tokens: what they leave out, and what they leave alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engines.data import tokenised
from engines.data.filters.techniques import rule_of
from engines.data.text_corpus import read_text
from engines.protocol.orders import Pretraining, TechniqueOrder
from engines.protocol.records import Environment, TookEffect
from engines.techniques import find, techniques
from tests.engines.pretraining import kit
from tests.engines.worker_harness import run_worker


def rows_file(folder: Path) -> Path:
    """300 rows of their own, every third of them twice."""
    passages = [kit.sentences(12, seed) for seed in range(300)]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in passages + passages[::3]))
    return file


def made(folder: Path, load: Pretraining, *orders: TechniqueOrder) -> tokenised.Corpus:
    text = read_text(load)
    key = tokenised.key_of(load, text, [[o.id, o.parameters] for o in orders])
    rules = [rule for order in orders for rule in rule_of(order)]
    return tokenised.make(folder, key, load, text, lambda *_: None, rules)


def complete(id: str, **changes: float) -> TechniqueOrder:
    technique = find(id)
    assert technique is not None
    return TechniqueOrder(id=id, parameters={**technique.defaults(), **changes})


def test_that_copies_leave_the_training_split_and_nothing_else_changes(tmp_path: Path) -> None:
    load = kit.pretraining(rows_file(tmp_path))
    whole, unique = made(tmp_path, load), made(tmp_path, load, complete("data.exact"))
    assert whole.folder != unique.folder
    assert unique.made.tokenizer_sha256 == whole.made.tokenizer_sha256, "losses a token compare"
    for split in ("validation", "test"):
        assert np.array_equal(whole.ids(split), unique.ids(split))  # type: ignore[arg-type]
    before, after = whole.made.splits["train"], unique.made.splits["train"]
    assert 50 < unique.made.removed_documents == before.documents - after.documents
    assert unique.made.removed_bytes == before.bytes - after.bytes > 0
    assert len(unique.ids("train")) < len(whole.ids("train"))
    facts = unique.facts()
    assert facts["training.filters.removed_documents"] == f"{unique.made.removed_documents} of {before.documents}"
    assert facts["training.filters"].startswith("exact copies: ")
    assert not any("filters" in name for name in whole.facts())


def test_that_a_text_without_filters_keeps_the_name_it_had(tmp_path: Path) -> None:
    load = kit.pretraining(rows_file(tmp_path))
    text = read_text(load)
    assert tokenised.key_of(load, text) == tokenised.key_of(load, text, [])
    near = [[["data.near", {"similarity": s}]] for s in (0.8, 0.9)]
    assert len({tokenised.key_of(load, text), *(tokenised.key_of(load, text, one) for one in near)}) == 3


def test_that_quality_rules_are_applied_one_after_the_other(tmp_path: Path) -> None:
    load = kit.pretraining(rows_file(tmp_path))
    found = made(tmp_path, load, complete("data.quality", characters=1, repeated_lines=1.0, repeated_words=1.0))
    assert found.made.removed_documents == 0
    said = found.facts()["training.filters"]
    assert said.count("documents") == 3
    assert "shorter than 1 characters: 0 documents" in said
    with pytest.raises(Exception, match="tokens to train on"):
        made(tmp_path, load, complete("data.quality", characters=10**6))


def test_that_every_technique_of_the_axis_has_its_rules() -> None:
    known = techniques("data")
    assert len(known) == 3
    for technique in known:
        assert technique.works == ("pretraining",)
        assert rule_of(complete(technique.id))


@pytest.mark.real
def test_that_a_trial_trains_on_what_is_left_and_says_what_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_WORKBENCH_HOME", str(tmp_path / "home"))
    load = kit.pretraining(rows_file(tmp_path), steps=2, warmup_steps=0, evaluate_every=0)
    outcome = run_worker(kit.order(load, method="data.exact"), tmp_path / "run")
    assert outcome.exit_code == 0, outcome.stderr
    (effect,) = [e for e in outcome.all(TookEffect) if e.technique == "data.exact"]
    assert effect.stage == "data"
    assert effect.changed["removed_documents"] > 50
    facts = {name: value for record in outcome.all(Environment) for name, value in record.facts.items()}
    assert facts["training.filters.removed_documents"].startswith(f"{effect.changed['removed_documents']:.0f} of ")
