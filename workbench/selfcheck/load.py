"""The work a self-check runs: a small llama with random weights, and the arms it is run in. Pure; any thread.

Twelve million parameters in float32: 48 MB, more than most caches hold, so that decoding waits for memory as real
models do, and yet loaded in a fifth of a second. A trial takes some three seconds, the one with turns twenty-seven, and
keeps every thread it gets busy.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from engines.models.lookup.self_check import SELF_CHECK, resolved_model
from engines.protocol.messages import ProbeResult
from engines.protocol.orders import TelemetryOrder, TrialOrder
from engines.protocol.problems import ProblemsFound
from workbench.experiment.experiment import EngineSettings, Experiment, RunSettings, TechniqueChoice, WorkloadChoice
from workbench.plan.plan import make_plan, new_id, orders

REF = SELF_CHECK
WORKLOAD = WorkloadChoice.of(
    prompt_tokens=16,
    new_tokens=16,
    requests=3,
    window_s=1.5,
    warmup_requests=4,
    perplexity_tokens=0,
    idle_s=0.0,
    prefill_energy_s=0.0,
)

ArmName = Literal["on", "again", "turns", "window"]


@dataclass(frozen=True)
class Arm:
    """One way of running the same configuration."""

    name: ArmName
    title: str
    turns: bool = False
    """Telemetry on and off in turns, in one longer trial."""
    window: bool = False


ARMS = (
    Arm("on", "telemetry"),
    Arm("again", "telemetry, again"),
    Arm("turns", "telemetry in turns", turns=True),
    Arm("window", "telemetry and window", window=True),
)
"""The first is what a window, and the same again, are compared with; the arm with turns is compared with itself."""


@dataclass(frozen=True)
class TurnPlan:
    """How many turns, on and off together, and how long (s) each is."""

    turns: int = 16
    each_s: float = 1.5

    @property
    def window_s(self) -> float:
        """Measured seconds that hold them all: the first begins a moment after the window does."""
        return self.turns * self.each_s + 0.25


TURNS = TurnPlan()


def experiment(device: str = "", seed: int = 7, window_s: float | None = None) -> Experiment:
    """One configuration; the arms are made from it. `device`: "" for the best, or a device id of the probe."""
    load = WORKLOAD if window_s is None else WORKLOAD.with_values({"window_s": window_s})
    gpu = device.startswith("cuda")
    return Experiment(
        name="Self-check: what measuring costs",
        seed=seed,
        models=(REF,),
        techniques=(TechniqueChoice("precision.float32"),),
        workload=load,
        run=RunSettings(machines=(f"this/{device}" if device else "this",), trials=1),
        engine=EngineSettings(start_method="plain" if gpu else "template"),
    )


def pattern(wanted: Experiment, machine: ProbeResult, *, store: str, id: str) -> TrialOrder:
    """The order every trial of the self-check is a copy of. Raises `ProblemsFound` where this machine cannot run it."""
    plan = make_plan(wanted, {REF: resolved_model()}, machine)
    made = orders(plan, store=store, experiment=id)
    if not made:
        problems = plan.problems + tuple(p for c in plan.configurations for p in c.problems)
        raise ProblemsFound(tuple(p for p in problems if p.severity == "error"))
    return made[0]


def trial_order(of: TrialOrder, arm: Arm, block: int, position: int, total: int, turns: TurnPlan = TURNS) -> TrialOrder:
    """A trial of an arm. Each arm is a configuration of its own in the store, so that Compare sets them side by side:
    the same hash, "+" and the arm's name; the model's title, which tells them apart in a table, carries it too."""
    window_s = turns.window_s if arm.turns else of.inference.window_s
    return msgspec.structs.replace(
        of,
        trial=new_id("t"),
        configuration=f"{of.configuration}+{arm.name}",
        title=arm.title.capitalize(),
        color=ARMS.index(arm),
        model=msgspec.structs.replace(of.model, title=f"Self-check model, {arm.title}"),
        block=block,
        position=position,
        total=max(total, position + 1),
        workload=msgspec.structs.replace(of.inference, window_s=window_s),
        expected_s=of.expected_s + window_s - of.inference.window_s,
        telemetry=TelemetryOrder(rate_hz=of.telemetry.rate_hz, turns_s=turns.each_s if arm.turns else 0.0),
    )


def block_order(arms: Sequence[Arm], seed: int, block: int) -> tuple[tuple[Arm, ...], ...]:
    """The arms of a block in running order: those without a window in random order, then or before them those with one
    (a window opens once a block), by lot. Every second block is the one before it backwards, as in an experiment
    (`workbench.plan.plan.block_order`)."""
    lot = random.Random(f"{seed}/{block // 2}")
    bare = [arm for arm in arms if not arm.window]
    lot.shuffle(bare)
    groups = [tuple(bare), tuple(arm for arm in arms if arm.window)]
    lot.shuffle(groups)
    if block % 2:
        groups = [group[::-1] for group in reversed(groups)]
    return tuple(group for group in groups if group)
