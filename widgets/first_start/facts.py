"""What the first start says, as plain values: the demo's facts from its experiment and plan, what this computer can
measure from the runner's probe. No Qt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engines.protocol.messages import ProbeResult
from engines.protocol.records import Sensor
from widgets.parts.phrases import as_clause
from widgets.queue.strip_view import about

if TYPE_CHECKING:
    from workbench.experiment.experiment import Experiment
    from workbench.plan.plan import Plan

GIB = 1024**3
DOWNLOAD = "before the first time it fetches the model (93 MB from the Python package index) and converts it"
"""The starter model comes inside a package; see docs of `engines.data.starter`."""


@dataclass(frozen=True)
class Fact:
    """A row: a name, what is so, and whether it can be had. `hint` is what the user can do where it cannot."""

    name: str
    text: str
    available: bool = True
    hint: str = ""
    details: str = ""
    """More than a row can hold, for the tooltip."""


def numbers(values: tuple[int, ...]) -> str:
    return ", ".join(f"{v:,}" for v in values)


@dataclass(frozen=True)
class DemoOutlook:
    """What is known of the demo before it runs. `plan` is None where no plan could be made; where the model is not on
    this computer yet it is the plan of the same architecture with random weights, which costs the same."""

    experiment: Experiment
    model: str
    plan: Plan | None
    model_is_here: bool

    @property
    def trials(self) -> int:
        if self.plan is not None:
            return self.plan.trials
        return len(self.experiment.models) * len(self.experiment.techniques) * self.experiment.run.trials


def demo_facts(outlook: DemoOutlook) -> tuple[Fact, ...]:
    """The demo card's rows; memory only once the plan is known."""
    experiment, plan = outlook.experiment, outlook.plan
    load = experiment.workload
    tokens = f"{numbers(load.whole('prompt_tokens'))} tokens in, {numbers(load.whole('new_tokens'))} out"
    techniques = ", ".join(choice.id.partition(".")[2] for choice in experiment.techniques)
    configurations = len(experiment.models) * len(experiment.techniques)
    memory: tuple[Fact, ...] = ()
    if plan is not None and plan.configurations:
        configurations = len(plan.configurations)
        largest = max((c.memory for c in plan.configurations), key=lambda m: m.needed)
        text = f"{largest.needed / GIB:.1f} of {largest.device_free / GIB:.1f} GiB free"
        memory = (Fact("Memory", text, largest.fits),)
    quality = "quality on held-out text" if any(load.whole("perplexity_tokens")) else "quality is not measured"
    return (
        Fact("Model", outlook.model),
        Fact("Techniques", techniques),
        Fact("Workload", f"{tokens}, batch {numbers(load.whole('batch_size'))}"),
        Fact("Trials", f"{configurations} configurations × {experiment.run.trials}"),
        *memory,
        Fact("Measures", f"time, memory, utilisation; {quality}"),
    )


def demo_cost(outlook: DemoOutlook) -> str:
    """The sentence beside the button: how long, and what it needs from the network."""
    seconds = outlook.plan.expected_s if outlook.plan is not None else 0.0
    span = f"about {about(seconds)}" if seconds > 0 else "some minutes"
    return f"{span}, no download, no network" if outlook.model_is_here else f"{span}; {DOWNLOAD}"


def computer_summary(probe: ProbeResult) -> str:
    """ "2 cores, 23.5 GiB" """
    parts = []
    cpu = next((d for d in probe.devices if d.id == "cpu"), None)
    if cpu is not None:
        cores = cpu.details.get("cores", "")
        parts.append(f"{cores} core{'' if cores == '1' else 's'}" if cores else "")
        parts.append(f"{cpu.memory_total_bytes / GIB:.1f} GiB")
    return ", ".join(p for p in parts if p)


def measurable(probe: ProbeResult) -> tuple[Fact, ...]:
    """One row for each kind of measurement, with method and rate, or with the reason it is not available."""
    resolution_ns = max(1, round(time.get_clock_info("monotonic").resolution * 1e9))
    facts = [Fact("Time", f"monotonic clock, {resolution_ns} ns")]
    for name, matches in _KINDS:
        facts.append(_kind(name, [s for s in probe.sensors if matches(s.quantity)]))
    gpus = [d for d in probe.devices if d.id.startswith("cuda")]
    if gpus:
        titles = ", ".join(dict.fromkeys(d.title for d in gpus))
        facts.append(Fact("GPU", f"{len(gpus)} × {titles}" if len(gpus) > 1 else titles))
    else:
        reason = next((s.reason for s in probe.sensors if s.source.startswith("nvml") and s.reason), "none found")
        facts.append(Fact("GPU", as_clause(reason), False))
    return tuple(facts)


_KINDS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("Memory", lambda q: q.endswith("_bytes")),
    ("Utilisation", lambda q: "utilisation" in q and "memory" not in q),
    ("Temperature", lambda q: q.endswith("_celsius")),
    ("Energy", lambda q: q.endswith(("_joules", "_watts")) and "limit" not in q),
)


def _kind(name: str, sensors: list[Sensor]) -> Fact:
    have = [s for s in sensors if s.available]
    if have:
        sources = ", ".join(dict.fromkeys(source_title(s.source) for s in have))
        rate = max(s.rate_hz for s in have)
        details = "\n".join(f"{s.title}: {s.method}" for s in have)
        return Fact(name, f"{sources}, {rate:g} Hz" if rate else sources, details=details)
    missing = next((s for s in sensors if s.reason), None)
    if missing is None:
        return Fact(name, "not available: no sensor found", False)
    return Fact(name, f"not available: {as_clause(missing.reason)}", False, missing.hint)


def source_title(source: str) -> str:
    """A telemetry source in words: "proc.tree" -> "process tree", "nvml.GPU-1b2c" -> "NVML"."""
    if source in _SOURCES:
        return _SOURCES[source]
    family = source.partition(".")[0]
    return family.upper() if family == "nvml" else family


_SOURCES = {"proc.tree": "process tree", "proc.host": "whole machine"}
