"""A training experiment becomes tables [trained.NAME] of one that uses their models."""

from __future__ import annotations

import msgspec
import pytest

from engines.protocol.problems import ProblemsFound
from workbench.experiment.experiment import Experiment, RunSettings, TechniqueChoice, TrainedModel, WorkloadChoice
from workbench.experiment.file import dump, parse
from workbench.experiment.train_first import MOST, train_first

FLOAT = TechniqueChoice("precision.float32")


def training(*methods: TechniqueChoice, models: tuple[str, ...] = ("org/base",), **values: object) -> Experiment:
    work = WorkloadChoice.of("training", **values)  # type: ignore[arg-type]
    run = RunSettings(trials=3, skip=("01234567",), stop_at_ratio=0.02, stop_metric="test_loss")
    return Experiment(name="tuning", models=models, techniques=(FLOAT, *methods), workload=work, run=run)


def test_that_each_method_makes_a_model_that_is_used_beside_its_base() -> None:
    methods = (TechniqueChoice("finetune.lora", {"rank": (8,)}), TechniqueChoice("finetune.full"))
    made = train_first(training(*methods, steps=40, keep="nothing"))
    assert made.models == ("org/base", "trained:lora", "trained:full")
    assert made.workload.kind == "inference"
    assert made.techniques == ()
    assert (made.run.trials, made.run.skip, made.run.stop_at_ratio) == (3, (), None)
    first = made.trained[0]
    assert (first.model, first.techniques) == ("org/base", (FLOAT, methods[0]))
    assert (first.workload.first.steps, first.workload.first.keep) == (40, "model")  # type: ignore[union-attr]
    again, problems = parse(dump(made))
    assert not problems
    assert again == made


def test_that_sweeps_and_several_models_are_models_of_their_own_with_names_that_say_so() -> None:
    lora = TechniqueChoice("finetune.lora", {"rank": (8, 16), "alpha": (32,)})
    swept = train_first(training(lora, learning_rate=(1e-4, 0.001)))
    names = [m.name for m in swept.trained]
    assert names == ["lora-rank-8-0_0001", "lora-rank-8-0_001", "lora-rank-16-0_0001", "lora-rank-16-0_001"]
    assert not any(m.workload.sweeps or any(len(v) > 1 for c in m.techniques for v in c.parameters.values())
                   for m in swept.trained)  # fmt: skip
    two = train_first(training(TechniqueChoice("finetune.lora"), models=("a/base", "b/base"), keep="adapter"))
    assert [m.name for m in two.trained] == ["base-lora", "base-lora-2"]
    assert {m.workload.first.keep for m in two.trained} == {"adapter"}  # type: ignore[union-attr]
    assert parse(dump(swept))[0] == swept


def test_that_what_was_trained_before_stays_under_its_name() -> None:
    before = TrainedModel(name="lora", model="m", techniques=(TechniqueChoice("finetune.lora"),))
    experiment = msgspec.structs.replace(training(TechniqueChoice("finetune.lora")), trained=(before,))
    made = train_first(experiment)
    assert [m.name for m in made.trained] == ["lora", "lora-2"]


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        (Experiment(models=("m",)), "trains nothing"),
        (training(), "trains nothing"),
        (training(TechniqueChoice("finetune.lora"), models=()), "trains nothing"),
        (training(TechniqueChoice("finetune.lora", {"rank": tuple(range(1, MOST + 2))})), f"trains {MOST + 1} models"),
    ],
)
def test_that_nothing_to_train_and_too_much_are_refused(experiment: Experiment, said: str) -> None:
    with pytest.raises(ProblemsFound, match=said):
        train_first(experiment)
