"""What every architecture has to be: causal, the same with a cache as without, trained in every part, the same again
from a folder. On a small shape with random weights, float32; differences are of rounding.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.techniques.architecture import cache_bytes
from tests.engines.architecture.kit import VARIANTS, WORDS, config_of, make, tokens

ROUNDING = 2e-5
"""As a share of the logits' spread."""
CACHED = tuple(variant for variant in VARIANTS if variant != "attention.nsa")


@pytest.mark.parametrize("variant", VARIANTS)
def test_that_no_token_sees_a_later_one(variant: str) -> None:
    import torch

    model, given, place = make(config_of(variant)), tokens(19), 11
    other = given.clone()
    other[:, place] = (other[:, place] + 1) % WORDS
    with torch.no_grad():
        logits = model(input_ids=given).logits
        difference = (logits - model(input_ids=other).logits).abs().amax(dim=(0, 2)) / logits.std()
    assert difference[:place].max() < ROUNDING
    assert difference[place:].min() > 100 * ROUNDING  # two layers, a window of 5: 8 tokens later it is still felt


@pytest.mark.parametrize("variant", CACHED)
def test_that_decoding_with_a_cache_is_the_full_pass(variant: str) -> None:
    import torch

    model, prompt = make(config_of(variant)), tokens(9, rows=1 if "rwkv" in variant else 2)
    with torch.no_grad():
        made = model.generate(
            prompt, max_new_tokens=12, do_sample=False, use_cache=True, pad_token_id=0, eos_token_id=None,
            return_dict_in_generate=True, output_logits=True,
        )  # fmt: skip
        whole = model(input_ids=made.sequences, use_cache=False).logits[:, 8:-1]
    assert made.sequences.shape[1] == 21
    assert (torch.stack(made.logits, dim=1) - whole).abs().max() < ROUNDING * whole.std()


def test_that_transformers_still_decodes_rwkv_in_batches_wrongly() -> None:
    """Why `conditions.one_sequence` stands against it: to be taken out when this fails."""
    import torch

    model, prompt = make(config_of("attention.rwkv")), tokens(9)
    with torch.no_grad():
        state = model(input_ids=prompt[:, :8], use_cache=True).state
        assert model(input_ids=prompt[:, 8:], state=state, use_cache=True).logits.shape[1] == 2  # one token was given


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_that_every_parameter_gets_a_gradient(variant: str, checkpointing: bool) -> None:
    import torch

    from engines.hf.architecture.experts import balance_loss

    model = make(config_of(variant)).train()
    if checkpointing:
        if not model.supports_gradient_checkpointing:
            pytest.skip("transformers has no checkpointing for it")
        model.activation_checkpointing_enable()
    given = tokens(40 if "nsa" in variant or "learned" in variant else 24, rows=4)
    routed = {"output_router_logits": True} if "moe" in variant else {}
    outputs = model(input_ids=given, use_cache=False, **routed)
    loss = torch.nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), given[:, 1:].flatten())
    balance = balance_loss(outputs, model.config)
    assert (balance is not None) == ("moe" in variant)
    (loss if balance is None else loss + balance).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_that_a_saved_model_is_the_same_when_the_engine_reads_it(variant: str, tmp_path: Path) -> None:
    import torch

    from engines.hf.load import LoadRequest, load_weights
    from engines.protocol.orders import ModelOrder

    model, given = make(config_of(variant)), tokens(19)
    with torch.no_grad():
        before = model(input_ids=given).logits
    model.save_pretrained(tmp_path)
    order = ModelOrder(ref="x", title="x", kind="folder", path=str(tmp_path))
    request = LoadRequest(model=order, technique="precision.float32", device=torch.device("cpu"), attention="sdpa")
    again = load_weights(request, torch.float32)
    assert type(again).__name__ == type(model).__name__
    with torch.no_grad():
        assert torch.equal(again(input_ids=given).logits, before)


@pytest.mark.parametrize("length", [3, 21])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("variant", CACHED)
def test_that_a_cache_holds_as_many_bytes_as_the_formula_says(variant: str, dtype: str, length: int) -> None:
    import torch

    from engines.hf.architecture.build import build
    from engines.hf.shape import cache_of, cache_size

    config, kind = config_of(variant), getattr(torch, dtype)
    torch.manual_seed(3)
    with torch.no_grad():
        outputs = build(config, kind).eval()(input_ids=tokens(length, rows=1), use_cache=True)
    held = cache_size(cache_of(outputs))
    assert held == cache_bytes(config, length, kind.itemsize) > 0
