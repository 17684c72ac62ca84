"""The look at one untimed step: operations by formula and by count, memory by part, and that nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.engines.hf.training.kit import packed, random_documents

torch = pytest.importorskip("torch")

from engines.hf.training import evidence, memory, untimed  # noqa: E402
from engines.hf.training.micro_batches import MicroBatch, micro_batch  # noqa: E402
from engines.hf.training.optimisers import make_optimiser  # noqa: E402
from engines.hf.training.session import enable_checkpointing  # noqa: E402
from engines.hf.training.step import Stepper  # noqa: E402
from engines.hf.training.untimed import look  # noqa: E402
from engines.protocol.records import FlopCount, MemoryParts  # noqa: E402
from engines.protocol.work import Training  # noqa: E402

Makes = Callable[..., Any]
LAYER = 64 * (64 + 32 + 32 + 64) + 3 * 64 * 128
"""Weights of a layer's matrices."""
HEAD = 64 * 96


def batches(*lengths: int, count: int = 1) -> list[MicroBatch]:
    rows = [packed(document) for document in random_documents(list(lengths))]
    return [micro_batch(rows, torch.device("cpu"))] * count


def groups(model: Any) -> list[dict[str, Any]]:
    return [{"params": [p for p in model.parameters() if p.requires_grad], "lr": 0.1}]


def looked(
    model: Any, some: list[MicroBatch], *, counts: bool = True, **settings: Any
) -> tuple[FlopCount, MemoryParts]:
    flops, parts = look(model, Training(**settings), groups(model), some, counts=counts)
    assert isinstance(flops, FlopCount)
    assert isinstance(parts, MemoryParts)
    return flops, parts


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_that_the_formula_is_that_of_the_whole_model(llama: Makes, attention: str) -> None:
    positions, width = 2 * 40, 40
    flops, _ = looked(llama(attention), batches(40, 40))
    square = 2 * 2 * width**2 * 64  # rows x positions x positions x width of all heads, one layer
    weights = 2 * positions * (2 * LAYER + HEAD)
    # three times: forward, the weights' gradients and the inputs'; the embedding needs no product and has a gradient
    wanted = 3 * weights + 2 * square * (2 + (5 if attention == "sdpa" else 4))
    assert flops.formula_flops == wanted
    assert flops.counted_flops == wanted
    assert flops.omitted == ""


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_that_frozen_weights_under_adapters_have_no_gradient_of_their_own(llama: Makes, attention: str) -> None:
    flops, _ = looked(llama(attention, lora=True), batches(40, 31))
    positions, square = 2 * 40, 2 * 2 * 40**2 * 64
    forward = 2 * positions * (2 * LAYER + HEAD)
    first = 2 * positions * 64 * (64 + 32 + 32)  # q, k and v of the first layer: nothing before them is trained
    adapters = 2 * positions * 4 * 2 * (128 + 96 + 96 + 128 + 3 * 192)
    first_a = 2 * positions * 4 * 3 * 64
    wanted = 2 * forward - first + 3 * adapters - first_a + 2 * square * (2 + (5 if attention == "sdpa" else 4))
    assert flops.formula_flops == wanted
    assert flops.counted_flops == pytest.approx(wanted, rel=1e-6)


def test_that_nothing_below_the_last_trained_block_goes_back(llama: Makes) -> None:
    model = llama()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".layers.1." in name)
    flops, _ = looked(model, batches(24))
    assert flops.formula_flops == pytest.approx(flops.counted_flops, rel=1e-6)


@pytest.mark.parametrize("method", ["prefix", "prompt", "p-tuning"])
def test_that_virtual_tokens_are_computed_and_attended_to(llama: Makes, method: str) -> None:
    from engines.hf.finetune import apply
    from engines.protocol.orders import TechniqueOrder
    from engines.techniques import find

    model, technique = llama(), find(f"finetune.{method}")
    apply(model, TechniqueOrder(id=technique.id, parameters=technique.defaults()), 3)
    flops, _ = looked(model, batches(24, 20))
    assert flops.formula_flops == pytest.approx(flops.counted_flops, rel=1e-6)


def test_that_recomputed_layers_count_once_more(llama: Makes) -> None:
    plain, lean = llama(lora=True), llama(lora=True)
    enable_checkpointing(lean)
    without, _ = looked(plain, batches(40))
    flops, _ = looked(lean, batches(40), checkpointing=True)
    assert 1.2 < flops.formula_flops / without.formula_flops < 1.5
    assert flops.formula_flops == pytest.approx(flops.counted_flops, rel=0.02)


def test_that_operations_add_up_over_micro_batches_of_any_shape(llama: Makes) -> None:
    model = llama(lora=True)
    short, long = batches(10, 12)[0], batches(30, 20)[0]
    alone = [looked(model, [one])[0].formula_flops for one in (short, long)]
    both, _ = looked(model, [short, long, long])
    assert both.formula_flops == pytest.approx(alone[0] + 2 * alone[1])
    assert both.counted_flops == pytest.approx(both.formula_flops)
    assert looked(model, [short], counts=False)[0].counted_flops is None


