"""The values a plan is made of. Import them from `workbench.plan.plan`; they are kept apart so that
`estimates` and `models`, which the plan is made with, can use them too. Pure; any thread.
"""

from __future__ import annotations

import msgspec

from engines.protocol.orders import EngineOrder, Inference, ModelOrder, TechniqueOrder, Workload, inference_of
from engines.protocol.problems import Problem
from engines.techniques.chosen import applied
from workbench.experiment.experiment import Experiment
from workbench.plan.labels import technique_title
from workbench.units import format_bytes, format_duration


class MemoryEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration will need on its device, in bytes, by the formulas of `workbench.plan.memory`."""

    weights: int
    cache_or_activations: int
    optimiser: int
    """Its states; 0 where nothing is trained."""
    overhead: int
    device_total: int
    device_free: int
    gradients: int = 0
    trained_parameters: int = 0
    """0 where nothing is trained, or it is not known how many."""
    parameters: int = 0
    """Of the model alone."""
    by_formula: int = 0
    """Of training: what the formulas alone say; `needed` has learned from trials."""
    low: int = 0
    high: int = 0
    """Of training: the range that it will need; 0 where there is none."""
    trials: int = 0
    """How many completed trials of this machine stand behind the range; 0: the formula alone."""

    @property
    def learned_ratio(self) -> float:
        """What trials of this machine needed, as a multiple of what the formulas say."""
        return self.needed / self.by_formula if self.by_formula else 1.0

    @property
    def range_text(self) -> str:
        """ "1.48 to 1.63 GiB, from 6 trials here"; "" where there is no range."""
        if not self.high:
            return ""
        source = "by formula" if not self.trials else f"from {self.trials} trial{'s' * (self.trials > 1)} here"
        low, high = format_bytes(self.low), format_bytes(self.high)
        same_unit = low.rpartition(" ")[2] == high.rpartition(" ")[2]
        return f"{low.rpartition(' ')[0] if same_unit else low} to {high}, {source}"

    @property
    def trained_share(self) -> float | None:
        """Trained parameters as a share of the model's; None where they are not known, or nothing is trained."""
        return self.trained_parameters / self.parameters if self.trained_parameters and self.parameters else None

    @property
    def parts(self) -> dict[str, int]:
        """By name as people read them, those that do not grow with the batch first."""
        if not (self.optimiser or self.gradients):
            held = {"cache and activations": self.cache_or_activations}
        else:
            held = {
                "gradients": self.gradients,
                "optimiser": self.optimiser,
                "activations": self.cache_or_activations,
            }
        return {"weights": self.weights, **held, "overhead": self.overhead}

    @property
    def needed(self) -> int:
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.needed <= self.device_free


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the experiment, fully resolved."""

    hash: str
    """Over model, techniques, workload, engine settings and schema; not seed, repetition or machine. Unique in a plan:
    where an experiment names several devices, "@" and the device follow ("0a1b...@cpu")."""
    title: str
    model: ModelOrder
    techniques: tuple[TechniqueOrder, ...]
    workload: Workload
    engine: EngineOrder
    machine: str
    device: str
    more_devices: tuple[str, ...] = ()
    """As `TrialOrder.more_devices`."""
    color: int
    """Place of the configuration in the experiment; palettes are indexed by it modulo their length."""
    memory: MemoryEstimate
    expected_s: float
    """Estimated seconds of one trial; 0 where unknown."""
    low_s: float = 0.0
    high_s: float = 0.0
    """Range that one trial will take."""
    time_trials: int = 0
    """How many trials of this machine stand behind that; 0: it is a guess."""
    time_is_own: bool = False
    """Whether those were of this configuration."""
    once_s: float = 0.0
    """Estimated seconds that its first trial takes beside: texts and tasks are the same in every trial."""
    problems: tuple[Problem, ...] = ()

    @property
    def inference(self) -> Inference:
        """Raises TypeError where the work is another."""
        return inference_of(self.workload)

    @property
    def applied(self) -> tuple[TechniqueOrder, ...]:
        """The techniques it names, and a precision where it names none."""
        return applied(self.model, self.techniques)

    @property
    def runnable(self) -> bool:
        return not any(p.severity == "error" for p in self.problems)

    @property
    def time_text(self) -> str:
        """How long a trial takes: "3 min 40 s ± 15 s" where trials of it showed how they differ, else "about 36 s";
        "about 36 s, first 1 h 38 min" where the first one answers tasks too; "unknown"."""
        if not self.expected_s:
            return "unknown"
        first = f", first {format_duration(self.expected_s + self.once_s)}" if self.once_s >= 1 else ""
        if self.time_is_own and self.time_trials > 1:
            spread = format_duration(self.high_s - self.expected_s)
            return f"{format_duration(self.expected_s)} ± {spread}{first}"
        return f"about {format_duration(self.expected_s)}{first}"

    @property
    def time_source(self) -> str:
        """Where that comes from, in a sentence."""
        counted = f"{self.time_trials} trial{'s' * (self.time_trials != 1)}"
        if self.time_is_own:
            return f"Measured in {counted} here."
        between = f"{format_duration(self.low_s)} to {format_duration(self.high_s)}"
        if self.time_trials:
            return f"Learned from {counted} of other configurations here: {between}."
        return f"A guess, good to a factor of three ({between}): none of these configurations has run here yet."

    def technique_title(self, axis: str) -> str:
        """Short name of the technique on an axis with its non-default parameters: "int8", "" where none."""
        order = next((t for t in self.applied if t.id.partition(".")[0] == axis), None)
        return technique_title(order.id, order.parameters, self.model.stored) if order else ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that would run, in order, and everything that is wrong."""

    experiment: Experiment
    configurations: tuple[Configuration, ...]
    """All cells, in the experiment's order, also those that cannot run or were skipped."""
    skipped: tuple[str, ...]
    """Hashes the user left out."""
    order: tuple[tuple[int, str], ...]
    """(block, configuration hash) in running order; an example of one while the experiment has no seed."""
    first: tuple[str, ...] = ()
    """Hashes of those that train a model for others: they come first in each block."""
    problems: tuple[Problem, ...]
    """Problems of the experiment as a whole (no model chosen, unknown model, ...)."""
    expected_s: float
    low_s: float = 0.0
    high_s: float = 0.0
    identified: bool = True
    """False while a model's files are being read: hashes are not the last word, and nothing is run."""

    @property
    def trials(self) -> int:
        return len(self.order)

    def by_hash(self, hash: str) -> Configuration:
        return next(c for c in self.configurations if c.hash == hash)
