"""Benchmarks are run by hand: what they use may have moved since."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_PROGRAMS = sorted(
    ".".join(path.relative_to(_ROOT).with_suffix("").parts)
    for path in (_ROOT / "benchmarks").rglob("*.py")
    if path.stem != "__main__"
)


@pytest.mark.parametrize("program", _PROGRAMS)
def test_that_a_benchmark_can_be_imported(program: str) -> None:
    importlib.import_module(program)
