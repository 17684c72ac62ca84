"""The kinds of work there are: the application's and those of other packages. Importing this searches for the latter,
which takes some 50 ms: whatever reads or makes workloads does, the window's first paint does not.
"""

from __future__ import annotations

import functools
import operator

from engines.protocol import orders
from engines.protocol.orders import TrialOrder as TrialOrder
from engines.protocol.plugins import load_plugins
from engines.protocol.work import AnyTraining, Inference, OtherWork, Pretraining, Training, tag_of

ENTRY_POINTS = "llm_workbench.works"
"""Modules with `WORKLOAD`, a struct derived from `OtherWork`, and `WORK`, the "module:class" of
`engines.worker.works.work.MakesWork` that a worker runs it with. `NEEDS` may say
what an engine that does not know the work has to offer: "model" (`EngineInfo.offers`)."""

KINDS: dict[str, type[Inference] | type[AnyTraining] | type[OtherWork]] = {
    "inference": Inference,
    "training": Training,
    "pretraining": Pretraining,
}
"""By tag, in the order they are offered in; those of other packages last."""
WORKS = {
    "inference": "engines.worker.works.inference:InferenceWork",
    "training": "engines.worker.works.training:TrainingWork",
    "pretraining": "engines.worker.works.training:TrainingWork",
}
"""Tag -> "module:class"."""
NEEDS: dict[str, str] = {}
"""Tag -> what other packages' work needs of an engine that does not name it (`EngineInfo.offers`)."""


def _take(module: object) -> None:
    workload, work = module.WORKLOAD, module.WORK  # type: ignore[attr-defined]
    if not issubclass(workload, OtherWork):
        raise TypeError(f"{workload.__name__} does not derive from OtherWork")
    if (tag := tag_of(workload)) in KINDS:
        raise ValueError(f"there is a kind of work called {tag} already")
    KINDS[tag], WORKS[tag] = workload, work
    if needs := getattr(module, "NEEDS", ""):
        NEEDS[tag] = needs


BROKEN = load_plugins(ENTRY_POINTS, _take)

# msgspec reads the annotations of an order when the first one is decoded: whoever decodes one imports this module
orders.Workload = functools.reduce(operator.or_, KINDS.values())  # type: ignore[arg-type]
