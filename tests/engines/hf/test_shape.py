"""Facts of a model's shape against its own tensors and its own cache."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.real


def test_that_the_cache_is_measured_as_its_shape_says_for_several_architectures() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from engines.hf.shape import KV_FACT, cache_facts, expert_count, shape_facts
    from engines.techniques.layers import LayerGroup, layers_of_details

    common = {"hidden_size": 32, "num_hidden_layers": 3, "vocab_size": 64, "intermediate_size": 48}
    grouped = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}

    def built(kind: str, **more: object) -> torch.nn.Module:
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **common, **more)).eval()

    llama = built("llama", **grouped)
    assert cache_facts(llama) == {KV_FACT: str(2 * 3 * 2 * 8 * 4)}  # key and value, layers, heads, size, float32
    assert cache_facts(llama.to(torch.bfloat16)) == {KV_FACT: str(2 * 3 * 2 * 8 * 2)}
    assert expert_count(llama.config) == 0, "a dense model, whatever its config names for experts"
    told = shape_facts(llama, 1)
    assert (told["vocabulary"], told["layers"]) == ("64", "3")
    assert layers_of_details(told).groups == (LayerGroup(3, 32, 2 * 2 * 8),)
    windowed = built("qwen2", **grouped, use_sliding_window=True, sliding_window=4, max_window_layers=1)
    assert [(g.layers, g.window) for g in layers_of_details(shape_facts(windowed, 1)).groups] == [(1, 0), (2, 4)]

    gpt = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt2", n_embd=32, n_layer=3, n_head=4, vocab_size=64, n_positions=16)
    ).eval()
    assert cache_facts(gpt) == {KV_FACT: str(2 * 3 * 32 * 4)}

    experts = built("mixtral", **grouped, num_local_experts=4, num_experts_per_tok=2)
    whole = sum(p.numel() for p in experts.parameters())
    inside = sum(p.numel() for n, p in experts.named_parameters() if ".experts." in n)
    assert inside > 0
    assert expert_count(experts.config) == 4
    assert int(shape_facts(experts, whole)["active_parameters"]) == whole - inside // 2

    recurrent = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("mamba", hidden_size=32, num_hidden_layers=2, vocab_size=64, state_size=4)
    ).eval()
    assert KV_FACT not in cache_facts(recurrent)
    assert layers_of_details(shape_facts(recurrent, 1)).groups == (LayerGroup(2, 0, 0),)


def test_that_the_cache_of_a_request_is_counted_where_it_stands() -> None:
    """Sliding layers keep their window, a state space its state, whatever the length."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from engines.hf.generate import fixed_length
    from engines.hf.shape import LastCache

    def held(kind: str, prompt: int, **more: object) -> int:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(kind, hidden_size=32, num_hidden_layers=3, vocab_size=64, **more)
        ).eval()
        with LastCache(model) as cache:
            model.generate(torch.ones((2, prompt), dtype=torch.long), generation_config=fixed_length(4))
            facts = cache.facts(2, prompt + 3)
        assert not model._forward_hooks, "no hook stays on the measured requests"
        assert (facts["cache.sequences"], facts["cache.tokens"]) == ("2", str(prompt + 3))
        return int(facts["cache.bytes"])

    grouped = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 48}
    each = 2 * 2 * 8 * 4  # key and value, heads, size, float32
    assert held("llama", 8, **grouped) == 2 * 3 * each * 11
    windowed = {**grouped, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
    short, long = (held("qwen2", n, **windowed) for n in (8, 16))
    assert long - short == 2 * 1 * each * 8, "only the layer without a window grows"
    assert held("mamba", 8, state_size=4) == held("mamba", 16, state_size=4)
