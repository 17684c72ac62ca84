"""Architectures against their special cases, and against formulas written here."""

from __future__ import annotations

import math

import pytest

from engines.techniques.architecture import edited
from tests.engines.architecture.kit import SMALL, config_of, make, order, tokens

torch = pytest.importorskip("torch")
ROUNDING = 2e-5


def logits(model: torch.nn.Module, length: int = 19) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tokens(length), use_cache=False).logits


def near(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool((one - other).abs().max() < ROUNDING * other.std())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([order("attention.gqa", kv_heads=4)], [order("attention.mha")]),
        ([order("attention.gqa", kv_heads=1)], [order("attention.mqa")]),
        ([order("attention.sliding", window=19)], []),
        ([order("positions.rope", base=10_000.0)], []),
        ([order("feedforward.dense")], []),
    ],
)
def test_that_a_special_case_is_the_plain_one(one: list, other: list) -> None:  # type: ignore[type-arg]
    assert near(logits(make(edited(SMALL, one))), logits(make(edited(SMALL, other))))


def test_that_a_narrower_window_is_not() -> None:
    plain, narrow = make(dict(SMALL)), make(edited(SMALL, [order("attention.sliding", window=18)]))
    assert not near(logits(narrow), logits(plain))
    assert near(logits(narrow)[:, :18], logits(plain)[:, :18])


@pytest.mark.parametrize("shared", [0, 2])
def test_that_a_mixture_of_alike_experts_is_the_dense_network(shared: int) -> None:
    dense, mixed = make(dict(SMALL)), make(edited(SMALL, [order("feedforward.moe", expert_width=0, shared=shared)]))
    theirs = dict(dense.named_parameters())
    with torch.no_grad():
        for name, own in mixed.named_parameters():
            block = name.partition(".mlp")[0]
            if name.endswith("experts.gate_up_proj"):
                own.copy_(torch.cat([theirs[f"{block}.mlp.{part}_proj.weight"] for part in ("gate", "up")])[None])
            elif name.endswith("experts.down_proj"):
                own.copy_(theirs[f"{block}.mlp.down_proj.weight"][None])
            elif "shared_expert." in name:
                own.zero_()
            elif name in theirs:
                own.copy_(theirs[name])
    assert near(logits(mixed), logits(dense))


def attention(scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """(batch, heads, tokens, tokens) and (batch, heads, tokens, size), each token seeing those before it."""
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -math.inf).softmax(-1) @ values


def of_block(model: torch.nn.Module, block: int = 1, length: int = 19) -> tuple[torch.Tensor, torch.Tensor]:
    """What goes into the attention of a block, and what comes out."""
    seen = []
    handle = model.model.layers[block].self_attn.register_forward_hook(
        lambda _m, _a, named, out: seen.append((named["hidden_states"], out[0])), with_kwargs=True
    )
    logits(model, length)
    handle.remove()
    return seen[0]


def heads(states: torch.Tensor, size: int, repeated: int = 1) -> torch.Tensor:
    return states.unflatten(-1, (-1, size)).transpose(1, 2).repeat_interleave(repeated, dim=1)


def plain_parts(layer: torch.nn.Module, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        heads(layer.q_proj(states), 16),
        heads(layer.k_proj(states), 16, repeated=2),
        heads(layer.v_proj(states), 16, repeated=2),
    )


@pytest.mark.parametrize("kind", ["none", "alibi", "t5"])
def test_that_a_bias_is_added_to_the_scores_by_its_formula(kind: str) -> None:
    model = make(config_of(f"positions.{kind}"))
    layer, (states, out) = model.model.layers[1].self_attn, of_block(model)
    place = torch.arange(19)
    distance = place[:, None] - place[None, :]
    bias = torch.zeros(4, 19, 19)
    if kind == "alibi":  # 4 heads: 1/4, 1/16, 1/64, 1/256
        bias = -torch.tensor([0.25, 0.0625, 0.015625, 0.00390625])[:, None, None] * distance
    elif kind == "t5":  # 8 buckets: 0 to 3 exact, then 4 + 4 · ln(d / 4) / ln(16 / 4), the last from 16 on

        def bucket(d: int) -> int:
            return max(0, d) if d < 4 else min(7, 4 + int(4 * math.log(d / 4) / math.log(4)))

        table = model.model.position_bias.table.weight
        bias = torch.stack([torch.stack([table[bucket(int(d))] for d in row]) for row in distance]).permute(2, 0, 1)
    with torch.no_grad():
        query, key, value = plain_parts(layer, states)
        mixed = attention(query @ key.transpose(-1, -2) / 4 + bias, value)
        assert near(layer.o_proj(mixed.transpose(1, 2).flatten(2)), out)


@pytest.mark.parametrize("heads", [3, 6, 12, 14])
def test_that_slopes_are_those_of_bloom(heads: int) -> None:
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    from engines.hf.architecture.positions import slopes

    theirs = build_alibi_tensor(torch.ones(1, 2), heads, torch.float32)[:, 0, 1]
    assert slopes(heads) == pytest.approx(theirs.tolist())


