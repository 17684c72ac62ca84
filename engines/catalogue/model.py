"""The types an engine is described by. Capabilities are data, or functions of an order that any process may call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from engines.protocol.orders import EngineOrder, ModelOrder, Scalar, TechniqueOrder, Workload
from engines.protocol.settings import Setting
from engines.techniques.facts import ModelFacts
from engines.techniques.model import Stage


class Planned(Protocol):
    """What a planned configuration and a `TrialOrder` have in common."""

    @property
    def model(self) -> ModelOrder: ...
    @property
    def techniques(self) -> tuple[TechniqueOrder, ...]: ...
    @property
    def workload(self) -> Workload: ...
    @property
    def engine(self) -> EngineOrder: ...


@dataclass(frozen=True)
class Obstacle:
    """What an engine has against an order. An error stops it; a note is worth knowing."""

    message: str
    hint: str = ""
    severity: Literal["error", "note"] = "error"
    kind: Literal["order", "technique"] = "order"
    """What the worker calls the failure (`engines.protocol.failures`)."""
    fixes: tuple[tuple[str, str, Scalar], ...] = ()
    """Label, dotted place in the experiment file and value of each change that would solve it."""


@dataclass(frozen=True)
class Passes:
    """How much an engine computes in one pass of the model: memory and time are estimated from it."""

    tokens: int = 0
    """Most tokens of prompts, with room for the logits of each; 0: whole prompts, with the logits of their last."""
    text_tokens: int = 512
    """Most tokens of held-out text, as long as its windows (`engines.data.windows`) at the most."""
    answers_together: bool = True
    """Whether all answers to a question are scored in one pass, or one after the other."""
    holds_scores: bool = False
    """Whether attention holds its matrix of scores."""


def _whole_prompts(_engine: EngineOrder) -> Passes:
    return Passes()


def _none(_order: Planned, _model: ModelFacts | None) -> Iterable[Obstacle]:
    return ()


def _never(_engine: EngineOrder) -> bool:
    return False


@dataclass(frozen=True)
class EngineInfo:
    """One engine. Places of code are "module:name" and are imported in a worker only."""

    id: str
    """As `EngineOrder.id`."""
    title: str
    factory: str
    """The engine's class, called with the order, the ring and the stop."""
    preflight: str = ""
    """Checks the order before anything heavy is imported; raises `WorkerFailure`. "" for none."""
    template: str = ""
    """The module whose import is all that a template process does; "" where every worker starts plainly."""
    works: tuple[str, ...] = ("inference",)
    """Kinds of work it can do, other packages' too."""
    offers: tuple[str, ...] = ()
    """What a kind of work may need of it that it does not know itself: "model" (`engines.worker.engine.LendsModel`)."""
    techniques: tuple[str, ...] = ()
    """Ids of the techniques that it applies by itself, built-in ones and other packages' too."""
    stages: Mapping[Stage, tuple[str, ...]] = field(default_factory=dict)
    """Where it calls the function of a technique that names this engine, and in which kinds of work; () in all."""
    packages: tuple[str, ...] = ()
    """What it needs installed, the engine's own package first."""
    settings: tuple[Setting, ...] = ()
    """Its own settings, keys of an experiment's [engine] table; each with its default."""
    named_settings: tuple[str, ...] = ()
    """Those that tables name at their default too."""
    extra: str = ""
    """The extra of this application's package that installs them."""
    modules: tuple[str, ...] = ()
    """What is imported to see that they are installed."""
    installed_bytes: int = 0
    """About, with what they need; 0 where nobody has looked."""
    obstacles: Callable[[Planned, ModelFacts | None], Iterable[Obstacle]] = _none
    """What it refuses before it is loaded. Asked by the planner, and without facts of the model by the worker."""
    passes: Callable[[EngineOrder], Passes] = _whole_prompts
    converts_models: bool = False
    """Whether it writes a file of its own from a model before the first trial."""
    maps_files: Callable[[EngineOrder], bool] = _never
    """Whether weights stay in a mapped file instead of being copied."""
    cache_type: str = "of the compute type"
    """What a KV cache at full precision is made of, in words."""
    batch: str = "one pass"
    """What a batch is computed as, in words."""
