"""The peak that a failed trial reached: what the worker still said, or what was read from outside."""

from __future__ import annotations

import msgspec
import pytest

from engines.protocol.records import MemoryPeak, OutcomeName, Record, Telemetry, TrialEnded
from tests.workbench.synthetic import FakeTrial, records
from workbench.metrics.memory import lifetime_peak
from workbench.metrics.model import NotAvailable, Value
from workbench.metrics.trial import arrange

GIB = 1 << 30


def ended_so(outcome: OutcomeName, told_bytes: int | None, read_bytes: float) -> Value | NotAvailable:
    """A trial that ended so, whose worker told this peak of its first phase, and was read from outside at that."""
    changed: list[Record] = []
    for record in records(FakeTrial()):
        if isinstance(record, MemoryPeak):
            continue
        if isinstance(record, TrialEnded):
            if told_bytes is not None:
                changed.append(MemoryPeak(phase="start", source="rusage", peak_bytes=told_bytes))
            record = msgspec.structs.replace(record, outcome=outcome)
        elif isinstance(record, Telemetry) and "rss_bytes" in record.columns:
            readings = (read_bytes,) * len(record.times_ns)
            record = msgspec.structs.replace(record, columns={**record.columns, "rss_bytes": readings})
        changed.append(record)
    return lifetime_peak(arrange(changed))


def test_that_a_worker_killed_while_it_grew_has_the_peak_that_was_read() -> None:
    """It had told 50 MiB of its start; it was killed at 22 GiB while it made its caches."""
    found = ended_so("failed", 50 << 20, 22.0 * GIB)
    assert found.value == 22.0 * GIB
    assert "lower bound" in found.method


@pytest.mark.parametrize("outcome", ["failed", "stopped", "completed"])
def test_that_what_the_worker_told_is_exact_where_nothing_larger_was_read(outcome: OutcomeName) -> None:
    found = ended_so(outcome, 3 * GIB, 2.0 * GIB)
    assert found.value == 3 * GIB
    assert "exact" in found.method


def test_that_a_completed_trial_does_not_count_what_its_helpers_held() -> None:
    """Readings are of the whole tree: a file that was made before the load is no memory of the worker."""
    found = ended_so("completed", 3 * GIB, 5.0 * GIB)
    assert found.value == 3 * GIB


def test_that_a_worker_that_told_nothing_has_the_readings() -> None:
    found = ended_so("failed", None, 1.0 * GIB)
    assert found.value == GIB
