"""The functions of an order's techniques, each called where its stage is. Worker process; imports torch.

What they are given, and what they return (a precision's, of stage "load", is `engines.hf.engine`'s own matter):

- data: (TechniqueOrder) -> rules over documents, each with its name (`engines.data.filters.chain`). Before tokenising.
- config: (configuration in the keys of config.json, TechniqueOrder) -> configuration. Before the model is built.
- model: (model, TechniqueOrder, seed) -> what it changed, counted. After loading or, where only training uses it, after
  the first held-out loss.
- cache: (model, TechniqueOrder) -> an empty `transformers.Cache`. For every call of the model that keeps one.
- decode: (model, GenerationConfig, TechniqueOrder) -> other arguments of `generate`. It may change the config.
- optimiser: (groups of parameters, Training, TechniqueOrder) -> a `torch.optim.Optimizer` of the same groups, each with
  its rate in "lr"; a step at rate 0 changes nothing.

The order's parameters are complete: defaults are filled in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from transformers import Cache, GenerationConfig, PreTrainedModel

from engines.hf.load import Config, LoadRequest, configured
from engines.hf.training.optimisers import Group, MakesOptimiser, described, make_optimiser
from engines.protocol.orders import TechniqueOrder, TrialOrder
from engines.protocol.plugins import imported
from engines.protocol.records import TookEffect
from engines.protocol.work import AnyTraining
from engines.techniques import Technique, find, techniques
from engines.techniques.architecture.made import in_size
from engines.techniques.model import Stage
from engines.worker.failures import WorkerFailure

_ABSENT = object()


@dataclass(frozen=True)
class Chosen:
    """A technique of an order that has a function."""

    technique: Technique
    order: TechniqueOrder

    @property
    def function(self) -> Callable[..., Any]:
        """Imported here: it may bring libraries that only its own trials need."""
        function: Callable[..., Any] = imported(self.technique.implementation)
        return function

    def took_effect(self, changed: dict[str, float]) -> TookEffect:
        return TookEffect(technique=self.technique.id, stage=self.technique.stage, changed=changed)


def chosen_at(stage: Stage, order: TrialOrder) -> Iterator[Chosen]:
    """In the order they are named."""
    for named in order.techniques:
        technique = find(named.id)
        if technique is not None and technique.stage == stage and technique.implementation:
            complete = TechniqueOrder(id=named.id, parameters={**technique.defaults(), **named.parameters})
            yield Chosen(technique, complete)


class ConfigEdits:
    """What the techniques of stage "config" make of a model's configuration."""

    def __init__(self, order: TrialOrder) -> None:
        places = {technique.id: place for place, technique in enumerate(techniques())}
        # as they are registered, not as they are named: two spellings of a configuration make one model
        self._chosen = sorted(chosen_at("config", order), key=lambda one: places[one.technique.id])
        self._edited: dict[str, int] = {}
        self._order = order

    def __bool__(self) -> bool:
        return bool(self._chosen)

    def __call__(self, config: Config) -> Config:
        begin = config
        for one in self._chosen:
            edited: Config = one.function(copy.deepcopy(config), one.order)
            self._edited[one.technique.id] = len(_differing(config, edited))
            config = edited
        return in_size(begin, config, self._order.techniques, self._order.workload)

    def effects(self, request: LoadRequest, model: PreTrainedModel) -> list[TookEffect]:
        """How many keys each edited. Raises `WorkerFailure` where the loaded model was built from something else."""
        if not self._chosen:
            return []
        plain, edited = (_keys(configured(r)) for r in (replace(request, configure=None), request))
        held = _keys(model.config)
        for key in sorted(_differing(plain, edited)):
            if held.get(key, _ABSENT) != edited.get(key, _ABSENT):
                raise WorkerFailure(
                    "technique",
                    f"{request.model.title} was built with another {key} than its techniques set.",
                    f"{request.technique} may read a model in a way that leaves the configuration as it is: choose "
                    "another precision, or leave out the techniques that edit the configuration.",
                )
        return [one.took_effect({"edited_keys": float(self._edited[one.technique.id])}) for one in self._chosen]


def _keys(config: Any) -> Config:
    return dict(config.get_text_config().to_dict())


