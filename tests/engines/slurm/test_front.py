"""Trials in jobs of a real Slurm, with fake workers."""

from __future__ import annotations

import pytest

from engines.protocol.records import Environment, TrialEnded
from engines.slurm.node import ANY_GPU
from tests.engines.runner_harness import make_order
from tests.engines.slurm.conftest import Front

pytestmark = pytest.mark.real


def test_a_trial_runs_in_a_job_and_its_records_come_through_the_front(front: Front) -> None:
    front.submit(make_order("t1", ["phase", "measure"], ["stamps", 20], device=ANY_GPU))
    records = front.records("t1")
    ended = records[-1]
    assert isinstance(ended, TrialEnded)
    assert ended.outcome == "completed", ended
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    facts = {
        name: value for record in records if isinstance(record, Environment) for name, value in record.facts.items()
    }
    assert facts["slurm.job"] in front.slurm.jobs("all")
    assert facts["slurm.devices"] in ("0", "1")
