"""A short run of `benchmarks.fuzzing` over every kind of input, and its own parts."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fuzzed import KINDS, Reader
from benchmarks.fuzzing import fuzz
from benchmarks.mutation import Mutator
from engines.protocol.places import HOME_VARIABLE
from tests.house import ROOT


@pytest.mark.timeout(600)
def test_that_changed_input_of_every_kind_ends_in_errors_that_are_meant(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzzing", "--inputs", "2500"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), HOME_VARIABLE: str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "errors of other types: 0 (reference: 0)" in done.stdout
    assert [kind for kind in KINDS if re.search(rf"^{kind} .* 0$", done.stdout, re.MULTILINE)] == list(KINDS)


def test_that_the_same_seed_makes_the_same_inputs() -> None:
    examples = [b'{"a": 1, "b": [1, 2]}\n{"c": {}}', b"x = 1"]
    first, second, other = (Mutator(random.Random(seed), examples) for seed in (5, 5, 6))
    made = [first.next() for _ in range(200)]
    assert made == [second.next() for _ in range(200)]
    assert made != [other.next() for _ in range(200)]
    assert len(set(made)) > 100


def test_that_an_error_of_another_type_is_found_and_its_input_kept(tmp_path: Path) -> None:
    def read(data: bytes) -> None:
        if len(data) % 2:
            raise KeyError("odd")
        raise ValueError("meant")

    tally = fuzz(Reader([b"abcdef"], read, (ValueError,)), 50, 1, tmp_path)
    assert tally.faults == {"KeyError": 50 - tally.refused}
    assert tally.refused
    kept = next(iter(tmp_path.glob("KeyError-*"))).read_bytes()
    assert len(kept) % 2
