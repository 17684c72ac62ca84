"""The transformers engine on real tiny models, in this process, against slower ways to the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.data.begin import Begin
from engines.protocol.orders import ModelOrder
from engines.protocol.ring import RingWriter, create_ring
from engines.worker.stop import Stop
from tests.tiny_model import LAYERS, make_tiny_model

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch.*"),
]

RANDOM = ModelOrder(
    ref="random:llama",
    title="llama",
    kind="random",
    config={
        "model_type": "llama",
        "vocab_size": 128,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelOrder:
    folder = make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return ModelOrder(ref="tiny", title="tiny", kind="folder", path=str(folder))


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[RingWriter]:
    create_ring(tmp_path / "ring", 1000)
    writer = RingWriter(tmp_path / "ring")
    yield writer
    writer.close()


def load(model: ModelOrder, technique: str = "float32", **parameters: str) -> Any:
    import torch

    from engines.hf import precision, precision_torchao
    from engines.hf.load import LoadRequest

    request = LoadRequest(
        model=model,
        technique=f"precision.{technique}",
        device=torch.device("cpu"),
        attention="sdpa",
        parameters=parameters,
    )
    return precision_torchao.load_int8(request) if technique == "int8" else precision.load_float(request)


# --- perplexity -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(2, 512))
def test_that_windows_score_every_token_once_with_context(tokens: int, size: int) -> None:
    from engines.data.windows import tokens_needed, windows

    scored: list[int] = []
    for window in windows(tokens, size):
        assert 0 <= window.start < window.counted < window.end <= tokens_needed(tokens, size)
        assert window.end - window.start <= size
        assert window.counted - window.start == max(1, size // 4)
        scored += range(window.counted, window.end)
    needed = tokens_needed(tokens, size)
    assert scored == list(range(needed - tokens, needed))


@pytest.mark.parametrize("begin", [Begin(), Begin((0,), "<s>"), Begin((0, 5), "<s>!")])
def test_that_the_loss_equals_one_computed_token_by_token(tiny: ModelOrder, begin: Begin) -> None:
    """Every scored token on its own: its window's context through the whole head, log-softmax in float64."""
    import torch

    from engines.data import held_out
    from engines.data.text import text_tokens
    from engines.data.windows import tokens_needed
    from engines.hf.perplexity import bytes_to, window_losses, window_size
    from engines.hf.tokenizer import load_tokenizer

    model = load(tiny)
    model.config.max_position_embeddings = 32  # small windows: 8 tokens of context, 24 scored
    tokenizer = load_tokenizer(tiny)
    assert tokenizer is not None
    ids = text_tokens(lambda words: tokenizer(words, add_special_tokens=False)["input_ids"])[:400]
    tokens = 100
    losses: list[float] = []
    for position in range(8, 8 + tokens):
        start = (position - 8) // 24 * 24 + max(0, len(begin.ids) - 1)  # no more than the model holds
        with torch.no_grad():
            logits = model(torch.tensor([[*begin.ids, *ids[start:position]]])).logits[0, -1].double()
        losses.append(-float(torch.log_softmax(logits, 0)[ids[position]]))
    assert tokens_needed(tokens, 32) == 108
    found = held_out.evaluate(
        ids,
        tokens,
        window_size(model),
        begin,
        window_losses(model, Stop()),
        lambda place: bytes_to(tokenizer, ids, place),
    )
    assert found.nll_sum == pytest.approx(sum(losses), rel=1e-6)
    assert found.begin == begin.told
    assert found.part_nll == pytest.approx([sum(losses[n : n + 16]) for n in range(0, tokens, 16)], rel=1e-5)
    assert (found.tokens, found.part_tokens, sum(found.part_bytes)) == (tokens, 16, found.text_bytes)
    assert found.text_bytes == len(tokenizer.decode(ids[8:108]).encode())
    assert found.first_byte == len(tokenizer.decode(ids[:8]).encode())


def test_that_a_stop_leaves_no_half_perplexity(tiny: ModelOrder) -> None:
    from engines.data import held_out
    from engines.hf.perplexity import window_losses

    stop = Stop()
    stop.requested = True
    losses = window_losses(load(tiny), stop)
    assert held_out.evaluate(list(range(500)), 100, 512, Begin(), losses, lambda place: place) is None


# --- generation -----------------------------------------------------------------------------------


