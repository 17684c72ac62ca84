"""When requests are steady: how far three durations in a row vary and drift."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.worker.steady import steadiness


def test_that_three_alike_durations_are_steady() -> None:
    state = steadiness([9.0, 1.0, 1.01, 0.995])
    assert state.steady


def test_that_two_durations_say_nothing() -> None:
    assert steadiness([1.0, 1.0]) is None


def test_that_a_drift_of_small_steps_is_not_steady() -> None:
    state = steadiness([1.0, 1.016, 1.032])
    assert state.variation < 0.03
    assert state.drift == pytest.approx(0.032 / 1.016)
    assert not state.steady
    assert "drift by +3.1 %" in state.text()


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=8), st.floats(0.1, 10))
def test_that_steadiness_does_not_depend_on_the_unit(durations: list[float], factor: float) -> None:
    one, other = steadiness(durations), steadiness([d * factor for d in durations])
    assert one.variation == pytest.approx(other.variation, rel=1e-6, abs=1e-9)