def test_that_latent_attention_is_its_formula() -> None:
    """DeepSeek-V2, equations 9 to 19: 16 values of a head without positions, 6 turned in neighbouring pairs."""
    model = make(config_of("attention.mla"))
    layer, (states, out) = model.model.layers[1].self_attn, of_block(model)
    angles = torch.arange(19)[:, None] * 10_000 ** (-torch.arange(0, 6, 2) / 6)

    def turned(part: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(part.unflatten(-1, (3, 2)).contiguous())
        rotated = torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles))
        return rotated.flatten(-2)

    with torch.no_grad():
        query = heads(layer.q_proj(states), 22)
        latent, shared = layer.kv_a_proj_with_mqa(states).split([24, 6], dim=-1)
        latent = latent * (latent.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt() * layer.kv_a_layernorm.weight
        key, value = heads(layer.kv_b_proj(latent), 32).split([16, 16], dim=-1)
        scores = query[..., :16] @ key.transpose(-1, -2)
        scores = scores + turned(query[..., 16:]) @ turned(shared)[:, None].transpose(-1, -2)
        mixed = attention(scores / math.sqrt(22), value)
        assert near(layer.o_proj(mixed.transpose(1, 2).flatten(2)), out)


@pytest.mark.parametrize("kind", ["sinusoidal", "learned"])
def test_that_positions_are_added_to_the_embeddings_by_their_formula(kind: str) -> None:
    model, given = make(config_of(f"positions.{kind}")), tokens(19)
    words = model.model.embed_tokens(given)
    if kind == "learned":
        expected = words + model.model.position_embedding.table.weight[:19]
    else:
        table = torch.tensor([
            [(math.sin, math.cos)[i % 2](p / 10_000 ** (2 * (i // 2) / 64)) for i in range(64)] for p in range(19)
        ])  # fmt: skip
        expected = 8 * words + table
    seen = []
    model.model.layers[0].register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    logits(model)
    assert near(seen[0], expected)


@pytest.mark.parametrize(("branch", "settings"), [(1, {"selected": 5}), (2, {"window": 19})])
def test_that_sparse_attention_with_everything_in_reach_is_full_attention(branch: int, settings: dict) -> None:  # type: ignore[type-arg]
    """With its gates at one branch alone: the selected blocks, all of them, or the window, as long as the text."""
    pytest.importorskip("native_sparse_attention_pytorch")
    model = make(edited(SMALL, [order("attention.nsa", **settings)]))
    for block in model.model.layers:
        gates = block.self_attn.inner.to_strategy_combine[0]
        gates.bias.data = torch.tensor([40.0 if place == branch else -40.0 for place in range(3)] * 4)
    inner, (states, out) = model.model.layers[1].self_attn.inner, of_block(model)
    with torch.no_grad():
        query, key, value = (heads(part, 16) for part in inner.to_qkv(states).split([64, 32, 32], dim=-1))
        query, key = inner.rotary_emb.rotate_queries_with_cached_keys(query, key)
        key, value = (part.repeat_interleave(2, dim=1) for part in (key, value))
        mixed = attention(query @ key.transpose(-1, -2) / 4, value)
        assert near(inner.combine_heads(mixed.transpose(1, 2).flatten(2)), out)


def test_that_a_bias_is_not_dropped_by_another_backend() -> None:
    from engines.hf.architecture.build import build

    model = build(config_of("positions.alibi"), torch.float32, "eager").eval()
    with pytest.raises(ValueError, match="needs the attention backend sdpa"):
        logits(model)


def test_that_sparse_attention_refuses_a_cache() -> None:
    pytest.importorskip("native_sparse_attention_pytorch")
    from engines.worker.failures import WorkerFailure

    model, prompt = make(config_of("attention.nsa")), tokens(9)
    with pytest.raises(WorkerFailure, match="no cache"):
        model.generate(prompt, max_new_tokens=2, use_cache=True, pad_token_id=0, eos_token_id=None)
    made = model.generate(
        prompt, max_new_tokens=3, do_sample=False, use_cache=False, pad_token_id=0, eos_token_id=None,
        return_dict_in_generate=True, output_logits=True,
    )  # fmt: skip
    with torch.no_grad():
        whole = model(input_ids=made.sequences, use_cache=False).logits[:, 8:-1]
    assert near(torch.stack(made.logits, dim=1), whole)


def test_that_the_load_of_experts_is_counted_and_balance_is_that_of_the_paper() -> None:
    from engines.hf.architecture.experts import balance_loss, expert_load

    model = make(config_of("feedforward.moe"))
    with torch.no_grad():
        outputs = model(input_ids=tokens(19), use_cache=False, output_router_logits=True)
        load, balance = expert_load(outputs, model.config), balance_loss(outputs, model.config)
        assert load is not None
        assert balance is not None
        chosen = [layer.softmax(-1).topk(2).indices.flatten().tolist() for layer in outputs.router_logits]
        assert load.tolist() == [[pytest.approx(one.count(e) / len(one)) for e in range(4)] for one in chosen]
        shares = torch.stack([layer.softmax(-1) for layer in outputs.router_logits]).mean(dim=(0, 1))
        # Switch Transformer, equation 4, with two choices a token: 2 where all are alike
        assert float(balance) == pytest.approx(0.01 * 4 * float((2 * load.mean(0) * shares).sum()), rel=1e-5)
        assert model.config._experts_implementation != "batched_mm"
        outputs = make(dict(SMALL))(input_ids=tokens(19))
        assert expert_load(outputs, model.config) is None
        assert balance_loss(outputs, model.config) is None


@pytest.mark.parametrize("variant", ["positions.alibi", "attention.nsa"])
def test_that_llama_cpp_refuses_what_it_would_compute_otherwise(variant: str) -> None:
    from engines.llama.convert.shape import shape_of
    from engines.worker.failures import WorkerFailure

    shape_of(SMALL)
    with pytest.raises(WorkerFailure, match="architecture's of this application"):
        shape_of(config_of(variant))
