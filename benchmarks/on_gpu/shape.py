"""Part 3: whole trials of a 7B shape with random weights, one for each precision, and the six metrics of EfficientLLM.

Figures come from the application's own registry of metrics, over the records of the trial; all of them are in the
JSON, the six and what belongs beside them in the table.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping

import msgspec

from benchmarks.on_gpu.notes import Notes
from benchmarks.on_gpu.records import end_of, trial
from benchmarks.on_gpu.report import number
from benchmarks.on_gpu.setting import Setting
from benchmarks.trials import own_runner, trial_order
from engines.protocol.orders import EngineOrder, Inference, TrialOrder
from engines.techniques.registry import find as find_technique
from workbench.metrics.checks.verdict import judge
from workbench.metrics.model import NotAvailable, Value
from workbench.metrics.registry import PER_TRIAL, metric
from workbench.metrics.trial import TrialRecords

SIX = (
    ("AMU", "memory_mean_bytes", "GiB", 2.0**30),
    ("PCU", "utilisation_ratio", "%", 0.01),
    ("AL", "latency_s", "s/request", 1.0),
    ("IT", "throughput_tokens_per_second", "tokens/s", 1.0),
    ("AEC", "power_mean_watts", "W", 1.0),
    ("", "energy_per_token_joules", "J/token", 1.0),
    ("", "energy_net_per_token_joules", "J/token", 1.0),
    ("", "prefill_energy_joules", "J/request", 1.0),
    ("", "decode_tokens_per_second", "tokens/s", 1.0),
    ("", "time_to_first_token_s", "ms", 1e-3),
    ("", "idle_power_watts", "W", 1.0),
    ("", "allocator_peak_bytes", "GiB", 2.0**30),
    ("", "device_process_peak_bytes", "GiB", 2.0**30),
    ("", "device_memory_change_bytes", "GiB", 2.0**30),
    ("", "model_flops_per_second", "TFLOP/s", 1e12),
    ("", "load_s", "s", 1.0),
)
"""Abbreviation, metric, unit and its size. Training has a part of its own (`finetuning`)."""
_MODULES = {"torchao": "torchao", "bitsandbytes": "bitsandbytes", "optimum-quanto": "optimum.quanto"}
_WARM_UP = 5
"""Requests at the most; a trial that is not steady by then says so."""
_TITLE = "The six metrics of EfficientLLM"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    value: float | None
    unit: str
    how: str
    """How it was obtained, or why there is none."""
    n: int | None = None


def run(setting: Setting, notes: Notes) -> None:
    columns: dict[str, dict[str, str]] = {}
    longest_s = 0.0
    ran = False
    with own_runner() as client:
        for place, precision in enumerate(setting.precisions):
            lacking = missing(f"precision.{precision}")
            if lacking:
                notes.add(precision, None, note=f"{lacking} is not installed here")
                continue
            begun_s = notes.left_s()
            if place and begun_s < longest_s:
                notes.add(
                    precision, None, note=f"no time left: {begun_s:.0f} s, the longest before took {longest_s:.0f} s"
                )
                continue
            _, arranged = trial(client, order_of(setting, precision, place), notes)
            longest_s = max(longest_s, begun_s - notes.left_s())
            notes.add(precision, end_of(arranged), note=f"{begun_s - notes.left_s():.0f} s")
            notes.keep(f"{precision}: facts", arranged.environment)
            found = figures(arranged)
            notes.keep(precision, found)
            columns[precision] = six(arranged, found)
            notes.table(_TITLE, ("metric", *columns), rows_of(columns))
            tell_verdict(notes, precision, arranged)
            ran = ran or bool(arranged.measured)
    if not ran:
        raise RuntimeError("No trial measured a request; the outcome of each is below.")


def missing(id: str) -> str:
    """The first package that a technique needs and this machine lacks, "" for none."""
    technique = find_technique(id)
    if technique is None:
        raise ValueError(f"There is no technique {id}.")
    for package in technique.packages:
        name = _MODULES.get(package, package)
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            return package
    return ""


def order_of(setting: Setting, precision: str, place: int) -> TrialOrder:
    lengths = setting.lengths
    workload = Inference(
        prompt_tokens=lengths.prompt_tokens,
        new_tokens=lengths.new_tokens,
        window_s=lengths.window_s,
        warmup_requests=_WARM_UP,
        prefill_energy_s=0.0 if setting.rehearsal else None,
    )
    name = f"shape-{place}-{precision}"
    made = trial_order(
        setting.large,
        f"precision.{precision}",
        workload=workload,
        engine=EngineOrder(),
        trial=name,
        device=setting.device,
    )
    # an experiment of its own: the runner does not wait for the device to cool down to where the first one began
    return msgspec.structs.replace(made, experiment=name)


def figures(arranged: TrialRecords) -> dict[str, Figure]:
    """Every metric of the registry. One that fails says why, and takes none of the others along: the machine is gone
    when somebody reads it."""
    found = {}
    for each in PER_TRIAL:
        try:
            result = each.compute(arranged)
        except Exception as error:  # noqa: BLE001
            result = NotAvailable(f"{type(error).__name__}: {error}")
        if isinstance(result, Value):
            found[each.id] = Figure(value=result.value, unit=each.unit, how=result.method, n=result.n)
        else:
            found[each.id] = Figure(value=None, unit=each.unit, how=result.reason)
    return found


def column(found: Mapping[str, Figure], rows: Iterable[tuple[str, str, str, float]]) -> dict[str, str]:
    """Cells by row title: abbreviation and title of each metric, in its unit."""
    cells = {}
    for short, id, unit, size in rows:
        value = found[id].value
        cell = "not available" if value is None else number(value / size)
        cells[f"{short}: {metric(id).title}, {unit}".removeprefix(": ")] = cell
    return cells


def six(arranged: TrialRecords, found: Mapping[str, Figure]) -> dict[str, str]:
    """A column of the table."""
    cells = column(found, SIX)
    rate = "not available"
    if arranged.model is not None and arranged.model.tensor_bytes:
        rate = number(arranged.model.original_bytes / arranged.model.tensor_bytes)
    cells["MCR: original / compressed size (random weights have no quality)"] = rate
    return cells


def tell_verdict(notes: Notes, name: str, arranged: TrialRecords) -> None:
    try:
        verdict = judge(arranged)
    except Exception as error:  # noqa: BLE001  # as in `figures`; some checks need scipy
        notes.add(f"{name}: verdict", None, note=f"{type(error).__name__}: {error}")
        return
    notes.add(f"{name}: verdict", verdict.verdict)
    for reason in verdict.reasons:
        notes.add(f"{name}: {reason.severity}", reason.message)


def rows_of(columns: dict[str, dict[str, str]]) -> list[tuple[str, ...]]:
    names = next(iter(columns.values()))
    return [(name, *(column[name] for column in columns.values())) for name in names]
