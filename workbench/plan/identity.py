"""Names of what is run. The same configuration has the same hash on every machine, in every version of Python.

Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from engines.protocol.canonical import digest
from engines.protocol.orders import IDENTITY, AnyTraining, EngineOrder, Inference, ModelOrder, TechniqueOrder, Workload
from engines.techniques.chosen import applied, keeps_of
from workbench.plan import baseline

SURROUNDINGS = ("start_method",)
"""Fields of the engine's order that change its surroundings and not its work: in no hash."""
_BUDGETS = {"tokens": "token_budget", "time": "time_budget_s"}
"""Of training, by the rule that uses them."""
SHORT = 12


def model_identity(model: ModelOrder) -> dict[str, object]:
    """What makes two models the same: their files or config where these are known, else how they were named.

    The title, the path and the words the user wrote do not count once there is a fingerprint.
    """
    if model.trained:
        return {"kind": "trained", "by": model.trained.partition("@")[0]}
    adapter: dict[str, object] = {"adapter": model.adapter_hash or model.adapter} if model.adapter else {}
    if model.fingerprint:
        return {"kind": model.kind, "fingerprint": model.fingerprint} | adapter
    return {
        "kind": model.kind,
        "ref": model.ref,
        "path": model.path,
        "revision": model.revision,
        "config": model.config,
    } | adapter


def configuration_hash(
    model: ModelOrder, techniques: Sequence[TechniqueOrder], workload: Workload, engine: EngineOrder
) -> str:
    """The hash of what is run: the model, and what differs from the frozen values of `workbench.plan.baseline`.

    Not in it: seed, repetition, machine, telemetry, limits, and how the worker process is started. The order of
    techniques does not matter. None (left to each machine) is left out, and so is every part in which nothing differs:
    a part that is added later changes no hash.
    """
    kind = str(workload.__struct_config__.tag)
    parts: dict[str, object] = {
        "kind": kind if kind != baseline.KIND else None,
        "techniques": _techniques(model, techniques),
        "workload": _workload(workload),
        "engine": _engine(engine),
    }
    return digest(
        {"schema": IDENTITY, "model": model_identity(model)} | {name: part for name, part in parts.items() if part}
    )


def _techniques(model: ModelOrder, techniques: Sequence[TechniqueOrder]) -> dict[str, dict[str, object]]:
    """Those that are not what their axis has anyway, with their parameters that differ."""
    chosen: dict[str, dict[str, object]] = {}
    for order in applied(model, techniques):
        different = _different(order.parameters, partial(baseline.of_parameter, order.id))
        if different or order.id != baseline.of_axis(order.id.partition(".")[0], keeps_of(model)):
            chosen[order.id] = different
    return chosen


def _workload(workload: Workload) -> dict[str, object]:
    """Data whose contents are known are the same under another path; a budget counts where it ends training."""
    left_out: set[str] = set()
    if isinstance(workload, Inference) and workload.prompt_file_hash:
        left_out = {"prompt_file"}
    if isinstance(workload, AnyTraining):
        left_out = {name for rule, name in _BUDGETS.items() if workload.stop_at != rule}
        left_out |= {"data"} if workload.data_hash else set()
    fields = {name: getattr(workload, name) for name in workload.__struct_fields__ if name not in left_out}
    return _different(fields, partial(baseline.of_field, workload))


def _engine(engine: EngineOrder) -> dict[str, object]:
    own = ("settings", *SURROUNDINGS)
    fields = {name: getattr(engine, name) for name in engine.__struct_fields__ if name not in own}
    different = _different(fields, partial(baseline.of_engine, engine))
    settings = _different(engine.settings, partial(baseline.of_setting, engine.id))
    return different | ({"settings": settings} if settings else {})


def _different(values: Mapping[str, object], expected: Callable[[str], object]) -> dict[str, object]:
    """Those that are not what is expected. None is left open, so it is never different."""
    numbers = {name: _number(value) for name, value in values.items() if value is not None}
    return {name: value for name, value in numbers.items() if value != _number(expected(name))}


def short(hash: str) -> str:
    """What people see: the first 12 digits, and where it runs if the hash says ("0a1b2c3d4e5f@cpu")."""
    what, at, where = hash.partition("@")
    return what[:SHORT] + at + where


def matches(hash: str, written: str) -> bool:
    """Whether a hash is the one somebody wrote, perhaps shortened to its first digits."""
    what, _, where = hash.partition("@")
    written_what, at, written_where = written.partition("@")
    return what.startswith(written_what) and (not at or where == written_where)


def _number(value: object) -> object:
    """5 and 5.0 are the same setting."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