def _differing(one: Mapping[str, object], other: Mapping[str, object]) -> set[str]:
    return {key for key in {**one, **other} if one.get(key, _ABSENT) != other.get(key, _ABSENT)}


class Decoding:
    """How `generate` works by the techniques of the stages "cache" and "decode"."""

    def __init__(self, model: PreTrainedModel, order: TrialOrder | None = None) -> None:
        self._model = model
        self._cache = next(chosen_at("cache", order), None) if order is not None else None
        self._decode = tuple(chosen_at("decode", order)) if order is not None else ()

    def effects(self) -> list[TookEffect]:
        """Raises `WorkerFailure`."""
        found = [one.took_effect(self._counted(one)) for one in self._decode]
        if self._cache is not None:
            found.append(self._cache.took_effect({"caches": float(len(self.new_cache()))}))
        return found

    def _counted(self, one: Chosen) -> dict[str, float]:
        before, after = GenerationConfig(), GenerationConfig()
        arguments = one.function(self._model, after, one.order)
        settings = len(_differing(before.to_dict(), after.to_dict()))
        return {"generation_settings": float(settings), "arguments": float(len(arguments))}

    @property
    def own(self) -> str:
        """Ids of the techniques; "" where transformers decodes as it does by itself."""
        names = [one.technique.id for one in (*self._decode, *((self._cache,) if self._cache is not None else ()))]
        return " and ".join(names)

    def prepared(self, config: GenerationConfig) -> dict[str, Any]:
        """Change the config; returns what `generate` is given beside it and the cache."""
        arguments: dict[str, Any] = {}
        for one in self._decode:
            arguments |= one.function(self._model, config, one.order)
        return arguments

    def new_cache(self) -> dict[str, Cache]:
        """Arguments for one call of the model; {} where transformers makes the cache. Raises `WorkerFailure`."""
        if self._cache is None:
            return {}
        cache = self._cache.function(self._model, self._cache.order)
        if not isinstance(cache, Cache):
            raise WorkerFailure(
                "technique",
                f"{self._cache.technique.id} makes no cache of transformers, but a {type(cache).__name__}.",
                "Leave it out, and report it to the author of its package.",
            )
        return {"past_key_values": cache}

    def check(self, cache: Mapping[str, Cache], stamps: int, tokens: int) -> None:
        """After a request. Raises `WorkerFailure` where the cache is unused, or tokens came several at a time."""
        if any(not used.get_seq_length() for used in cache.values()):
            raise WorkerFailure(
                "technique",
                f"{type(self._model).__name__} keeps nothing in the cache of {self.own}.",
                "Leave it out for this model.",
            )
        if stamps != tokens:
            raise WorkerFailure(
                "technique",
                f"With {self.own} {tokens} tokens came in {stamps} steps.",
                "Techniques that make several tokens in one step cannot be timed token by token. Leave it out.",
            )


def optimisers(order: TrialOrder) -> MakesOptimiser:
    """What makes the optimiser: the technique of that stage, or the workload's setting."""
    own = next(chosen_at("optimiser", order), None)
    return make_optimiser if own is None else partial(_own_optimiser, own)


def _own_optimiser(own: Chosen, training: AnyTraining, groups: Sequence[Group]) -> torch.optim.Optimizer:
    """Raises `WorkerFailure`."""
    made = own.function([dict(group) for group in groups], training, own.order)
    if not isinstance(made, torch.optim.Optimizer) or _parameters(made.param_groups) != _parameters(groups):
        raise WorkerFailure(
            "technique",
            f"{own.technique.id} does not make an optimiser of the parameters that are trained.",
            "Leave it out, and report it to the author of its package.",
        )
    return made


def _parameters(groups: Sequence[Group]) -> set[int]:
    return {id(parameter) for group in groups for parameter in group["params"]}


def optimiser_effects(order: TrialOrder, optimiser: torch.optim.Optimizer) -> Iterator[TookEffect]:
    """Of the technique that made the optimiser."""
    for own in chosen_at("optimiser", order):
        count = sum(parameter.numel() for group in optimiser.param_groups for parameter in group["params"])
        yield own.took_effect({"parameters": float(count)})


def described_optimiser(order: TrialOrder) -> str:
    own = next(chosen_at("optimiser", order), None)
    return described(order.training) if own is None else f"{own.technique.title}: {own.technique.source}"
