"""Data that a trial is given: refused in words where it cannot train on them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from engines.data.training.dataset import read_table
from engines.protocol.orders import TechniqueOrder, Training, TrialOrder
from engines.protocol.records import Cue, Step
from tests.engines.worker_harness import Outcome, folder_model, run_worker, trial_order
from tests.tiny_model import make_tiny_model

LORA = TechniqueOrder(id="finetune.lora")
PREFIX = TechniqueOrder(id="finetune.prefix")
CSV = "question,answer\n" + "".join(f"q{n},a{n}\n" for n in range(40))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    made = tmp_path / "own.csv"
    made.write_text(CSV)
    return made


def order(tmp_path: Path, technique: TechniqueOrder, workload: Training) -> TrialOrder:
    plain = trial_order(folder_model(make_tiny_model(tmp_path / "model")))
    return msgspec.structs.replace(plain, workload=workload, techniques=(*plain.techniques, technique))


def refusal(outcome: Outcome) -> str:
    assert not outcome.all(Step)
    return next(c.text for c in outcome.all(Cue) if c.code.startswith("failure:"))


def test_that_data_that_changed_since_the_plan_are_not_trained_on(own: Path, tmp_path: Path) -> None:
    planned = Training(data=str(own), data_hash=read_table(Training(data=str(own))).hash, steps=1, sequence_tokens=64)
    own.write_text(CSV + "one,more\n")
    outcome = run_worker(order(tmp_path, LORA, planned), tmp_path / "run")
    assert outcome.failure == "order"
    assert "changed since" in refusal(outcome)


def test_that_packed_rows_are_not_trained_on_where_virtual_tokens_mix_them(own: Path, tmp_path: Path) -> None:
    packed = Training(data=str(own), steps=1, sequence_tokens=64, evaluation_tokens=0)
    outcome = run_worker(order(tmp_path, PREFIX, packed), tmp_path / "run")
    assert outcome.failure == "technique"
    assert "cannot be packed" in refusal(outcome)
    plain = msgspec.structs.replace(packed, packing=False)
    assert len(run_worker(order(tmp_path, PREFIX, plain), tmp_path / "plain").all(Step)) == 4


def test_that_a_token_that_the_model_does_not_know_is_found_before_it_is_trained_on(own: Path, tmp_path: Path) -> None:
    made = order(tmp_path, LORA, Training(data=str(own), steps=1, sequence_tokens=64, evaluation_tokens=0))
    file = tmp_path / "model" / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer["added_tokens"].append({"id": 512, "content": "<|extra|>", **plain})
    file.write_text(json.dumps(tokenizer))
    own.write_text(CSV + "one,<|extra|>\n" * 9)
    outcome = run_worker(made, tmp_path / "run")
    assert outcome.failure == "model"
    assert "writes token 512, and the model has 512, counted from 0" in refusal(outcome)
