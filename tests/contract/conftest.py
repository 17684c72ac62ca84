"""The dummy package, installed in a folder that this test's processes and their children import from."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.house import ROOT

PACKAGE = Path(__file__).with_name("llm_workbench_dummy")
ENTRY_POINTS = """
[llm_workbench.engines]
dummy = llm_workbench_dummy.info
dummy-broken = llm_workbench_dummy.broken

[llm_workbench.techniques]
dummy-zeros = llm_workbench_dummy.zeros
dummy-stages = llm_workbench_dummy.stages
dummy = llm_workbench_dummy.axis

[llm_workbench.works]
dummy = llm_workbench_dummy.work

[llm_workbench.metrics]
dummy = llm_workbench_dummy.metric
"""


@pytest.fixture
def dummy_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As pip leaves it: the package and its metadata. Only processes started after this see it."""
    site = tmp_path / "site"
    shutil.copytree(PACKAGE, site / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    metadata = site / "llm_workbench_dummy-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-workbench-dummy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(site), str(ROOT))))
    return site
