"""Methods without adapters train their part and nothing else."""

from __future__ import annotations

from tests.engines.finetune.kit import make, order, step, weights


def moved(kind: str, id: str, **parameters: int) -> set[str]:
    from engines.hf.finetune import apply

    model = make(kind)
    apply(model, order(id, **parameters), 1)
    before = weights(model)
    step(model, rate=1.0)
    return {name for name, tensor in weights(model).items() if not tensor.equal(before[name])}


def test_that_freeze_touches_only_its_blocks() -> None:
    names = set(weights(make("mistral")))
    assert moved("mistral", "freeze", blocks=1) == {name for name in names if ".layers.2." in name}
    assert {name.split(".layers.")[1][0] for name in moved("mistral", "freeze", blocks=2)} == {"1", "2"}
    assert moved("mistral", "freeze", blocks=3) == {name for name in names if ".layers." in name}


def test_that_bitfit_touches_biases_only_and_full_everything() -> None:
    assert moved("gpt2", "bitfit") == {name for name in weights(make("gpt2")) if name.endswith(".bias")}
    assert moved("gpt2", "full") == set(weights(make("gpt2")))
