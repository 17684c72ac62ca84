"""How many parameters each fine-tuning method trains: formulas over the matrices it sits on. Pure.

Checked against peft's own counts on small models of several architectures (tests/engines/finetune).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engines.protocol.settings import Scalar
from engines.techniques.facts import ModelFacts
from engines.techniques.weights import Matrix, is_key_or_value, is_second_of_mlp

Parameters = Mapping[str, Scalar]
Count = Callable[[ModelFacts, Parameters], int]
HEAD = "lm_head"


def whole(parameters: Parameters, name: str) -> int:
    value = parameters[name]
    assert isinstance(value, int)
    return value


def names_of(parameters: Parameters) -> tuple[str, ...]:
    """Layers by name, () where they are chosen by kind."""
    return tuple(name for part in str(parameters.get("modules") or "").split(",") if (name := part.strip()))


def matches(layer: str, names: tuple[str, ...]) -> bool:
    """Whether a layer is one of `names`: by its whole name or by the end of it."""
    return any(layer == name or layer.endswith(f".{name}") for name in names)


def adapted(model: ModelFacts, parameters: Parameters) -> tuple[Matrix, ...]:
    """The matrices that a method with the settings `target_modules`, `modules` and `experts` sits on."""
    weights, names = model.weights, names_of(parameters)
    if names:
        layers = [matrix for matrix in weights.layers if matches(matrix.name, names)]
        if HEAD in names and weights.known:
            layers.append(Matrix(HEAD, model.hidden, model.vocabulary, 1))
    elif parameters.get("target_modules") == "attention":
        layers = [matrix for matrix in weights.layers if matrix.in_attention]
    else:
        layers = list(weights.layers)
    if parameters.get("experts"):
        layers += [matrix for matrix in weights.matrices if matrix.experts]
    return tuple(layers)


def _of_each(count: Callable[[Matrix, Parameters], int]) -> Count:
    def total(model: ModelFacts, parameters: Parameters) -> int:
        return sum(matrix.count * count(matrix, parameters) for matrix in adapted(model, parameters))

    return total


def _lora(matrix: Matrix, parameters: Parameters) -> int:
    return whole(parameters, "rank") * max(1, matrix.experts) * (matrix.inputs + matrix.outputs)


def _glora(matrix: Matrix, parameters: Parameters) -> int:
    """A and B of low rank; for layers with a bias also C (of low rank), D and E (a number each)."""
    rank = whole(parameters, "rank")
    beside = rank * (matrix.inputs + 1) + 2 if matrix.bias else 0
    return 2 * rank * (matrix.inputs + matrix.outputs) + beside


def _lokr(matrix: Matrix, parameters: Parameters) -> int:
    """A Kronecker product of a small matrix and a large one; the large one of low rank where that is smaller."""
    rank = whole(parameters, "rank")
    (out_small, out_large), (in_small, in_large) = factors(matrix.outputs), factors(matrix.inputs)
    low = rank < max(out_large, in_large) / 2
    return out_small * in_small + (rank * (out_large + in_large) if low else out_large * in_large)


def factors(width: int) -> tuple[int, int]:
    """Two numbers whose product is `width`, the smaller first, as near to each other as there are."""
    small = next(n for n in range(int(width**0.5), 0, -1) if width % n == 0)
    return small, width // small


def block_size(width: int, wanted: int) -> int:
    """The divisor of `width` nearest to `wanted`, the smaller of two as near; as peft adjusts it."""
    if wanted >= width:
        return width
    lower = next(n for n in range(wanted, 0, -1) if width % n == 0)
    higher = next(n for n in range(wanted, width + 1) if width % n == 0)
    return lower if wanted - lower <= higher - wanted else higher


def _oft(matrix: Matrix, parameters: Parameters) -> int:
    """A skew-symmetric matrix for each block of inputs."""
    size = block_size(matrix.inputs, whole(parameters, "block_size"))
    return matrix.inputs // size * (size * (size - 1) // 2)


lora = _of_each(_lora)
dora = _of_each(lambda matrix, parameters: _lora(matrix, parameters) + matrix.outputs)
vera = _of_each(lambda matrix, parameters: whole(parameters, "rank") + matrix.outputs)
loha = _of_each(lambda matrix, parameters: 2 * _lora(matrix, parameters))
lokr = _of_each(_lokr)
glora = _of_each(_glora)
miss = _of_each(lambda matrix, parameters: whole(parameters, "rank") * matrix.outputs)
oft = _of_each(_oft)
adalora = _of_each(lambda matrix, parameters: whole(parameters, "start_rank") * (matrix.inputs + matrix.outputs + 1))


def ia3(model: ModelFacts, _parameters: Parameters) -> int:
    """Keys and values are scaled by output, the feed-forward's second layer by input."""
    layers = model.weights.layers
    keys = sum(matrix.count * matrix.outputs for matrix in layers if is_key_or_value(matrix.name))
    return keys + sum(matrix.count * matrix.inputs for matrix in layers if is_second_of_mlp(matrix.name))


def prefix(model: ModelFacts, parameters: Parameters) -> int:
    return 2 * whole(parameters, "virtual_tokens") * model.layers * model.kv_heads * model.head_dim


def prompt(model: ModelFacts, parameters: Parameters) -> int:
    return whole(parameters, "virtual_tokens") * model.hidden


def p_tuning(model: ModelFacts, parameters: Parameters) -> int:
    """The virtual tokens, and three linear layers with biases."""
    inner, width = whole(parameters, "encoder_width"), model.hidden
    encoder = (width + 1) * inner + (inner + 1) * inner + (inner + 1) * width
    return prompt(model, parameters) + encoder if width else 0


def bitfit(model: ModelFacts, _parameters: Parameters) -> int:
    return model.weights.biases


def freeze(model: ModelFacts, parameters: Parameters) -> int:
    return sum(model.weights.blocks[-whole(parameters, "blocks") :])


def full(model: ModelFacts, _parameters: Parameters) -> int:
    return model.parameters
