"""Parameters by formula are those of the model that is built, for every technique on every shape; and matching them."""

from __future__ import annotations

import math

import msgspec
import pytest

from engines.protocol.settings import Scalar
from engines.techniques import find
from engines.techniques.architecture import SHAPES, counts, edited, facts, matched
from engines.techniques.architecture.edited import slot
from engines.techniques.architecture.shapes import number
from engines.techniques.weights import weights_of
from engines.techniques.weights_config import shapes_of_config
from tests.engines.architecture.kit import SINGLE, VARIANTS, config_of, order
from tests.engines.finetune.kit import SMALL as OTHERS
from tests.engines.finetune.kit import built
from tests.engines.finetune.kit import config_of as other_config


def defaults(id: str) -> dict[str, Scalar]:
    technique = find(id)
    assert technique is not None
    return technique.defaults()


def numel(config: dict[str, object]) -> int:
    import torch

    from engines.hf.architecture.build import build

    with torch.device("meta"):
        return sum(p.numel() for p in build(config, torch.float32).parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_that_parameters_are_counted_exactly(variant: str) -> None:
    config = config_of(variant)
    assert counts(config).total == numel(config)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("id", SINGLE)
def test_that_they_are_on_every_shape_with_every_default(shape: str, id: str) -> None:
    config = edited(SHAPES[shape], [order(id, **defaults(id))])
    assert counts(config).total == numel(config)


@pytest.mark.parametrize("kind", sorted(OTHERS))
def test_that_they_are_of_other_architectures_too(kind: str) -> None:
    config = other_config(kind)
    assert counts(config).total == sum(math.prod(shape) for shape in built(config).values())


def test_that_an_architecture_without_a_rule_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="xlstm"):
        counts({"model_type": "xlstm", "hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 8})
    mixture = {**config_of("attention.mla"), "first_k_dense_replace": 1}
    assert not shapes_of_config(mixture)


def test_that_parts_are_what_their_names_say() -> None:
    """Worked by hand for the tiny shape: 4 blocks of width 256, 8 heads of 32, 2 of them kept, 704 inside."""
    parts = counts(SHAPES["tiny"])
    assert parts.embedding == 4_096 * 256
    assert parts.mixer == 4 * (2 * 256 * 256 + 2 * 256 * 64)
    assert parts.feed_forward == 4 * 3 * 256 * 704
    assert parts.norms == 9 * 256
    assert (parts.head, parts.idle) == (0, 0)
    assert counts({**SHAPES["tiny"], "tie_word_embeddings": False}).head == 4_096 * 256
    assert 1e6 < parts.total < 5e6
    assert counts(SHAPES["small"]).total == pytest.approx(30e6, rel=0.05)
    # those of Qwen2.5, without its biases of queries, keys and values
    for name, told in (("0.5b", 494_032_768), ("1.5b", 1_543_714_304), ("3b", 3_085_938_688)):
        shape = SHAPES[f"efficientllm-{name}"]
        heads, kept, head, layers = (int(str(shape[k])) for k in (
            "num_attention_heads", "num_key_value_heads", "head_dim", "num_hidden_layers"))  # fmt: skip
        assert counts(shape).total == told - layers * (heads + 2 * kept) * head


def test_that_one_token_uses_its_experts_only() -> None:
    parts = counts(config_of("feedforward.moe"))
    one = 3 * 64 * 32 * 2
    assert parts.idle == 2 * one
    assert parts.active == parts.total - 2 * one
    assert parts.feed_forward == 4 * one + 2 * 4 * 64  # with the router


@pytest.mark.parametrize("id", SINGLE)
def test_that_every_variant_of_a_shape_can_have_as_many_parameters(id: str) -> None:
    shape = SHAPES["tiny"]
    total = counts(shape).total
    found = matched(edited(shape, [order(id, **defaults(id))]), total)
    assert abs(counts(found).total / total - 1) <= 0.02
    assert numel(found) == counts(found).total
    told = slot(found, "matched")
    assert told["off"] == counts(found).total / total - 1
    assert f"{counts(found).total:,} parameters" in str(told["rule"])


def test_that_a_match_says_what_it_changed() -> None:
    shape, total = SHAPES["tiny"], counts(SHAPES["tiny"]).total

    def rule(id: str, **settings: Scalar) -> str:
        return str(slot(matched(edited(shape, [order(id, **settings)]), total), "matched")["rule"])

    assert rule("attention.mha") == f"feed-forward width 704 → 576: {total:,} parameters, +0.00% of {total:,}"
    assert rule("feedforward.dense").startswith("nothing changed: ")
    assert rule("attention.mamba", state=16).startswith("blocks 8 → 6, hidden size 256 → 264: ")
    shared = matched(edited(shape, [order("feedforward.moe", shared=2, expert_width=0)]), total)
    assert shared["shared_expert_intermediate_size"] == 2 * number(shared, "moe_intermediate_size")
    assert str(slot(shared, "matched")["rule"]).startswith("expert width")


def test_that_what_cannot_be_matched_says_how_far_off_it_is() -> None:
    found = matched(edited(SHAPES["tiny"], [order("positions.learned", context=131_072)]), 4_000_000)
    assert number(found, "intermediate_size") == 8
    assert slot(found, "matched")["off"] == counts(found).total / 4_000_000 - 1 > 5


@pytest.mark.parametrize("variant", VARIANTS)
def test_that_a_planner_knows_the_matrices_of_what_is_built(variant: str) -> None:
    import torch

    from engines.hf.architecture.build import build

    config = config_of(variant)
    told = facts(config)
    assert told.parameters == numel(config)
    assert (told.kind, told.has_tokenizer, told.layers) == ("random", False, config["num_hidden_layers"])
    if "nsa" in variant:
        return
    with torch.device("meta"):
        model = build(config, torch.float32)
    found = weights_of((name, tuple(p.shape)) for name, p in model.named_parameters())
    assert sorted(told.weights.matrices, key=str) == sorted(found.matrices, key=str)
    assert msgspec.structs.astuple(told.weights)[1:3] == (found.biases, found.blocks)
    assert told.linear_parameters == sum(m.count * m.inputs * m.outputs for m in found.layers)
