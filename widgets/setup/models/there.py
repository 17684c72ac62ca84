"""What other machines have of the models in the list: there, to be copied or downloaded, or only there. No Qt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from engines.models.lookup.local_model import LocalModel
from engines.protocol.problems import COPY
from workbench.plan.plan import Plan
from workbench.units import format_bytes


@dataclass(frozen=True)
class There:
    """What is known of the models on one machine. `models` is None while it is asked; `error`: why it did not say."""

    machine: str
    title: str
    models: tuple[LocalModel, ...] | None = None
    error: str = ""


@dataclass(frozen=True)
class Elsewhere:
    """The machines that are ticked besides this computer, and the last plan, which knows chosen models by contents."""

    machines: tuple[There, ...] = ()
    plan: Plan | None = None

    def says_of(self, names: Collection[str], size_bytes: int, *, is_hub: bool) -> str:
        """ "on gpu-box; to copy to lab, 1.2 GiB" of a model of this computer, by its names."""
        known = [there for there in self.machines if there.models is not None]
        return "; ".join(self._on(there, names, size_bytes, is_hub) for there in known)

    def _on(self, there: There, names: Collection[str], size_bytes: int, is_hub: bool) -> str:
        assert there.models is not None
        if any({model.ref, model.path} & {*names} for model in there.models):
            return f"on {there.title}"
        if is_hub:
            return f"downloaded on {there.title} when it runs"
        copies = f"to copy to {there.title}, {format_bytes(size_bytes)}"
        if self._offers_copy(there.machine, names):
            return copies
        if self._runs(there.machine, names):
            return f"on {there.title}"
        if any(model.size_bytes == size_bytes for model in there.models):
            return f"perhaps on {there.title} (same size)"
        return copies

    def _offers_copy(self, machine: str, names: Collection[str]) -> bool:
        fixes = [fix for p in self.plan.problems for fix in p.fixes] if self.plan is not None else []
        return any(fix.path == COPY and fix.value in [(machine, "model", name) for name in names] for fix in fixes)

    def _runs(self, machine: str, names: Collection[str]) -> bool:
        """Whether the plan has found its files there, under whatever name."""
        planned = self.plan.configurations if self.plan is not None else ()
        return any(c.machine == machine and c.model.ref in names for c in planned)


NOWHERE_ELSE = Elsewhere()


def only_there(there: There, here: Collection[str]) -> tuple[LocalModel, ...]:
    """Models of a machine that this computer has under none of these names."""
    return tuple(model for model in there.models or () if model.ref not in here)
