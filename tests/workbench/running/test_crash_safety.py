"""Processes killed at random: the short run of `benchmarks.crash_safety`, which prints what it found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.crash_evidence import Findings
from engines.protocol.places import HOME_VARIABLE
from tests.house import ROOT


@pytest.mark.real
@pytest.mark.timeout(1200)
def test_that_random_kills_lose_nothing_double_nothing_and_leave_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.crash_safety", "--kills", "25", "--homes", "3", "--keep"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), HOME_VARIABLE: str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost 0, doubled 0, without an end 0, processes left 0" in done.stdout


def test_that_what_was_found_once_stays_found() -> None:
    first, later = Findings(lost=["a"], trials=3), Findings(doubled=["b"], lost=["a"], trials=5)
    both = later.with_faults_of(first)
    assert (both.lost, both.doubled, both.trials, both.sound) == (["a"], ["b"], 5, False)
    together = both.together(Findings(left=["worker 1"], trials=2, outcomes={"killed": 1}))
    assert (together.trials, together.left, together.outcomes) == (7, ["worker 1"], {"killed": 1})
    assert Findings().sound
