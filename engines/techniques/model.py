"""The types a technique is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from engines.protocol.settings import Scalar, Setting
from engines.protocol.work import Workload
from engines.techniques.facts import MachineFacts, ModelFacts

Stage = Literal["data", "config", "load", "model", "cache", "optimiser", "decode"]
"""Where a technique is applied: to the text before training, to the model's configuration before it is built, to how
weights are stored, to the modules of a loaded model, to the KV cache, to the optimiser, or to decoding."""


@dataclass(frozen=True)
class Axis:
    """A dimension of an experiment: a configuration takes exactly one technique of each axis it uses."""

    id: str
    title: str
    sentence: str
    default: str
    """Technique id used when an experiment names none; "" where it then uses none."""


def _always(_model: ModelFacts, _machine: MachineFacts) -> str | None:
    return None


def _never(_machine: MachineFacts) -> bool:
    return False


@dataclass(frozen=True)
class Use:
    """How an order uses a technique: what its parameters and the rest of the order may stand against."""

    parameters: Mapping[str, Scalar]
    """All, defaults filled in."""
    precision: str
    """Id of the precision beside it."""
    workload: Workload
    beside: tuple[str, ...] = ()
    """Ids of all techniques of the order."""


def _fits(_model: ModelFacts, _use: Use) -> str | None:
    return None


@dataclass(frozen=True)
class Technique:
    """One entry of an axis."""

    id: str
    """ "precision.int8"."""
    title: str
    sentence: str
    source: str
    """Paper, library or standard it comes from, with a link where there is one."""
    implementation: str
    """"module:function", imported in the worker only."""
    group: str = ""
    """Heading under which an axis with many techniques shows it, a word or two: "8 bit"."""
    parameters: tuple[Setting, ...] = ()
    packages: tuple[str, ...] = ()
    needs: Callable[[ModelFacts], tuple[str, ...]] | None = None
    """Packages that it needs besides for a model."""
    devices: tuple[str, ...] = ("cpu", "cuda")
    device_count: int = 1
    """Devices that each trial of it holds at the same time."""
    engines: tuple[str, ...] = ("transformers",)
    """Engines that can apply it, the one that does it by default first."""
    stage: Stage = "load"
    works: tuple[str, ...] = ("inference",)
    """Kinds of work it has a meaning for."""
    install: str = ""
    """The command that installs its packages, where pip's is not the one to recommend."""
    obstacle: Callable[[ModelFacts, MachineFacts], str | None] = _always
    """Says in a sentence why it cannot apply to this model on this machine whatever is installed, or None. Called after
    the check on devices, and before that on packages: some of them may be missing."""
    conflict: Callable[[ModelFacts, Use], str | None] = _fits
    """The same of how it is used: its parameters on this model, the precision and the work beside it."""
    base: str = ""
    """Id of the precision that it brings, where an order names none."""
    trained: Callable[[ModelFacts, Mapping[str, Scalar]], int] | None = None
    """Parameters that it trains by its own parameters, exactly; 0 where the model's shapes are not known."""
    note: Callable[[ModelFacts, MachineFacts], str | None] = _always
    """A caution that does not stop it: "No bfloat16 instructions on this processor: slower than float32."."""
    slow: Callable[[MachineFacts], bool] = _never
    """Whether it saves no time on this machine, as far as is known beforehand: its format is emulated there, or its
    weights are widened at every use."""
    bits: float = 0.0
    """Nominal bits per weight of what it stores; 0 where it does not change storage."""
    stored_bits: Callable[[dict[str, Scalar]], float] | None = None
    """Bits per changed weight really stored, scales included; None: as `bits`."""
    shaped_bits: Callable[[ModelFacts], float | None] | None = None
    """The same where the model's shape decides; None, or None for a model: as `stored_bits`."""
    changes: Literal["all", "linear", "none"] = "none"
    """Which weights it stores differently."""
    details: dict[str, str] = field(default_factory=dict)

    @property
    def axis(self) -> str:
        return self.id.partition(".")[0]

    @property
    def short(self) -> str:
        """ "int8" of "precision.int8"."""
        return self.id.partition(".")[2]

    @property
    def only_trains(self) -> bool:
        """Whether only training uses it."""
        return self.works == ("training",)

    @property
    def applied(self) -> Literal["load", "adapt", "begin"]:
        """When in a trial: while the model is loaded, by training after the first held-out loss, or when the optimiser
        is made."""
        if self.stage == "optimiser":
            return "begin"
        return "adapt" if self.stage == "model" and self.only_trains else "load"

    def defaults(self) -> dict[str, Scalar]:
        return {p.name: cast("Scalar", p.default) for p in self.parameters}

    def lacking(self, machine: MachineFacts, model: ModelFacts | None = None) -> tuple[str, ...]:
        """Those of its packages, with a model those for it too, that the machine does not have, in their order."""
        more = self.needs(model) if self.needs is not None and model is not None else ()
        return tuple(name for name in dict.fromkeys((*self.packages, *more)) if name not in machine.packages)

    def against(self, model: ModelFacts, machine: MachineFacts) -> str | None:
        """Why it cannot apply to this model on this machine whatever is installed, in a sentence, or None."""
        if machine.device_kind not in self.devices:
            return f"Needs a {' or '.join(d.replace('cuda', 'GPU') for d in self.devices)}."
        if self.device_count > machine.device_count:
            return f"Needs {self.device_count} GPUs for each trial; the machine has {machine.device_count}."
        return self.obstacle(model, machine)

    def cannot_apply(self, model: ModelFacts, machine: MachineFacts) -> str | None:
        """The reason it is grey for this model and machine, in a sentence, or None. What no installation changes comes
        first, so that nobody installs or compiles a package in vain."""
        if reason := self.against(model, machine):
            return reason
        missing = self.lacking(machine, model)
        if not missing:
            return None
        command = self.install or f"pip install {' '.join(missing)}"
        return f"Needs {' and '.join(missing)}: {command}"
