"""What a model's shape means for its work: facts for FLOPs, chance level and the cache. Worker process; imports torch.

A fact that the configuration does not tell without doubt is left out: figures that need it then say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from transformers import Cache, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from engines.techniques.layers import Layers, layer_details
from engines.techniques.layers_config import layers_of_config, sizes

KV_FACT = "cache.bytes_per_token"
_PROBE_TOKENS = 2
_CACHES = ("past_key_values", "cache_params", "state")
"""Names under which models return theirs."""

NewCache = Callable[[], dict[str, Cache]]
"""Arguments of a call of the model with an empty cache that a technique makes; {} where the model makes it."""


def shape_facts(model: PreTrainedModel, parameters: int) -> dict[str, str]:
    """ "layers", "vocabulary", "active_parameters" of a mixture of experts, and what `layer_details` says."""
    config = model.config.get_text_config()
    facts = {"vocabulary": str(int(config.vocab_size))}
    if count := sizes(config.to_dict()).layers:
        facts["layers"] = str(count)
    active = _active_parameters(model, config, parameters)
    if active is not None:
        facts["active_parameters"] = str(active)
    return facts | layer_details(layers_of(config))


def layers_of(config: PretrainedConfig) -> Layers:
    """The layers by what transformers made of a config: of some, their kinds are a property."""
    text = config.get_text_config()
    return layers_of_config({**text.to_dict(), "layer_types": getattr(text, "layer_types", None)})


def expert_count(config: object) -> int:
    """Experts of a mixture-of-experts layer; 0 for a dense model."""
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    return next((int(n) for name in names if (n := getattr(config, name, None))), 0)


def _active_parameters(model: PreTrainedModel, config: object, parameters: int) -> int | None:
    """Parameters that one token uses, None where the model has no experts or does not tell how many it uses."""
    experts = expert_count(config)
    used = getattr(config, "num_experts_per_tok", None)
    if not experts or not used:
        return None
    in_experts = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    return round(parameters - in_experts * (1 - used / experts)) if in_experts else None


@torch.no_grad()  # not inference_mode: quanto's 4-bit weights cannot be unpacked in it
def cache_facts(model: PreTrainedModel, new_cache: NewCache = dict) -> dict[str, str]:
    """Bytes that one more token of one sequence takes in the cache: measured as the difference between one token and
    two, so that a state of fixed size cancels. Two short passes: call it after everything that is timed. A model that
    keeps no cache has no such fact, but a sentence."""
    try:
        sizes = [_cache_bytes(model, count, new_cache()) for count in (1, _PROBE_TOKENS)]
    except (RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        return {"cache.problem": f"The cache could not be measured: {type(error).__name__}: {error}"}
    if sizes[-1] <= sizes[0]:
        return {"cache.problem": "The model keeps no cache that grows with the tokens."}
    return {KV_FACT: str(sizes[-1] - sizes[0])}


def _cache_bytes(model: PreTrainedModel, tokens: int, own: dict[str, Cache]) -> int:
    ids = torch.zeros((1, tokens), dtype=torch.long, device=model.device)
    return cache_size(cache_of(model(input_ids=ids, use_cache=True, **own)))


def cache_size(cache: object) -> int:
    """Bytes of all tensors of a cache object; single numbers are its settings."""
    # views of one tensor are one storage; a layer may keep its keys in any number of tensors
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(cache, set()) if tensor.dim())


def cache_of(output: object) -> object:
    """Keys and values, or the state of a model without attention, in what a forward pass returns."""
    return next((cache for name in _CACHES if (cache := getattr(output, name, None)) is not None), None)


class LastCache:
    """Within `with`: what the model's cache holds after its last forward pass. A hook on every pass, so for a request
    whose time does not count."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._cache: object = None

    def __enter__(self) -> LastCache:
        self._handle = self._model.register_forward_hook(self._keep)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()
        self._cache = None

    def _keep(self, _model: object, _inputs: object, output: object) -> None:
        self._cache = cache_of(output)

    def facts(self, sequences: int, tokens: int) -> dict[str, str]:
        """Of so many sequences with `tokens` each in the cache; {} of a model that keeps none."""
        size = cache_size(self._cache)
        if not size:
            return {}
        return {"cache.bytes": str(size), "cache.sequences": str(sequences), "cache.tokens": str(tokens)}


def _tensors(thing: object, seen: set[int]) -> Iterator[torch.Tensor]:
    """Every tensor that a cache object holds, each once."""
    if thing is None or id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        yield thing
    elif isinstance(thing, dict):
        for part in thing.values():
            yield from _tensors(part, seen)
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from _tensors(part, seen)
    elif isinstance(thing, Cache | CacheLayerMixin) or (
        type(thing).__module__.startswith(("transformers.", "engines.")) and hasattr(thing, "__dict__")
    ):
        yield from _tensors(vars(thing), seen)
