"""Techniques of architecture through a real worker: the model is built from the config that they edit."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engines.protocol.orders import ModelOrder, TechniqueOrder
from engines.protocol.records import ModelLoaded, TookEffect
from engines.techniques.architecture.shapes import SHAPES
from tests.engines.worker_harness import run_worker, trial_order


@pytest.mark.real
def test_that_the_architecture_does_not_depend_on_the_order_its_techniques_are_named_in(tmp_path: Path) -> None:
    config = {**SHAPES["tiny"], "num_hidden_layers": 2, "vocab_size": 512}
    plain = trial_order(ModelOrder(ref="shape/tiny", title="tiny", kind="random", config=config))
    named = (
        TechniqueOrder(id="feedforward.moe", parameters={"experts": 2, "top_k": 1}),
        TechniqueOrder(id="attention.sliding", parameters={"window": 8}),
    )
    order = msgspec.structs.replace(plain, techniques=(*plain.techniques, *named))
    outcome = run_worker(order, tmp_path)
    assert outcome.exit_code == 0, outcome.stderr
    edited = {e.technique: e.changed["edited_keys"] for e in outcome.all(TookEffect) if e.stage == "config"}
    assert edited.keys() == {"feedforward.moe", "attention.sliding"}
    assert all(count > 0 for count in edited.values())
    assert outcome.only(ModelLoaded).details["architecture"] == "MixtralForCausalLM"
