"""A plan says what its seeds can show, where earlier trials of its configurations say how they scatter."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.workbench.plan.test_plan import ONE, probe
from workbench.experiment.experiment import Experiment, TechniqueChoice, WorkloadChoice
from workbench.plan.plan import Configuration, make_plan
from workbench.plan.seeds import known_seeds, seeds_note

Losses = dict[str, dict[str, float]]
FIRST = {"e-1 0": 2.00, "e-1 1": 2.02, "e-1 2": 1.98, "e-2 0": 5.0}
SECOND = {"e-1 0": 2.01, "e-1 1": 1.99, "e-1 2": 2.01}
X = Experiment(name="x")


def planned(*ranks: int, rates: Sequence[float] = (1e-3,)) -> tuple[Configuration, ...]:
    """A method for each rank, at each rate."""
    techniques = (TechniqueChoice("precision.float32"), TechniqueChoice("finetune.lora", {"rank": ranks}))
    work = WorkloadChoice.of("training", learning_rate=tuple(rates))
    return make_plan(Experiment(models=tuple(ONE), techniques=techniques, workload=work), ONE, probe()).configurations


def losses(cells: Sequence[Configuration], *known: dict[str, float]) -> Losses:
    return {cell.hash: of for cell, of in zip(cells, known, strict=False)}


def test_that_the_note_names_what_shows_and_the_fix_what_a_percent_needs() -> None:
    cells = planned(4, 8, 16)
    note = seeds_note(X, cells, losses(cells, FIRST, SECOND), 3)
    assert note.severity == "note"
    assert note.message.startswith("From earlier trials of 2 configurations: With 3 seeds, differences under ")
    assert note.hint.startswith("A difference of 1 % needs ")
    (fix,) = note.fixes
    assert fix.path == "run.trials"
    assert isinstance(fix.value, int)
    enough = seeds_note(X, cells, losses(cells, FIRST, SECOND), fix.value)
    assert enough.fixes == ()


def test_that_every_planned_method_makes_the_test_stricter_and_its_rates_do_not() -> None:
    def comparisons(cells: Sequence[Configuration]) -> int:
        found = known_seeds(cells, losses(cells, FIRST, SECOND))
        return found.comparisons

    assert comparisons(planned(4, 8)) == 1
    assert comparisons(planned(4, 8, 16, 32)) == 3, "two of them were never run"
    swept = planned(4, 8, rates=(1e-4, 1e-3, 1e-2))
    assert len(swept) == 6
    assert comparisons(swept) == 1
    assert comparisons(planned(4, rates=(1e-4, 1e-3))) == 1, "one method alone has nothing to be compared with"


@pytest.mark.parametrize(
    "known",
    [(), (FIRST,), ({"e-1 0": 2.0}, {"e-1 0": 2.1}), (FIRST, {"e-9 0": 2.0})],
)
def test_that_without_two_seeds_in_common_nothing_is_said(known: tuple[dict[str, float], ...]) -> None:
    cells = planned(4, 8)
    assert seeds_note(X, cells, losses(cells, *known), 3) is None
