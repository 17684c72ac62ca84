"""What is known of a machine while an experiment is planned. Pure values; any thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engines.data.own import Found
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import Device, ProbeResult
from engines.protocol.problems import Problem
from workbench.machines.machine import THIS, THIS_COMPUTER
from workbench.plan.history import NOTHING_KNOWN, History


@dataclass(frozen=True)
class Site:
    """One machine with its models and data, and what trials there have shown."""

    probe: ProbeResult
    models: Mapping[str, ResolvedModel | Problem]
    """Every ref of the experiment, and what it trains first, as that machine has them."""
    history: History = NOTHING_KNOWN
    own: Found | Problem | None = None
    """The experiment's own prompts or data there (`engines.data.own.find_own`)."""
    own_of_trained: Mapping[str, Found | Problem | None] = field(default_factory=dict)
    """The same of what is trained first, by name."""
    machine: str = THIS
    title: str = THIS_COMPUTER.title

    def where(self, device: Device, *, many: bool) -> str:
        """What follows the hash of what is run: "", "@cpu" where the experiment names several devices here, "@lab" or
        "@lab/cpu" on another machine."""
        parts = (*((self.machine,) if self.machine != THIS else ()), *((device.id,) if many else ()))
        return "@" + "/".join(parts) if parts else ""
