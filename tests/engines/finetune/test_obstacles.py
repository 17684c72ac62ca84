"""Why a method is grey: on a model, or as it is used."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from engines.protocol.settings import Scalar
from engines.protocol.work import Training
from engines.techniques import MachineFacts, ModelFacts, Use, find, techniques
from engines.techniques.finetune import learning_rate, trained_parameters
from tests.engines.finetune.kit import facts, order

PACKAGES = dict.fromkeys(("torch", "transformers", "peft", "bitsandbytes"), "1")
MACHINE = MachineFacts(device_kind="cpu", packages=PACKAGES)
ALL = [t.short for t in techniques("finetune")]
UNPACKED = Training(packing=False)


def against(id: str, model: ModelFacts) -> str:
    technique = find(f"finetune.{id}")
    return technique.cannot_apply(model, MACHINE) or ""


def conflict(
    id: str,
    model: ModelFacts,
    precision: str = "precision.float32",
    work: Training = UNPACKED,
    **parameters: Scalar,
) -> str:
    technique = find(f"finetune.{id}")
    return technique.conflict(model, Use({**technique.defaults(), **parameters}, precision, work)) or ""


@pytest.mark.parametrize("id", ALL)
def test_that_a_plain_model_can_have_every_method(id: str) -> None:
    model = facts("qwen2")
    assert not against(id, model)
    assert not conflict(id, model, "precision.nf4" if id == "qlora" else "precision.float32")


@pytest.mark.parametrize("id", ALL)
def test_that_gguf_files_and_packed_files_are_not_trained(id: str) -> None:
    model = facts("qwen2")
    assert "GGUF" in against(id, replace(model, kind="gguf"))
    assert "gptq" in against(id, replace(model, quantised="gptq 4 bit", quantised_by="gptq"))
    assert not against(id, replace(model, quantised="nf4", quantised_by="bitsandbytes"))
    if id != "qlora":
        assert "as they are stored" in conflict(id, model, "precision.as-stored")


@pytest.mark.parametrize("id", ALL)
def test_that_an_unknown_model_is_not_refused(id: str) -> None:
    unknown = ModelFacts(kind="hub", architecture="", parameters=0, stored_bytes=0, stored_dtype="")
    assert not against(id, unknown)
    assert not conflict(id, unknown, "precision.nf4" if id == "qlora" else "precision.float32")
    assert trained_parameters(unknown, order(id)) == 0


def test_that_bitfit_needs_biases() -> None:
    assert "no biases" in against("bitfit", facts("mistral"))
    assert not against("bitfit", facts("gpt2"))


@pytest.mark.parametrize("id", ["pissa", "loha", "lokr", "glora", "bitfit", "freeze", "full"])
def test_that_what_cannot_start_from_four_bits_says_so(id: str) -> None:
    assert conflict(id, facts("qwen2"), "precision.nf4")
    assert not conflict(id, facts("qwen2"), "precision.bfloat16")


def test_that_qlora_brings_its_precision_and_takes_no_other() -> None:
    qlora = find("finetune.qlora")
    assert qlora.base == "precision.nf4"
    assert "4-bit base" in conflict("qlora", facts("qwen2"))
    assert not conflict("qlora", facts("qwen2"), "precision.fp4")


def test_that_a_tied_head_and_unknown_layers_are_refused() -> None:
    tied, own = facts("qwen2", tie_word_embeddings=True), facts("qwen2", tie_word_embeddings=False)
    assert "also the embedding" in conflict("lora", tied, modules="q_proj, lm_head")
    assert not conflict("lora", own, modules="q_proj, lm_head")
    assert "called wq" in conflict("lora", own, modules="q_proj,wq")
    assert "q_proj" in conflict("lora", own, modules="wq")


def test_that_experts_are_adapted_where_there_are_some_and_without_dropout() -> None:
    assert not conflict("lora", facts("mixtral"), experts=True)
    assert "no experts" in conflict("lora", facts("llama"), experts=True)
    assert "dropout" in conflict("rslora", facts("mixtral"), experts=True, dropout=0.1)
    for id in ("dora", "pissa", "olora"):
        technique = find(f"finetune.{id}")
        assert "experts" not in technique.defaults(), "peft cannot do it"


def test_that_ranks_and_blocks_stay_within_the_model() -> None:
    model = facts("llama")  # its narrowest layers have 32 outputs
    assert not conflict("pissa", model, rank=32)
    assert "at most 32" in conflict("pissa", model, rank=33)
    assert not conflict("freeze", model, blocks=3)
    assert "3 blocks" in conflict("freeze", model, blocks=4)
    assert "larger than the mean" in conflict("adalora", model, rank=8, start_rank=8)
    assert "nothing would be cut" in conflict("adalora", model, first_share=0.5, last_share=0.5)


@pytest.mark.parametrize("id", ["prefix", "prompt", "p-tuning"])
def test_that_virtual_tokens_need_a_sequence_of_their_own_and_room(id: str) -> None:
    model = replace(facts("llama"), context_tokens=100)
    assert "packing" in conflict(id, model, work=Training())
    assert not conflict(id, model, work=Training(packing=False, sequence_tokens=80))
    assert "context of 100" in conflict(id, model, work=Training(packing=False, sequence_tokens=81))
    checkpointed = conflict(id, model, work=Training(packing=False, sequence_tokens=80, checkpointing=True))
    assert ("checkpointing" in checkpointed) is (id == "prefix")


def test_that_prefixes_need_a_cache_of_every_token() -> None:
    assert "every earlier token" in against("prefix", facts("gemma2"))


def test_that_conv1d_layers_take_what_peft_has_for_them() -> None:
    grey = {id for id in ALL if "Conv1D" in against(id, facts("gpt2"))}
    assert grey == {"olora", "qlora", "loha", "lokr", "glora", "miss", "oft"}


def test_that_the_rate_is_the_experiments_or_the_methods_own() -> None:
    assert learning_rate(Training(), (order("vera"),)) == 4e-3
    assert learning_rate(Training(), (order("vera", learning_rate=0.5),)) == 0.5
    assert learning_rate(Training(learning_rate=1e-5), (order("vera", learning_rate=0.5),)) == 1e-5
