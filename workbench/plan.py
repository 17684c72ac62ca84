"""From an experiment to configurations, and from configurations to blocks of trials.

Pure but for the facts it is given: models are inspected by `workbench.models`, machines by the runner's probe.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engines.protocol.messages import ProbeResult
from engines.protocol.orders import EngineOrder, ModelOrder, TechniqueOrder, TrialOrder, WorkloadOrder
from engines.techniques import ModelFacts
from workbench.experiment import Experiment
from workbench.problems import Problem


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration will need on its device, in bytes, by the formulas of `workbench.fit`."""

    weights: int
    cache_or_activations: int
    optimiser: int
    overhead: int
    device_total: int
    device_free: int

    @property
    def needed(self) -> int:
        return self.weights + self.cache_or_activations + self.optimiser + self.overhead

    @property
    def fits(self) -> bool:
        return self.needed <= self.device_free


class ResolvedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the experiment after looking it up: its order, its facts, or what is wrong with it."""

    order: ModelOrder
    facts: ModelFacts
    quality_available: bool = True
    """False for random weights."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the experiment, fully resolved."""

    hash: str
    """Over model, techniques, workload, engine settings and schema; not seed, repetition or machine."""
    title: str
    model: ModelOrder
    techniques: tuple[TechniqueOrder, ...]
    workload: WorkloadOrder
    engine: EngineOrder
    machine: str
    device: str
    color: int
    memory: MemoryEstimate
    expected_s: float
    """Estimated seconds of one trial; 0 where unknown."""
    problems: tuple[Problem, ...] = ()

    @property
    def runnable(self) -> bool:
        return not any(p.severity == "error" for p in self.problems)

    def technique_title(self, axis: str) -> str:
        """Short name of the technique on an axis with its non-default parameters: "int8", "" where none."""
        raise NotImplementedError


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that would run, in order, and everything that is wrong."""

    experiment: Experiment
    configurations: tuple[Configuration, ...]
    """All cells, in the experiment's order, also those that cannot run or were skipped."""
    skipped: tuple[str, ...]
    """Hashes the user left out."""
    order: tuple[tuple[int, str], ...]
    """(block, configuration hash) in running order: every block is a seeded permutation."""
    problems: tuple[Problem, ...]
    """Problems of the experiment as a whole (no model chosen, unknown model, ...)."""
    expected_s: float

    @property
    def trials(self) -> int:
        return len(self.order)

    def by_hash(self, hash: str) -> Configuration:
        return next(c for c in self.configurations if c.hash == hash)


def make_plan(
    experiment: Experiment,
    models: Mapping[str, ResolvedModel | Problem],
    machine: ProbeResult,
    timings: Mapping[str, float] | None = None,
) -> Plan:
    """The plan of an experiment. `models` maps every ref of the experiment; `timings` are known mean trial
    durations (seconds) by configuration hash, preferred over the estimate."""
    raise NotImplementedError


def orders(plan: Plan, *, store: str, experiment: str) -> tuple[TrialOrder, ...]:
    """One order per trial of the plan, with fresh trial ids, in running order."""
    raise NotImplementedError


def new_id(prefix: str) -> str:
    """A new identifier that sorts by time: "t-019a2b3c4d5e-7f3a9c01"."""
    raise NotImplementedError
