"""docs/security.md names a test for each threat: they are there."""

from __future__ import annotations

import ast
import re

from tests.house import ROOT

PAGE = ROOT / "docs/security.md"


def test_that_every_test_the_threat_model_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) >= 40
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{test}"


def test_that_every_threat_has_a_test() -> None:
    threats = PAGE.read_text(encoding="utf-8").partition("## Threats")[2]
    rows = [line for line in threats.splitlines() if line.startswith("| ") and not line.startswith("| Threat ")]
    assert len(rows) >= 20
    assert [row for row in rows if "`tests/" not in row] == []
