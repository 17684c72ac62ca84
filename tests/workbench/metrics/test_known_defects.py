"""Two defects of a well-known harness, kept as cases: what it would report beside what is true."""

from __future__ import annotations

import pytest

from engines.protocol.records import Record, Stamps, Step
from tests.builders import model_loaded, request
from tests.workbench.synthetic import SECOND
from workbench.metrics.latency import token_gaps
from workbench.metrics.model import Value
from workbench.metrics.registry import metric
from workbench.metrics.trial import arrange


def value(id: str, stream: list[Record]) -> float:
    found = metric(id).compute(arrange(stream))
    assert isinstance(found, Value), found
    return found.value


def test_that_token_gaps_do_not_leak_from_one_iteration_to_the_next() -> None:
    """Three iterations of 17 tokens, the last one measured: 16 gaps of 0.1 s. That harness keeps one list over its
    iterations and reports 46."""
    stream: list[Record] = []
    for iteration in range(3):
        start = iteration * 10 * SECOND
        times = [start + (i + 1) * SECOND // 10 for i in range(17)]
        stream.append(Stamps(first=17 * iteration, times_ns=times))
        stream.append(request(max(0, iteration - 2), start, times[-1], 17 * iteration, 17, warmup=iteration < 2))
    arranged = arrange(stream)
    leaking = arranged.stamps_ns[1:] - arranged.stamps_ns[:-1]
    assert len(leaking) == 50  # what one list would hold: 3 x 16 gaps and 2 pauses
    assert max(leaking) > 8 * SECOND
    assert len(token_gaps(arranged)) == 16
    found = metric("inter_token_latency_s").compute(arranged)
    assert (found.value, found.n) == (pytest.approx(0.1), 16)


@pytest.mark.parametrize("steps", [1, 2, 10, 100])
def test_that_training_throughput_does_not_grow_with_the_number_of_steps(steps: int) -> None:
    """1,024 tokens and 8 samples a step of half a second: 2,048 tokens/s, however many steps are measured. Tokens of
    all steps over the time of one would be `steps` times that."""
    stream: list[Record] = [model_loaded(parameters=1_000_000, load_s=1.0)]
    for index in range(steps):
        start = index * SECOND
        stream.append(
            Step(index=index, warmup=False, start_ns=start, end_ns=start + SECOND // 2, tokens=1024, samples=8)
        )
    assert value("training_tokens_per_second", stream) == pytest.approx(2048.0)
    assert value("training_samples_per_second", stream) == pytest.approx(16.0)
    assert value("training_tokens_per_parameter_second", stream) == pytest.approx(2048.0 / 1e6)
    assert value("training_samples_per_parameter_second", stream) == pytest.approx(16.0 / 1e6)
    assert value("training_latency_s", stream) == pytest.approx(0.5)
    slow_warmup = Step(index=0, warmup=True, start_ns=-60 * SECOND, end_ns=-SECOND, tokens=1024, samples=8)
    assert value("training_tokens_per_second", [slow_warmup, *stream]) == pytest.approx(2048.0)
