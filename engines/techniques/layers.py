"""What the layers of a model attend to and what they keep of a token: for FLOPs and for the KV cache. Pure.

Read from a Hugging Face config by `layers_config`, from a GGUF file's header by `layers_gguf`; where these cannot tell,
they say why and nobody guesses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec


class LayerGroup(msgspec.Struct, frozen=True):
    """Layers that are alike."""

    layers: int
    width: float
    """Query heads x the mean of a key's and a value's size; 0 for a layer without attention."""
    cached: int
    """Numbers kept of each token: key-value heads x (size of a key + size of a value). 0 for a layer that keeps a state
    of fixed size, or uses the keys and values of another."""
    window: int = 0
    """Positions that a token attends to at the most, itself among them; 0 for all before it."""


class Layers(msgspec.Struct, frozen=True):
    """All layers of a model in groups, or `unknown`: the reason why they are not known."""

    groups: tuple[LayerGroup, ...] = ()
    unknown: str = ""

    @property
    def attend(self) -> bool:
        """False where it is known that no layer has attention."""
        return bool(self.unknown) or any(group.width for group in self.groups)

    @property
    def shortest_window(self) -> int:
        """0 where no layer that keeps tokens has a window."""
        return min((g.window for g in self.groups if g.window and g.cached), default=0)


def grouped(layers: Iterable[LayerGroup]) -> Layers:
    """Single layers, in any order, as groups in order of the first of each."""
    counts: dict[LayerGroup, int] = {}
    for layer in layers:
        counts[layer] = counts.get(layer, 0) + layer.layers
    return Layers(tuple(msgspec.structs.replace(alike, layers=count) for alike, count in counts.items()))


def cached_numbers(groups: Sequence[LayerGroup], tokens: int, spare: int = 0) -> int:
    """Numbers in the KV cache of one sequence of `tokens`. `spare`: tokens that an engine keeps beyond a window."""
    return sum(g.layers * g.cached * (min(tokens, g.window + spare) if g.window else tokens) for g in groups)


def attended(positions: int, depth: int, window: int) -> int:
    """Positions attended to by `positions` tokens together, with `depth` tokens before them: token i, from 1, attends
    to depth + i, or to `window` where that is less."""
    growing = min(positions, max(0, window - depth)) if window else positions
    return growing * depth + growing * (growing + 1) // 2 + (positions - growing) * window


def layer_details(layers: Layers) -> dict[str, str]:
    """For `ModelLoaded.details`: "attention_layers", or "attention_unknown" with the reason."""
    if layers.unknown:
        return {"attention_unknown": layers.unknown}
    return {"attention_layers": msgspec.json.encode(layers.groups).decode()}


def layers_of_details(details: Mapping[str, str]) -> Layers:
    """What `layer_details` wrote. Trials from before it recorded "layers" that all attend to everything, with one
    "attention_width", or of nothing."""
    try:
        if "attention_layers" in details:
            return Layers(msgspec.json.decode(details["attention_layers"], type=tuple[LayerGroup, ...]))
        if "attention_width" in details:
            return Layers((LayerGroup(int(details["layers"]), float(details["attention_width"]), 0),))
    except (msgspec.MsgspecError, KeyError, ValueError):
        return Layers(unknown="what the trial says of its model's layers cannot be read")
    return Layers(unknown=details.get("attention_unknown", "the model's shape is not known"))
