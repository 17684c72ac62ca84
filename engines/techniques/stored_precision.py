"""The quantisation that a model's files were written with, by `quantization_config` in config.json. Pure.

Methods, keys and packages: transformers 5.23, `utils/quantization_config.py` and `quantizers/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engines.techniques.layers_config import text_config


@dataclass(frozen=True)
class StoredPrecision:
    """How most matrices are stored."""

    method: str
    """As config.json says: "bitsandbytes", "gptq"."""
    kind: str
    """For people: "nf4", "gptq 4 bit", "fp8"."""
    bits: float
    """Of a weight without its scales; 0 where that is not known."""
    packages: tuple[str, ...]
    """What transformers needs to read it."""


_PACKAGES = {
    "bitsandbytes": ("bitsandbytes", "accelerate"),
    "gptq": ("gptqmodel", "optimum"),
    "awq": ("gptqmodel",),
    "auto-round": ("auto-round",),
    "compressed-tensors": ("compressed-tensors",),
    "hqq": ("hqq",),
    "quanto": ("optimum-quanto",),
    "torchao": ("torchao",),
    "aqlm": ("aqlm",),
    "vptq": ("vptq",),
    "eetq": ("kernels",),
    "fbgemm_fp8": ("fbgemm-gpu",),
    "quark": ("amd-quark",),
    "fp8": ("accelerate",),
    "mxfp4": ("accelerate", "kernels"),
}
READERS = tuple(dict.fromkeys(name for names in _PACKAGES.values() for name in names))
"""Every package that reads quantised files."""


def stored_precision(config: Mapping[str, object]) -> StoredPrecision | None:
    """None for a model that was not quantised."""
    found = config.get("quantization_config") or text_config(config).get("quantization_config")
    found = found or config.get("compression_config")
    if not isinstance(found, Mapping) or not found:
        return None
    method = str(found.get("quant_method") or _method_by_keys(found)).lower()
    kind, bits = _kind(method, found)
    return StoredPrecision(method, kind, bits, _PACKAGES.get(method, ()))


def _method_by_keys(found: Mapping[str, object]) -> str:
    """Files from before `quant_method` was written."""
    if "load_in_4bit" in found or "load_in_8bit" in found:
        return "bitsandbytes"
    return "compressed-tensors" if "config_groups" in found else "unknown"


def _kind(method: str, found: Mapping[str, object]) -> tuple[str, float]:
    if method == "bitsandbytes":
        if found.get("load_in_4bit"):
            return str(found.get("bnb_4bit_quant_type", "fp4")), 4
        return "int8 (bitsandbytes)", 8
    if method == "compressed-tensors":
        return _compressed(found)
    if method == "quanto":
        return f"quanto {found.get('weights', 'int8')}", {"int8": 8, "float8": 8, "int4": 4, "int2": 2}.get(
            str(found.get("weights", "int8")), 0
        )
    fixed = {"fp8": ("fp8", 8), "fbgemm_fp8": ("fp8", 8), "mxfp4": ("mxfp4", 4), "nvfp4": ("nvfp4", 4)}
    fixed |= {"eetq": ("int8 (eetq)", 8), "bitnet": ("bitnet", 2)}
    if method in fixed:
        return fixed[method]
    bits = next(_numbers(found, "bits", "w_bit", "nbits"), 0)
    return (f"{method} {bits} bit" if bits else method), bits


def _compressed(found: Mapping[str, object]) -> tuple[str, float]:
    """One kind for all groups of layers, or "compressed-tensors" where they differ."""
    groups = found.get("config_groups")
    kinds: set[tuple[str, float]] = set()
    for group in groups.values() if isinstance(groups, Mapping) else ():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        if isinstance(weights, Mapping) and isinstance(bits := weights.get("num_bits"), int):
            kinds.add((f"{'fp' if weights.get('type') == 'float' else 'int'}{bits} (compressed-tensors)", bits))
    return kinds.pop() if len(kinds) == 1 else ("compressed-tensors", 0)


def _numbers(found: Mapping[str, object], *names: str) -> Iterator[int]:
    """Values of `names` that are whole numbers, also in the parts that methods nest them in."""
    nested = [part for part in found.values() if isinstance(part, Mapping)]
    for place in (found, *nested, *(inner for part in nested for inner in part.values() if isinstance(inner, Mapping))):
        for name in names:
            value = place.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                yield value
