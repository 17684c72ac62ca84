"""Architectures in a plan: what is counted, matched and refused before anything is built."""

from __future__ import annotations

import pytest

from engines.techniques.architecture import SHAPES, counts
from tests.workbench.plan.test_pretraining import errors, planned

SIZE = counts(SHAPES["tiny"]).total
PRETRAINED = """
models = ["shape/tiny"]
workload = { kind = "pretraining", MORE }
[techniques]
"""
RUN = """
models = ["MODEL"]
[techniques]
"""


def pretrained(techniques: str, more: str = "steps = 9") -> str:
    return PRETRAINED.replace("MORE", more) + techniques


def test_that_pretraining_compares_architectures_of_one_size() -> None:
    plan = planned(pretrained('attention = ["mha", "mqa", "mla", "mamba", "rwkv", "pythia"]'))
    assert not errors(plan)
    sizes = [cell.memory.parameters for cell in plan.configurations]
    assert len(set(sizes)) == 6
    assert all(abs(size / SIZE - 1) <= 0.02 for size in sizes)
    assert all(cell.memory.trained_parameters == cell.memory.parameters for cell in plan.configurations)
    first, *_, last = ([p.message for p in cell.problems] for cell in plan.configurations)
    assert any(m.startswith("Matched in size: feed-forward width 704 → 576: ") for m in first)
    assert not any("Reference implementation" in m for m in (*first, *last))
    mamba = [p.message for p in plan.configurations[3].problems]
    assert any(m.startswith("Reference implementation: On processors") for m in mamba)
    assert len({cell.hash for cell in plan.configurations}) == 6


def test_that_sizes_are_left_alone_where_the_experiment_says_so() -> None:
    (cell,) = planned(pretrained('attention = "mha"', "match_parameters = false")).configurations
    assert cell.memory.parameters == SIZE + 4 * 2 * 256 * (256 - 64)
    assert not any("Matched" in p.message for p in cell.problems)


def test_that_a_run_costs_what_the_edited_model_costs() -> None:
    full, latent = planned(RUN.replace("MODEL", "shape/tiny") + 'attention = ["mha", "mla"]').configurations
    assert full.memory.weights == 4 * (SIZE + 4 * 2 * 256 * (256 - 64)), "as it is: runs are not matched"
    assert full.memory.cache_or_activations > latent.memory.cache_or_activations


def test_that_a_hash_is_the_shapes_where_no_technique_is_named() -> None:
    (plain,) = planned('models = ["shape/tiny"]').configurations
    (rotary,) = planned('models = ["shape/tiny"]\n[techniques]\npositions = "rope"').configurations
    assert plain.hash != rotary.hash


@pytest.mark.parametrize(
    ("techniques", "why"),
    [
        ('attention = "mamba"\npositions = "alibi"', "Mamba is taken as a whole and has its own positions"),
        ('attention = "pythia"\nfeedforward = "moe"', "Pythia is taken as a whole and has its own feed-forward part"),
        ('attention = { id = "gqa", kv_heads = 3 }', "8 heads cannot share 3 key-value heads evenly"),
        ('attention = { id = "mla", rope_dims = 7 }', "rope_dims is even"),
        ('attention = "mla"\nfeedforward = "moe"', "no balancing loss"),
        ('feedforward = { id = "moe", experts = 4, top_k = 5 }', "top_k is at most"),
        ('positions = { id = "t5", buckets = 64, max_distance = 32 }', "more than half the number of buckets"),
        ('positions = { id = "learned", context = 100 }', "256 tokens are more than the 100"),
    ],
)  # fmt: skip
def test_that_what_does_not_go_together_is_refused(techniques: str, why: str) -> None:
    assert any(why in message for message in errors(planned(pretrained(techniques))))


def test_that_rwkv_is_not_run_in_batches() -> None:
    text = RUN.replace("MODEL", "shape/tiny") + 'attention = "rwkv"\n[workload]\nbatch_size = [1, 2]'
    one, two = planned(text).configurations
    assert one.runnable
    assert [p.message for p in two.problems if p.severity == "error"] == [
        "transformers decodes RWKV wrongly for more than one sequence at a time: set batch_size to 1."
    ]


def test_that_a_model_with_an_architecture_of_its_own_keeps_it() -> None:
    (cell,) = planned(RUN.replace("MODEL", "random:pythia-160m") + 'attention = "mqa"').configurations
    assert any("made from llama-style shapes" in p.message for p in cell.problems if p.severity == "error")
