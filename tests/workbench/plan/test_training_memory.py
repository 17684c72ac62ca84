"""What training holds, by part: worked by hand for a small llama, and how it grows."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.models.lookup.facts import facts_of_config
from engines.protocol.orders import EngineOrder, TechniqueOrder, Training
from engines.techniques import MachineFacts, ModelFacts
from workbench.plan.memory import TrainingParts, estimate_memory, training_parts
from workbench.plan.memory.block import Kept, Numbers, Shape, built_bytes, kept_bytes, shape_of, thrown_away_bytes
from workbench.plan.memory.training import CUDA_CONTEXT_BYTES, PROCESS_BYTES

SMALL = facts_of_config(
    {
        "model_type": "llama",
        "num_hidden_layers": 2,
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 100,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
    },
    kind="folder",
    # 2 blocks: q and o 8 x 8, k and v 8 x 4, the feed-forward three times 8 x 16; 100 words; 5 norms
    parameters=2 * (2 * 64 + 2 * 32 + 3 * 128) + 100 * 8 + 5 * 8,
    linear_parameters=2 * 576,
    stored_bytes=4 * 1992,
    stored_dtype="float32",
)
SHAPE = Shape(hidden=8, queries=8, keys=4, inner=16, heads=2)
CPU = MachineFacts(device_kind="cpu", memory_total_bytes=2**34, memory_free_bytes=2**33)
GPU = MachineFacts(device_kind="cuda", memory_total_bytes=2**34, memory_free_bytes=2**33)
LORA = (
    TechniqueOrder(id="precision.float32"),
    TechniqueOrder(id="finetune.lora", parameters={"rank": 2, "target_modules": "all-linear"}),
)
TRAINED = 2 * 2 * (2 * (8 + 8) + 2 * (8 + 4) + 3 * (8 + 16))
LOAD = Training(batch_size=3, sequence_tokens=10, evaluation_tokens=0)
FLOAT32 = Numbers(weights=4, products=4, autocast=False)
THROUGH = 2 * (8 + 1) * 4 + 2 * 4 + 4 * (8 + 8 + 4 + 4 + 3 * 16)
"""Two norms with a scale each, a scale a head, queries and result, keys and values, gate, its silu and up."""
LAST = 30 * 8 * 4
"""The input of the norm behind the blocks, of 30 tokens."""


def parts(
    machine: MachineFacts = GPU, techniques: tuple[TechniqueOrder, ...] = LORA, **changed: object
) -> TrainingParts:
    return training_parts(SMALL, techniques, msgspec.structs.replace(LOAD, **changed), machine, EngineOrder())


def test_that_the_shape_of_a_block_follows_from_its_weights() -> None:
    assert shape_of(SMALL) == SHAPE
    assert SHAPE.matrices * 2 == SMALL.linear_parameters


def test_what_a_block_keeps_of_a_token_by_hand() -> None:
    assert kept_bytes(SHAPE, FLOAT32, Kept()) == THROUGH == 368
    # adapters read the norms' results and the feed-forward's product; seven results of rank 2
    assert kept_bytes(SHAPE, FLOAT32, Kept(inputs="all-linear", ranks=2)) == THROUGH + 4 * (8 + 8 + 16 + 7 * 2)
    assert kept_bytes(SHAPE, FLOAT32, Kept(inputs="attention", ranks=2)) == THROUGH + 4 * (8 + 4 * 2)
    # DoRA: the outputs of q, k, v, o, gate, up, down twice
    dora = kept_bytes(SHAPE, FLOAT32, Kept(inputs="all-linear", ranks=2, outputs=2))
    assert dora == THROUGH + 4 * (8 + 8 + 16 + 7 * 2) + 2 * 4 * (8 + 4 + 4 + 8 + 16 + 16 + 8)
    # trained weights: both norms before they are scaled, and the inputs of the matrices
    assert kept_bytes(SHAPE, FLOAT32, Kept(weights=True)) == THROUGH + 4 * 2 * 8 + 4 * (2 * 8 + 16)


def test_that_autocast_halves_products_and_gives_each_adapter_a_copy_of_its_input() -> None:
    half = Numbers(weights=4, products=2, autocast=True)
    through = 2 * (8 + 1) * 4 + 2 * 4 + 2 * (8 + 8 + 4 + 4 + 3 * 16)
    # q, k, v, gate and up read 8 numbers each, o 8, down 16
    assert kept_bytes(SHAPE, half, Kept(inputs="all-linear", ranks=2)) == through + 2 * (6 * 8 + 16 + 7 * 2)
    bfloat16 = Numbers(weights=2, products=2, autocast=False)
    assert kept_bytes(SHAPE, bfloat16, Kept(inputs="all-linear", ranks=2)) == through + 4 * (6 * 8 + 16 + 7 * 2)


def test_the_parts_of_lora_by_hand() -> None:
    found, a_token = parts(), THROUGH + 4 * (8 + 8 + 16 + 7 * 2)
    assert found.trained_parameters == TRAINED
    assert found.weights == 4 * 1992 + 4 * TRAINED
    assert found.optimiser == 8 * TRAINED
    assert found.activations == 2 * 30 * a_token + LAST
    assert found.temporary == 3 * 4 * 100 * 30
    assert found.overhead == CUDA_CONTEXT_BYTES
    assert found.gradients == 0, "when the loss goes back, there are none yet"
    assert parts(accumulation=2).gradients == 4 * TRAINED, "but those of the micro-batch before"
    assert found.needed == found.weights + found.optimiser + found.activations + found.temporary + found.overhead


def test_that_gradients_and_holes_of_the_heap_count_on_a_processor() -> None:
    found, a_token = parts(CPU), THROUGH + 4 * (8 + 8 + 16 + 7 * 2)
    assert found.gradients == 4 * TRAINED
    assert found.overhead == PROCESS_BYTES + 2 * 30 * a_token * 8 // 10
    assert parts(CPU, checkpointing=True).overhead == found.overhead


def test_that_rows_of_several_documents_repeat_keys_and_values_for_every_head() -> None:
    packed, alone = parts(data="docstrings"), parts(data="docstrings", packing=False)
    assert alone.activations == parts().activations
    assert packed.activations - alone.activations == 2 * 30 * 4 * 2 * (8 - 4)


def test_what_other_methods_keep() -> None:
    # IA3 scales keys, values and the feed-forward's product
    assert kept_bytes(SHAPE, FLOAT32, Kept(scaled=True)) == THROUGH + 4 * (16 + 2 * 4)
    # VeRA's frozen matrices need no input: what stands between them, and every output
    assert kept_bytes(SHAPE, FLOAT32, Kept(ranks=2, outputs=1)) == THROUGH + 4 * (7 * 2 + 8 + 4 + 4 + 8 + 16 + 16 + 8)
    # DoRA multiplies through an identity for each matrix: q, k, v, gate, up 8 wide, o 8, down 16
    assert thrown_away_bytes(SHAPE, Kept(identities=True)) == 4 * (6 * 64 + 256)
    assert thrown_away_bytes(SHAPE, Kept()) == 0
    # LoHa builds the change of each matrix, whatever the tokens
    assert built_bytes(SHAPE, FLOAT32, Kept(matrices=1)) == 4 * 576
    assert built_bytes(SHAPE, FLOAT32, Kept(per_input=3)) == 4 * 3 * (6 * 8 + 16)
    # OFT turns a copy of every input
    assert kept_bytes(SHAPE, FLOAT32, Kept(inputs="all-linear", own_inputs=True)) == THROUGH + 4 * (6 * 8 + 16)


def test_that_checkpointing_keeps_the_inputs_of_blocks_and_one_block_computed_again() -> None:
    a_token = THROUGH + 4 * (8 + 8 + 16 + 7 * 2)
    found = parts(checkpointing=True)
    assert found.activations == 2 * 30 * 8 * 4 + LAST
    assert found.temporary == 3 * 4 * 100 * 30 > 30 * a_token
    narrow = msgspec.structs.replace(SMALL, vocabulary=10)
    load = msgspec.structs.replace(LOAD, checkpointing=True)
    again = training_parts(narrow, LORA, load, GPU, EngineOrder())
    assert (again.activations, again.temporary) == (2 * 30 * 8 * 4 + LAST + 30 * a_token, 0)


def test_that_eight_bit_moments_take_a_quarter_and_their_scales() -> None:
    assert parts(optimiser="adamw-8bit").optimiser == TRAINED * 2 + TRAINED // 32


def test_that_accumulation_multiplies_nothing() -> None:
    assert parts(accumulation=64).needed == parts(accumulation=2).needed


def test_that_held_out_text_may_need_more_than_a_step() -> None:
    # 64 tokens: 12 hidden states and two rows of logits each
    found = parts(CPU, batch_size=1, sequence_tokens=2, evaluation_tokens=1000)
    assert found.temporary == 64 * (8 * 12 * 4 + 2 * 100 * 4)


def test_that_of_an_unknown_model_only_the_overhead_is_said() -> None:
    unknown = ModelFacts(kind="hub", architecture="", parameters=0, stored_bytes=0, stored_dtype="")
    assert training_parts(unknown, LORA, LOAD, CPU, EngineOrder()) == TrainingParts(overhead=PROCESS_BYTES)


def test_that_the_plan_adds_the_parts_up() -> None:
    for machine in (CPU, GPU):
        estimate = estimate_memory(SMALL, LORA, LOAD, EngineOrder(), machine)
        assert estimate.needed == parts(machine).needed
        assert list(estimate.parts) == ["weights", "gradients", "optimiser", "activations", "overhead"]


loads = st.builds(
    Training,
    batch_size=st.integers(1, 64),
    sequence_tokens=st.integers(2, 4096),
    accumulation=st.integers(1, 8),
    autocast=st.sampled_from(["off", "bfloat16"]),
    checkpointing=st.booleans(),
    optimiser=st.sampled_from(["adamw", "adamw-8bit"]),
    evaluation_tokens=st.integers(0, 4096),
)
machines = st.sampled_from([CPU, GPU])


@given(loads, st.integers(1, 64), machines)
def test_that_more_is_never_less(load: Training, rank: int, machine: MachineFacts) -> None:
    def needed(load: Training, rank: int = rank) -> int:
        method = TechniqueOrder(id="finetune.lora", parameters={"rank": rank, "target_modules": "all-linear"})
        return training_parts(SMALL, (LORA[0], method), load, machine, EngineOrder()).needed

    base = needed(load)
    assert needed(msgspec.structs.replace(load, batch_size=load.batch_size + 1)) >= base
    assert needed(msgspec.structs.replace(load, sequence_tokens=load.sequence_tokens + 1)) >= base
    assert needed(msgspec.structs.replace(load, accumulation=load.accumulation + 1)) >= base
    assert needed(load, rank + 1) >= base
    assert needed(msgspec.structs.replace(load, optimiser="adamw-8bit")) <= needed(
        msgspec.structs.replace(load, optimiser="adamw")
    )


@pytest.mark.real
@pytest.mark.parametrize("checkpointing", [False, True])
def test_that_what_autograd_keeps_of_lora_is_what_the_formula_says(checkpointing: bool) -> None:
    """A real llama of this shape with peft's adapters, 30 tokens: every saved tensor once, parameters apart."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        "llama",
        vocab_size=100,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    model = AutoModelForCausalLM.from_config(config)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"))
    shape = Shape(hidden=64, queries=64, keys=32, inner=192, heads=4)
    tokens = 2 * 64
    held = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in held:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.zeros((2, 64), dtype=torch.long), use_cache=False).logits.sum()
    measured = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    method = Kept(inputs="all-linear", ranks=4)
    a_block = 64 * 4 if checkpointing else kept_bytes(shape, FLOAT32, method)
    assert tokens * (3 * a_block + 64 * 4) == pytest.approx(measured, rel=0.05)
