"""The rules of the house that a process shows better than a linter: what is loaded when."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.catalogue import engines
from tests.house import ROOT

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


def test_that_the_first_paint_waits_for_no_search_for_plug_ins() -> None:
    script = "import widgets.app, widgets.shell.window, sys; print('importlib.metadata' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=240
    ).stdout
    assert said.strip() == "False"


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


def test_that_no_modules_import_each_other_in_a_circle() -> None:
    graph = imports()
    reached = {module: reachable(module, graph) for module in graph}
    rings = {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in graph
        if module in reached[module]
    }
    assert not rings


def imports() -> dict[str, set[str]]:
    """Module -> modules of the product that it imports anywhere: at the top, late, or for type checkers only."""
    files = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts): file
        for floor in ("engines", "workbench", "widgets")
        for file in (ROOT / floor).rglob("*.py")
        if file.name != "__init__.py"
    }
    return {module: {name for name in imported(file) if name in files} - {module} for module, file in files.items()}


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting.extend(graph[module])
    return found


# --- engines are data to the floors above ------------------------------------------------------------

NAMED_IN_TEXT = {
    "widgets/machines/entries.py": "words that a person may search for",
    "widgets/setup/workload/panel.py": "which engine has a depth, in a tip",
    "widgets/shell/about.py": "packages whose versions are shown",
    "workbench/cli/main.py": "what the extra gguf installs, in the help",
    "workbench/machines/environment_facts.py": "what facts are called for people",
    "workbench/machines/environment_notes.py": "a package with its version",
    "workbench/machines/installing.py": "what is compiled, and for how long",
    "workbench/machines/setup/plan.py": "the title of the step that compiles it",
    "workbench/plan/baseline.py": "the frozen values that hashes are counted from",
}
"""Files above the engines that may name one, in words for people and not to decide anything."""


def test_that_no_engine_is_asked_for_by_its_id_above_the_engines() -> None:
    ids = "|".join(re.escape(engine.id) for engine in engines())
    named = re.compile(rf"(?<![\w./-])({ids})(?![\w/-])")
    found: dict[str, set[str]] = {}
    for path in sorted(p for floor in ("workbench", "widgets") for p in (ROOT / floor).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        sentences = {id(s.value) for s in ast.walk(tree) if isinstance(s, ast.Expr)}  # docstrings
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in sentences:
                continue
            if named.search(node.value):
                found.setdefault(path.relative_to(ROOT).as_posix(), set()).add(node.value)
    assert set(found) <= set(NAMED_IN_TEXT), {file: found[file] for file in found if file not in NAMED_IN_TEXT}
    bare = {file for file, texts in found.items() if texts & {engine.id for engine in engines()}}
    assert bare == {"widgets/shell/about.py", "workbench/plan/baseline.py"}
