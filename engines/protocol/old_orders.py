"""Orders as earlier versions wrote them, brought to the form of today. Pure; works on plain JSON values.

Before version 3 an engine's settings lay flat beside its id, those of all engines in one, and the only work was
inference, which said no kind.
"""

from __future__ import annotations

from collections.abc import Mapping

_SETTINGS: dict[str, dict[str, object]] = {
    "transformers": {"attention": "sdpa"},
    "llama.cpp": {
        "batch_tokens": 2048,
        "micro_batch_tokens": 512,
        "flash_attention": "auto",
        "gpu_layers": -1,
        "memory_map": True,
    },
}
"""What each engine of those days had, with what counted where nothing was written."""
_OF_EVERY_ENGINE = ("id", "threads", "start_method")
OLD_IDENTITY = 2
"""`TrialOrder.identity` of those orders."""


def is_old(order: Mapping[str, object]) -> bool:
    """Whether this is an order of before version 3."""
    workload, engine = order.get("workload"), order.get("engine")
    has_kind = isinstance(workload, dict) and "kind" in workload
    has_settings = isinstance(engine, dict) and "settings" in engine
    return (isinstance(workload, dict) or isinstance(engine, dict)) and not (has_kind or has_settings)


def upgraded(order: object) -> object:
    """The order in the form of today; what is no old order comes back as it is. The hash in `configuration` is still
    the old one, and `identity` says so."""
    if not isinstance(order, dict) or not is_old(order):
        return order
    new = order | {"identity": OLD_IDENTITY}
    if isinstance(workload := order.get("workload"), dict):
        new["workload"] = {"kind": "inference"} | workload
    if isinstance(engine := order.get("engine"), dict):
        known = _SETTINGS.get(str(engine.get("id", "transformers")), {})
        settings = {name: engine.get(name, value) for name, value in known.items()}
        new["engine"] = {name: engine[name] for name in _OF_EVERY_ENGINE if name in engine} | {"settings": settings}
    return new
