"""Steps of the training loop on a tiny llama: exact accumulation, exact document borders, precision, optimisers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.engines.hf.training.kit import packed, random_documents

torch = pytest.importorskip("torch")

from engines.hf.training import evidence  # noqa: E402
from engines.hf.training.micro_batches import micro_batch, token_losses  # noqa: E402
from engines.hf.training.optimisers import make_optimiser, states  # noqa: E402
from engines.hf.training.schedule import rate_factor  # noqa: E402
from engines.hf.training.step import Stepper  # noqa: E402
from engines.hf.training.trainer import Trainer  # noqa: E402
from engines.protocol.records import Step  # noqa: E402
from engines.protocol.work import Training  # noqa: E402
from engines.worker.budget import Budget  # noqa: E402
from engines.worker.failures import WorkerFailure  # noqa: E402
from engines.worker.stop import Stop  # noqa: E402

CPU = torch.device("cpu")
Makes = Callable[..., Any]


class Numbered:
    """Rows by number, unequal in length and in how much of them counts."""

    def __init__(self, batch_size: int) -> None:
        self._size = batch_size
        self._rows = [
            packed(document, prompt=number % 5) for number, document in enumerate(random_documents([9, 5, 12, 7] * 8))
        ]

    def batch(self, number: int) -> list[Any]:
        return self._rows[number * self._size : (number + 1) * self._size]


def groups(model: Any, rate: float = 0.01) -> list[dict[str, Any]]:
    return [{"params": [p for p in model.parameters() if p.requires_grad], "lr": rate}]


def trained(model: Any, steps: int = 4, *, batch_size: int = 2, rate: float = 0.01, **settings: Any) -> list[Step]:
    training = Training(steps=steps, warmup_steps=0, schedule_warmup_steps=0, batch_size=batch_size, **settings)
    trainer = Trainer(model, training, Numbered(batch_size), Stop(), groups(model, rate))
    return [step for some in trainer.train(range(steps), Budget(training)) for step in some]


def figures(steps: list[Step]) -> list[tuple[float | None, float | None]]:
    return [(step.loss, step.gradient_norm) for step in steps]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_that_packed_documents_have_the_losses_they_have_alone(llama: Makes, attention: str) -> None:
    model, documents = llama(attention), random_documents([7, 1, 12, 3, 20])
    rows = [packed(*documents[:3], prompt=2), packed(*documents[3:], prompt=2)]
    batch = micro_batch(rows, CPU)
    together = token_losses(model, batch).view_as(batch.ids)
    for row, some in ((0, documents[:3]), (1, documents[3:])):
        first = 0
        for document in some:
            logits = model(input_ids=torch.tensor([document]), use_cache=False).logits.detach()
            alone = logits[0, :-1].log_softmax(-1)
            wanted = [-float(alone[place - 1, document[place]]) for place in range(2, len(document))]
            found = together[row, first + 1 : first + len(document) - 1].tolist() if len(document) > 2 else []
            assert found == pytest.approx(wanted, abs=1e-6)
            first += len(document)
    assert batch.loss_tokens == sum(max(0, len(document) - 2) for document in documents)
    assert int((together != 0).sum()) == batch.loss_tokens
    assert (batch.tokens, batch.padding, batch.documents) == (43, 3, 5)


def test_that_only_packed_rows_need_a_mask(llama: Makes) -> None:
    assert micro_batch([packed([1, 2, 3]), packed([4, 5])], CPU).positions is None
    assert micro_batch([packed([1, 2], [3])], CPU).positions is not None
    alone = micro_batch([packed([5])], CPU)
    assert alone.loss_tokens == 0
    assert float(token_losses(llama(), alone).sum().detach()) == 0.0


def test_that_accumulated_micro_batches_are_one_large_batch(llama: Makes) -> None:
    large, small = llama(), llama()
    whole = trained(large, batch_size=8)
    parts = trained(small, batch_size=2, accumulation=4)
    assert [(s.tokens, s.loss_tokens, s.samples) for s in whole] == [
        (s.tokens, s.loss_tokens, s.samples) for s in parts
    ]
    assert {s.micro_batches for s in whole} == {1}
    assert {s.micro_batches for s in parts} == {4}
    for one, other in zip(figures(whole), figures(parts), strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    for a, b in zip(large.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_that_checkpointing_changes_neither_loss_nor_gradient(llama: Makes) -> None:
    from engines.hf.training.session import enable_checkpointing

    plain, lean = llama(lora=True), llama(lora=True)
    enable_checkpointing(lean)
    assert figures(trained(plain)) == figures(trained(lean))
    assert saved_bytes(lean) < saved_bytes(plain) / 2


def saved_bytes(model: Any) -> int:
    kept: dict[int, int] = {}

    def keep(tensor: Any) -> Any:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        token_losses(model, micro_batch([packed(random_documents([64])[0])], CPU)).sum()
    return sum(size for place, size in kept.items() if place not in own)


def test_that_autocast_multiplies_in_bfloat16_and_keeps_the_weights(llama: Makes) -> None:
    seen: dict[str, set[torch.dtype]] = {}
    for autocast in ("off", "bfloat16"):
        model, seen[autocast] = llama(lora=True), set()
        adapted = model.model.layers[1].self_attn.q_proj

        def look(_module: Any, _inputs: Any, output: Any, found: set[torch.dtype] = seen[autocast]) -> None:
            found.add(output.dtype)

        for layer in (adapted.base_layer, adapted.lora_A["default"]):
            layer.register_forward_hook(look)
        losses = [step.loss for step in trained(model, autocast=autocast)]
        assert all(loss is not None and math.isfinite(loss) for loss in losses)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert seen == {"off": {torch.float32}, "bfloat16": {torch.bfloat16}}


def test_that_8_bit_adamw_keeps_8_bit_states_and_trains(llama: Makes) -> None:
    pytest.importorskip("bitsandbytes")
    model = llama()
    training = Training(steps=6, warmup_steps=0, schedule_warmup_steps=0, batch_size=2, optimiser="adamw-8bit")
    trainer = Trainer(model, training, Numbered(2), Stop(), groups(model, 0.003))
    losses = [step.loss or 0.0 for some in trainer.train(range(6), Budget(training)) for step in some]
    assert sum(losses[-2:]) < sum(losses[:2])
    large = [kept for kept in trainer.optimiser.state.values() if kept["state1"].numel() >= 4096]
    assert large
    assert all(kept["state1"].dtype == kept["state2"].dtype == torch.uint8 for kept in large)
    full = make_optimiser(Training(), groups(model))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    full.step()
    size = [sum(s.numel() * s.element_size() for s in states(o)) for o in (trainer.optimiser, full)]
    assert size[0] < 0.4 * size[1]


def test_that_the_norm_is_that_of_all_trained_parameters_before_clipping(llama: Makes) -> None:
    model = llama(lora=True)
    batch = micro_batch([packed(document) for document in random_documents([9, 12])], CPU)
    free = Stepper(model, Training(clip_norm=0), make_optimiser(Training(), groups(model)))
    loss = free.backward([batch])
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    wanted = float(torch.cat(gradients).norm())
    model.zero_grad(set_to_none=True)
    clipped = Stepper(model, Training(clip_norm=wanted / 7), make_optimiser(Training(), groups(model)))
    again, norm = clipped.run(0, [batch])
    assert float(again) == float(loss)
    assert float(norm) == pytest.approx(wanted, rel=1e-5)


def test_that_a_seed_gives_the_same_losses_twice(llama: Makes) -> None:
    first, again = (llama(lora=True) for _ in range(2))
    assert figures(trained(first)) == figures(trained(again))
    assert evidence.trained_digests(first) == evidence.trained_digests(again)


def test_that_hooks_of_a_method_see_the_gradients_of_each_step(llama: Makes) -> None:
    model = llama(lora=True)
    seen: list[tuple[str, bool]] = []
    parameters = [p for p in model.parameters() if p.requires_grad]

    class Watches:
        def before_step(self) -> None:
            seen.append(("before", all(p.grad is not None for p in parameters)))

        def after_step(self, step: int) -> None:
            seen.append((f"after {step}", all(p.grad is not None for p in parameters)))

    training = Training(steps=2, warmup_steps=0, batch_size=2)
    trainer = Trainer(model, training, Numbered(2), Stop(), groups(model), Watches())
    list(trainer.train(range(2), Budget(training)))
    assert seen == [("before", True), ("after 0", True), ("before", True), ("after 1", True)]


def test_that_every_group_follows_the_schedule_from_its_own_rate(llama: Makes) -> None:
    model = llama(lora=True)
    parameters = [p for p in model.parameters() if p.requires_grad]
    own = [{"params": parameters[::2], "lr": 0.01}, {"params": parameters[1::2], "lr": 0.16}]
    training = Training(steps=4, warmup_steps=0, schedule_warmup_steps=1, batch_size=2)
    trainer = Trainer(model, training, Numbered(2), Stop(), own)
    for some in trainer.train(range(4), Budget(training)):
        rates = [group["lr"] for group in trainer.optimiser.param_groups]
        assert rates[1] == pytest.approx(16 * rates[0])
        assert some[0].learning_rate == rates[0]


def test_that_the_rate_rises_in_a_line_and_falls_in_a_cosine() -> None:
    assert [rate_factor(step, 10, 3) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rate_factor(0, 4, 0) == 1.0
    assert rate_factor(5, 10, 0) == pytest.approx(0.5)
    assert rate_factor(10, 10, 0) == pytest.approx(0.0)
    assert rate_factor(3, 3, 3) == 1.0


def test_that_a_spent_budget_brings_the_rate_down_before_the_last_step() -> None:
    assert rate_factor(5, 1000, 0, spent=0.5) == pytest.approx(0.5)
    assert rate_factor(5, 1000, 0, spent=1.2) == pytest.approx(0.0)
    assert rate_factor(900, 1000, 0, spent=0.1) == rate_factor(900, 1000, 0)
    assert rate_factor(1, 1000, 3, spent=0.9) == 0.5


def test_that_a_rule_ends_training_after_the_step_that_reaches_it(llama: Makes) -> None:
    def run(**rule: Any) -> list[Step]:
        training = Training(steps=12, warmup_steps=2, batch_size=2, **rule)
        trainer = Trainer(llama(lora=True), training, Numbered(2), Stop(), groups(llama()))
        budget = Budget(training)
        return [step for some in trainer.train(range(14), budget) for step in some]

    assert len(run()) == 14
    tokens = [step.tokens for step in run()]
    assert len(run(stop_at="tokens", token_budget=sum(tokens[:5]))) == 5
    assert len(run(stop_at="tokens", token_budget=sum(tokens[:5]) + 1)) == 6
    assert len(run(stop_at="tokens", token_budget=1)) == 3  # one measured step after two for warm-up
    assert len(run(stop_at="time", time_budget_s=1e-6)) == 3
    assert len(run(stop_at="time", time_budget_s=1e6)) == 14


def test_that_a_trial_that_continues_ends_where_the_first_one_would_have(llama: Makes) -> None:
    def run(first: int, spent: int, budget_tokens: int) -> list[Step]:
        training = Training(steps=12, warmup_steps=2, batch_size=2, stop_at="tokens", token_budget=budget_tokens)
        trainer = Trainer(llama(lora=True), training, Numbered(2), Stop(), groups(llama()), first_measured=first + 2)
        budget = Budget(training)
        budget.resume({"tokens": spent, "time_s": 1.0, "steps": first, "reached": 0.0})
        return [step for some in trainer.train(range(first, 14), budget) for step in some]

    tokens = [step.tokens for step in run(0, 0, 10**6)]
    ended = run(4, sum(tokens[:4]), sum(tokens[:5]))
    assert [(step.index, step.warmup) for step in ended] == [(4, True)], "not after a warm-up of its own"


def test_that_a_batch_made_while_the_device_computes_takes_no_time(llama: Makes) -> None:
    """Of steps that are queued together on a GPU, by the times of its own clock."""
    training = Training(steps=4, warmup_steps=0, batch_size=2)
    trainer = Trainer(llama(), training, Numbered(2), Stop(), groups(llama()))
    times = (0, 100, 100, 200, 207, 300)

    class Clock:
        def begin(self) -> int:
            return 0

        def tick(self) -> None: ...

        def end(self) -> int:
            return times[-1]

        def corrected(self, count: int) -> tuple[int, ...]:
            return times[:count]

    trainer._together, trainer._clock = 3, Clock()
    budget = Budget(training)
    [steps] = trainer.train(range(3), budget)
    assert steps[0].data_s > 0, "nothing else was there to do"
    assert [step.data_s for step in steps[1:]] == [0, 7e-9]
    assert budget.time_s == pytest.approx(steps[0].data_s + 300e-9)


def test_that_a_method_that_counts_steps_is_told_how_much_of_the_budget_is_spent(llama: Makes) -> None:
    seen: list[int] = []

    class Watcher:
        def before_step(self) -> None: ...

        def after_step(self, step: int) -> None:
            seen.append(step)

    def run(**rule: Any) -> list[int]:
        seen.clear()
        training = Training(steps=100, warmup_steps=0, batch_size=1, **rule)
        trainer = Trainer(llama(), training, Numbered(1), Stop(), groups(llama()), Watcher())
        steps = [step for some in trainer.train(range(4), Budget(training)) for step in some]
        assert [step.tokens for step in steps] == [9, 5, 12, 7]
        return list(seen)

    assert run() == [0, 1, 2, 3]
    assert run(stop_at="tokens", token_budget=33) == [0, 27, 42, 78]


def test_that_what_diverges_names_its_step_and_keeps_the_ones_before(llama: Makes) -> None:
    model, kept = llama(), list[Step]()
    training = Training(steps=9, warmup_steps=0, schedule_warmup_steps=0, batch_size=2, learning_rate=1e30)
    trainer = Trainer(model, training, Numbered(2), Stop(), groups(model, 1e30))
    with pytest.raises(WorkerFailure, match="Training diverged") as failure:
        kept.extend(step for some in trainer.train(range(9), Budget(training)) for step in some)
    assert kept
    assert f"at step {kept[-1].index + 2} " in failure.value.message


def test_that_a_digest_sees_every_byte_type_and_shape() -> None:
    tensor = torch.arange(6, dtype=torch.float32)
    other = tensor.clone()
    other.view(torch.uint8)[23] ^= 1
    digests = {
        evidence.tensor_digest(each)
        for each in (tensor, other, tensor.view(2, 3), tensor.view(torch.int32), torch.empty(0), torch.tensor(1.0))
    }
    assert len(digests) == 6
    assert evidence.tensor_digest(tensor.clone()) == evidence.tensor_digest(tensor)
    assert evidence.tensor_digest(tensor.view(2, 3).t()) == evidence.tensor_digest(tensor.view(2, 3).t().contiguous())
    by_hand = hashlib.sha256(b"torch.float32 () " + torch.tensor(1.0).numpy().tobytes()).hexdigest()
    assert evidence.tensor_digest(torch.tensor(1.0)) == by_hand