def test_that_a_counter_that_fails_takes_neither_the_formula_nor_the_trial_along(
    llama: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, _ = looked(llama(), batches(10))

    def fails(step: Callable[[], object]) -> float:
        step()
        raise AssertionError("shapes that the counter does not know")

    monkeypatch.setattr(untimed, "counted", fails)
    flops, _ = looked(llama(), batches(10))
    assert flops.formula_flops == wanted.formula_flops
    assert flops.counted_flops is None


@pytest.mark.parametrize("optimiser", ["adamw", "adamw-8bit"])
def test_that_an_untimed_step_leaves_weights_optimiser_and_random_numbers_alone(llama: Makes, optimiser: str) -> None:
    if optimiser == "adamw-8bit":
        pytest.importorskip("bitsandbytes")
    for lora in (True, False):
        model = llama(lora=lora)
        before = {**evidence.trained_digests(model), **evidence.frozen_digests(model)}
        state, buffers = torch.get_rng_state(), {name: b.clone() for name, b in model.named_buffers()}
        own = make_optimiser(Training(), groups(model))
        looked(model, batches(12, 9, count=3), optimiser=optimiser, weight_decay=0.5)
        assert {**evidence.trained_digests(model), **evidence.frozen_digests(model)} == before
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(b, buffers[name]) for name, b in model.named_buffers())
        assert all(p.grad is None for p in model.parameters())
        assert not own.state


def test_that_memory_by_part_is_what_the_tensors_take(llama: Makes) -> None:
    model = llama(lora=True)
    _, parts = looked(model, batches(64, 64), counts=False)
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    weights = sum(p.nbytes for p in model.parameters()) + sum(b.nbytes for b in model.buffers())
    assert parts.method == "mem_tracker"
    assert parts.weights_bytes == pytest.approx(weights, rel=0.01)
    assert 2 * trained <= parts.optimiser_bytes <= 2.1 * trained
    assert parts.gradients_bytes <= trained
    assert parts.activations_bytes > 0
    whole = (
        parts.weights_bytes
        + parts.gradients_bytes
        + parts.optimiser_bytes
        + parts.activations_bytes
        + parts.temporary_bytes
    )
    assert parts.peak_bytes == whole


def test_that_the_second_micro_batch_has_the_gradients_of_the_first_beside_it(llama: Makes) -> None:
    model = llama()
    _, one = looked(model, batches(64), counts=False)
    _, several = looked(model, batches(64, count=3), counts=False)
    trained = sum(p.nbytes for p in model.parameters())
    assert several.gradients_bytes == pytest.approx(trained, rel=0.02)
    assert several.peak_bytes > one.peak_bytes


def test_that_8_bit_states_and_checkpointing_are_seen_in_memory(llama: Makes) -> None:
    pytest.importorskip("bitsandbytes")
    _, full = looked(llama(), batches(64, 64), counts=False)
    _, small = looked(llama(), batches(64, 64), counts=False, optimiser="adamw-8bit")
    assert small.optimiser_bytes < 0.4 * full.optimiser_bytes
    lean = llama()
    enable_checkpointing(lean)
    _, checkpointed = looked(lean, batches(64, 64), counts=False, checkpointing=True)
    assert checkpointed.activations_bytes < full.activations_bytes


def test_that_what_autograd_keeps_stands_in_where_the_tracker_fails(
    llama: Makes, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = llama(lora=True)
    _, tracked = looked(model, batches(64, 64), counts=False)

    def fails(*_: Any) -> MemoryParts:
        raise AttributeError("the tracker's inside has changed")

    monkeypatch.setattr(memory, "tracked", fails)
    _, saved = looked(model, batches(64, 64), counts=False)
    assert saved.method == "saved_tensors"
    assert saved.weights_bytes == tracked.weights_bytes
    assert saved.optimiser_bytes == pytest.approx(tracked.optimiser_bytes, rel=0.05)
    assert saved.activations_bytes == pytest.approx(tracked.activations_bytes, rel=0.3)

    def runs_out(*_: Any) -> MemoryParts:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(memory, "tracked", runs_out)
    with pytest.raises(torch.OutOfMemoryError):
        looked(model, batches(8), counts=False)
    step = Stepper(model, Training(), make_optimiser(Training(), groups(model)))
    assert step.loss(batches(8)[0]).requires_grad


@pytest.mark.parametrize("checkpointing", [False, True])
def test_that_the_peak_is_that_of_torchs_tracker_and_no_module_is_asked(
    llama: Makes, monkeypatch: pytest.MonkeyPatch, checkpointing: bool
) -> None:
    from torch.distributed._tools.mem_tracker import MemTracker

    def measured() -> MemoryParts:
        model = llama(lora=True)
        if checkpointing:
            enable_checkpointing(model)
        return looked(model, batches(64, 64), counts=False, checkpointing=checkpointing)[1]

    own = measured()
    monkeypatch.setattr(memory, "_tracker", MemTracker)
    whole = measured()
    assert own.method == whole.method == "mem_tracker"
    assert own.peak_bytes == pytest.approx(whole.peak_bytes, rel=0.001)
    assert own.activations_bytes == pytest.approx(whole.activations_bytes, rel=0.01)
    monkeypatch.undo()
    tracker = memory._tracker()
    tracker.memory_tracking = None  # what it keeps of modules, which nothing of an operation asks for
    tracker._curr_mem_snap = {"cpu": {"Total": 8}}
    tracker._update_peak_stats(None)
    assert tracker.get_tracker_snapshot("peak") == {"cpu": {"Total": 8}}