def test_that_the_measured_loop_generates_the_greedy_tokens_and_ignores_the_end(
    tiny: ModelOrder, ring: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from engines.hf.generate import Generator, Lengths

    model = load(tiny)
    prompts = [[5, 6, 7, 8], [9, 8, 7, 6]]
    sequence = torch.tensor(prompts)
    with torch.no_grad():
        for _ in range(6):
            sequence = torch.cat([sequence, model(sequence, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    model.generation_config.eos_token_id = int(sequence[0, 4])  # a loop that heeds it would end at once
    kept: list[torch.Tensor] = []
    generate = model.generate
    monkeypatch.setattr(model, "generate", lambda *a, **k: kept.append(generate(*a, **k)) or kept[-1])
    done = Generator(model, ring, Stop(), Lengths(prompt=4, new=6, batch=2)).run(prompts)
    assert done is not None
    assert torch.equal(kept[0], sequence)
    assert (done.stamps, done.tokens_per_sequence, done.batch_size, done.synchronised) == (6, 6, 2, True)
    assert [done.first_token_ns, done.last_token_ns] == [ring.times(0, 6)[0], ring.times(0, 6)[-1]]


def test_that_a_stop_in_the_middle_ends_the_request_at_the_next_token(tiny: ModelOrder, ring: RingWriter) -> None:
    from engines.hf.generate import Generator, Lengths

    class StopAtThirdToken(Stop):
        @property
        def requested(self) -> bool:  # type: ignore[override]
            return ring.written >= 3

        @requested.setter
        def requested(self, value: bool) -> None:
            pass

    generator = Generator(load(tiny), ring, StopAtThirdToken(), Lengths(prompt=4, new=500, batch=1))
    assert generator.run([[1, 2, 3, 4]]) is None
    assert ring.written == 3


# --- loading and counting -------------------------------------------------------------------------


def test_that_random_weights_are_seeded_and_made_in_their_precision() -> None:
    import torch

    before = torch.get_default_dtype()
    one, two = load(RANDOM, "bfloat16"), load(RANDOM, "bfloat16")
    assert {p.dtype for p in one.parameters()} == {torch.bfloat16}
    assert torch.get_default_dtype() == before
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert float(one.lm_head.weight.float().std()) == pytest.approx(0.02, rel=0.1)


def test_that_a_model_without_attention_runs_whatever_backend_is_asked_for() -> None:
    from engines.hf.shape import layers_of

    sizes: dict[str, object] = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
    mamba = ModelOrder(ref="m", title="m", kind="random", config={"model_type": "mamba", **sizes})
    assert not layers_of(load(mamba).config).attend


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_that_what_writes_no_text_fails_by_its_own_words(kind: str) -> None:
    from engines.worker.failures import WorkerFailure

    with pytest.raises(WorkerFailure, match="encoder") as failed:
        load(ModelOrder(ref="m", title="m", kind="random", config={"model_type": kind, "vocab_size": 64}))
    assert failed.value.kind == "model"


def test_that_a_reward_model_is_refused_also_where_its_tied_head_would_let_it_run(tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from engines.worker.failures import WorkerFailure

    config = AutoConfig.for_model(**RANDOM.config, tie_word_embeddings=True, pad_token_id=0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(WorkerFailure, match="LlamaForSequenceClassification is a classifier"):
        load(ModelOrder(ref="m", title="m", kind="folder", path=str(tmp_path)))


def test_that_int8_leaves_the_output_head_and_embeddings_alone() -> None:
    import torch

    from engines.hf.count import count, is_quantised

    model = load(RANDOM, "int8", compute="float32")
    assert is_quantised(model.model.layers[0].mlp.up_proj.weight)
    assert not is_quantised(model.lm_head.weight)
    assert not is_quantised(model.model.embed_tokens.weight)
    counted = count(model)
    assert counted.parameters == count(load(RANDOM)).parameters
    assert 8 < counted.stored_bits < 9
    assert model.lm_head.weight.dtype == torch.float32


def test_that_int8_weights_stay_within_half_a_step_of_the_original(tiny: ModelOrder) -> None:
    import torch

    original = load(tiny).model.layers[0].mlp.down_proj.weight
    quantised = load(tiny, "int8", compute="float32").model.layers[0].mlp.down_proj.weight
    step = original.abs().amax(dim=1, keepdim=True) / 127.5
    error = (quantised.dequantize() - original).abs()
    assert bool((error <= 0.5 * step * 1.02 + 1e-7).all())
    assert float(error.max()) > 0
    assert isinstance(quantised, torch.Tensor)


def test_that_int8_on_other_compute_precisions_runs(tiny: ModelOrder) -> None:
    import torch

    model = load(tiny, "int8", compute="bfloat16")
    with torch.no_grad():
        assert model(torch.tensor([[1, 2, 3]])).logits.dtype == torch.bfloat16


def test_that_tied_weights_count_once(tiny: ModelOrder) -> None:
    from engines.hf.count import count

    model = load(tiny)
    counted = count(model)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert counted.parameters == sum(p.numel() for p in model.parameters())
    assert counted.tensor_bytes == 4 * counted.parameters
    assert counted.stored_bits == 32


def test_that_the_eager_backend_is_really_used(tiny: ModelOrder) -> None:
    import torch

    from engines.hf.load import LoadRequest, load_weights

    request = LoadRequest(model=tiny, technique="precision.float32", device=torch.device("cpu"), attention="eager")
    assert load_weights(request, torch.float32).config._attn_implementation == "eager"


def test_that_a_gguf_file_is_dequantised_and_runs(tmp_path: Path, tiny: ModelOrder) -> None:
    import torch

    file = tmp_path / "tiny.gguf"
    source = load(tiny)
    _write_gguf(file, source)
    from engines.hf import files

    model = load(ModelOrder(ref=str(file), title="tiny", kind="gguf", path=str(file)))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    ids = torch.tensor([[4, 5, 6, 7]])
    with torch.no_grad():
        # the file's weights are Q8_0, so the logits are close to, and not the same as, the original's
        difference = (model(ids).logits - source(ids).logits).abs().max()
    assert 0 < float(difference) < 0.05
    assert files.stored_bytes(file) < 4 * sum(p.numel() for p in source.parameters())  # type: ignore[operator]


def _write_gguf(file: Path, model: Any) -> None:
    """The tiny llama as a GGUF file with 8-bit matrices."""
    import gguf

    config = model.config
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, parameter in model.named_parameters():
        target = names.get_name(name, try_suffixes=(".weight",))
        data = parameter.detach()
        for part, heads in (("q_proj", config.num_attention_heads), ("k_proj", config.num_key_value_heads)):
            if part in name:  # llama.cpp keeps the halves of each head's rotation interleaved
                rows = data.shape[0] // heads // 2
                data = data.reshape(heads, 2, rows, -1).swapaxes(1, 2).reshape(data.shape)
        array = data.numpy().copy()
        if array.ndim == 1:
            writer.add_tensor(target, array)
        else:
            packed = gguf.quants.quantize(array, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(target, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
