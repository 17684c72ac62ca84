"""The rules of the house that a process shows better than a linter: what is loaded when."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "llama_cpp", "torchao", "bitsandbytes")
LATE = ("duckdb", "matplotlib", "pyqtgraph")


def loaded_by(statement: str) -> set[str]:
    """Top-level packages a fresh interpreter has loaded after `statement`."""
    script = f"import sys, json\n{statement}\nprint(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=240
    ).stdout
    return set(json.loads(output.splitlines()[-1]))


def test_that_the_window_and_its_pages_load_no_engine_library() -> None:
    loaded = loaded_by(
        "import widgets.app, widgets.shell.window, widgets.setup.page, widgets.monitor.page, widgets.compare.page,"
        " widgets.machines.page, workbench.running.workbench"
    )
    assert not loaded & set(HEAVY)


def test_that_the_first_paint_needs_none_of_the_late_libraries() -> None:
    loaded = loaded_by("import widgets.app, widgets.shell.window")
    assert "PySide6" in loaded
    assert not loaded & set(LATE)


@pytest.mark.parametrize(
    "module", ["workbench.running.workbench", "workbench.cli.main", "engines.cli", "engines.runner"]
)
def test_that_lower_floors_load_no_qt(module: str) -> None:
    assert not loaded_by(f"import {module}") & {"PySide6", "pyqtgraph"}


@pytest.mark.parametrize("module", ["engines.runner", "engines.telemetry.sampler", "engines.host.probe", "engines.cli"])
def test_that_the_runner_loads_neither_torch_nor_the_application(module: str) -> None:
    assert not loaded_by(f"import {module}") & {*HEAVY, *LATE, "numpy", "workbench", "widgets"}


def test_that_techniques_and_protocol_are_data_without_libraries() -> None:
    loaded = loaded_by("import engines.techniques, engines.protocol.client, engines.protocol.codec")
    assert not loaded & {*HEAVY, *LATE, "numpy", "PySide6"}
