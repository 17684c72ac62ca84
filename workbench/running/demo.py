"""The first real comparison: three precisions of one small model, nine trials, on this computer.

Used by `llm-workbench demo` and by the window's first start; both show the same report at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from engines.protocol.places import Places
from engines.protocol.problems import ProblemsFound
from workbench.comparison.comparison import compare
from workbench.comparison.results import Comparison
from workbench.experiment.experiment import Experiment
from workbench.experiment.file import parse
from workbench.running.workbench import Workbench
from workbench.store.operations import GetExperiment


def demo_experiment() -> Experiment:
    """The experiment of assets/presets/demo.toml."""
    text = (files("assets") / "presets" / "demo.toml").read_text(encoding="utf-8")
    experiment, problems = parse(text, "demo.toml")
    if experiment is None:
        raise ProblemsFound(problems)
    return experiment


@dataclass(frozen=True)
class DemoReport:
    """What the demo leaves behind."""

    comparison: Comparison
    database: Path
    files: tuple[Path, ...]
    """Exported table and charts."""


def report(workbench: Workbench, experiment: str) -> DemoReport:
    """Compare and export a finished demo. Loads matplotlib: call it late and off the window's main thread."""
    from workbench.export.bundle import export_comparison

    detail = workbench.store.execute(GetExperiment(experiment=experiment))
    comparison = compare(detail)
    folder = export_folder(workbench.places, detail.experiment.number)
    written = export_comparison(comparison, folder, metrics=("throughput_tokens_per_second",))
    return DemoReport(comparison, workbench.database, tuple(written))


def export_folder(places: Places, number: int) -> Path:
    """Where the demo's files go: a folder of its own for every run."""
    return places.data / "exports" / f"demo-{number}"
