"""A plan says what its seeds can show, where earlier trials of its configurations say how they scatter."""

from __future__ import annotations

import pytest

from workbench.experiment.experiment import Experiment
from workbench.plan.seeds import seeds_note

LOSSES = {
    "a": {"e-1 0": 2.00, "e-1 1": 2.02, "e-1 2": 1.98, "e-2 0": 5.0},
    "b": {"e-1 0": 2.01, "e-1 1": 1.99, "e-1 2": 2.01},
}


def test_that_the_note_names_what_shows_and_the_fix_what_a_percent_needs() -> None:
    note = seeds_note(Experiment(name="x"), ("a", "b", "new"), LOSSES, 3)
    assert note is not None
    assert note.severity == "note"
    assert note.message.startswith("From earlier trials of 2 configurations: With 3 seeds, differences under ")
    assert note.hint.startswith("A difference of 1 % needs ")
    (fix,) = note.fixes
    assert fix.path == "run.trials"
    assert isinstance(fix.value, int)
    enough = seeds_note(Experiment(name="x"), ("a", "b"), LOSSES, fix.value)
    assert enough is not None
    assert enough.fixes == ()


@pytest.mark.parametrize(
    "losses",
    [{}, {"a": LOSSES["a"]}, {"a": {"e-1 0": 2.0}, "b": {"e-1 0": 2.1}}, {"a": LOSSES["a"], "b": {"e-9 0": 2.0}}],
)
def test_that_without_two_seeds_in_common_nothing_is_said(losses: dict[str, dict[str, float]]) -> None:
    assert seeds_note(Experiment(name="x"), ("a", "b"), losses, 3) is None
