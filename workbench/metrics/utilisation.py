"""How busy the device was: the driver's utilisation (PCU), stolen time, and the share of its peak FLOP rate. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engines.techniques.layers import LayerGroup, Layers, attended, layers_of_details
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.trial import TrialRecords
from workbench.metrics.window import (
    NS,
    SEVERAL,
    change_over_all,
    device_source,
    inside,
    length_s,
    mean_over_all,
    no_window,
    on_gpu,
    read_by,
    series,
    why_missing,
)
from workbench.units import counted, format_share

FLOP_FORMULA = "2 x parameters per token processed + 4 x attention width x positions attended to, over all layers"
"""Of one forward pass, a multiplication and an addition counted as two: every weight is used once a token, and each
layer multiplies queries with keys and weights with values over the positions before, as far as its window reaches.
Embedding look-ups count as if they were multiplied, norms, activations and recurrent states not at all (Kaplan et al.
2020, section 2.1, with the exact sum over positions)."""

DEPTH_FACT = "workload.depth_tokens"


def utilisation(records: TrialRecords) -> Value | NotAvailable:
    """EfficientLLM's PCU: (1/T) ∫ utilisation/peak utilisation dt."""
    window, stretches = records.window(), records.stretches()
    if window is None:
        return no_window(records)
    if on_gpu(records):
        source = device_source(records) or "nvml"
        times, values = series(records, source, "utilisation_ratio")
        if not len(times):
            return why_missing(records, source, "utilisation_ratio", "Device utilisation")
        mean = mean_over_all(times, values, stretches)
        if mean is None:
            return NotAvailable("Device utilisation was not read through the measured window.")
        how = read_by(records, source, "utilisation_ratio")
        among, _ = inside(times, values, *window)
        method = f"driver's utilisation: share of time with any kernel running, not of FLOPs{how}"
        return Value(mean, method, len(among))
    threads = records.started.threads if records.started is not None else 0
    if threads < 1:
        return NotAvailable("The number of threads of the worker is not known.")
    spent = change_over_all(*series(records, "proc.tree", "cpu_seconds"), stretches)
    if spent is not None:
        length = length_s(stretches)
        if length <= 0:
            return NotAvailable("The measured time is not positive: the clock readings do not hold.")
        how = read_by(records, "proc.tree", "cpu_seconds")
        return Value(
            spent / length / threads, f"processor seconds of the process tree{how} / (time x {_threads(threads)})"
        )
    times, values = series(records, "proc.tree", "cpu_utilisation_ratio")
    mean = mean_over_all(times, values, stretches)
    if mean is None:
        return why_missing(records, "proc.tree", "cpu_utilisation_ratio", "Processor use")
    among, _ = inside(times, values, *window)
    return Value(mean / threads, f"cores used by the process tree / {_threads(threads)}", len(among))


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def steal(records: TrialRecords) -> Value | NotAvailable:
    window = records.window()
    if window is None:
        return no_window(records)
    times, values = series(records, "proc.host", "steal_ratio")
    if not len(times):
        return why_missing(records, "proc.host", "steal_ratio", "Stolen processor time")
    _, among = inside(times, values, *window)
    if not len(among):
        return NotAvailable("Stolen processor time was not read through the measured window.")
    return Value(float(np.mean(among)), "/proc/stat, share of processor time taken by the host", len(among))


def request_flops(
    parameters: float, layers: Sequence[LayerGroup], prompt: int, tokens: int, batch: int, depth: int = 0
) -> float:
    """FLOPs of one request by `FLOP_FORMULA`: `prompt` tokens read, `tokens` made of each of `batch` sequences, with
    `depth` tokens in the cache before it starts.

    Every position but the last one made goes through the model once: prompt + tokens − 1 of them, and position i
    attends to depth + i tokens, or to a layer's window where that is less. No `layers` leaves attention out.
    """
    positions = prompt + tokens - 1
    attention = sum(4 * g.layers * g.width * attended(positions, depth, g.window) for g in layers)
    return batch * (2 * parameters * positions + attention)


def flop_rate(records: TrialRecords) -> Value | NotAvailable:
    """FLOPs of the measured requests by formula over their time. Nothing counts them: the formula is in the method."""
    measured = records.measured
    if not measured:
        return _flop_rate_of_steps(records)
    if records.model is None:
        return NotAvailable("The model was not loaded.")
    parameters = float(records.model.parameters)
    if "experts" in records.model.details:
        active = records.detail("active_parameters")
        if active is None:
            return NotAvailable("A mixture of experts: how many parameters a token uses is not known.")
        parameters = active
    layers = layers_of_details(records.model.details)
    depth = _depth(records)
    spent = sum(r.end_ns - r.start_ns for r in measured) / NS
    if spent <= 0 or parameters <= 0 or any(r.batch_size < 1 or r.stamps < 1 for r in measured):
        return NotAvailable("The requests' tokens or times do not hold.")
    flops = sum(
        request_flops(
            parameters,
            layers.groups,
            r.prompt_tokens,
            r.generated_tokens // r.batch_size,
            r.batch_size,
            depth,
        )
        for r in measured
    )
    scope = _left_out(layers)
    deep = f", {depth:,} tokens in the cache before each request" if depth else ""
    method = (
        f"{FLOP_FORMULA}, {parameters:,.0f} parameters{deep}{'; ' + scope if scope else ''}; over the requests' time"
    )
    return Value(flops / spent, method, len(measured), scope)


def _flop_rate_of_steps(records: TrialRecords) -> Value | NotAvailable:
    """FLOPs of a training step as the worker says them by formula, over the time of the measured steps."""
    steps, said = records.measured_steps, records.flops
    if not steps:
        return no_window(records)
    spent = sum(s.end_ns - s.start_ns for s in steps) / NS
    if said is None or said.formula_flops <= 0:
        return NotAvailable("The FLOPs of a step are not known: no formula for this model and method.")
    if spent <= 0:
        return NotAvailable("The measured time is not positive: the clock readings do not hold.")
    checked = "not counted"
    if said.counted_flops is not None:
        checked = f"an untimed step counted {format_share(said.counted_flops / said.formula_flops - 1, sign='+')}"
        checked += f" (the counter omits {said.omitted})" if said.omitted else ""
    method = f"{said.formula_flops:.4g} FLOPs a step by formula, {checked}; over the steps' time"
    return Value(said.formula_flops * len(steps) / spent, method, len(steps), "training steps")


def _left_out(layers: Layers) -> str:
    if layers.unknown:
        return f"without attention: {layers.unknown}"
    states = sum(g.layers for g in layers.groups if not g.width)
    return f"without the states that {counted(states, 'layers')} without attention may keep" if states else ""


def _depth(records: TrialRecords) -> int:
    """Tokens in the cache before each request; engines that cannot start at a depth do not record it."""
    depth = records.environment.get(DEPTH_FACT, "")
    return int(depth) if depth.isdecimal() else 0


def model_flops_utilisation(records: TrialRecords) -> Value | NotAvailable:
    rate = flop_rate(records)
    if isinstance(rate, NotAvailable):
        return rate
    found = records.assumptions.peak_of(*device_and_precision(records))
    if found is None:
        return NotAvailable("The device's peak is not known: set its FLOP/s in this precision from the data sheet.")
    peak, name = found
    devices = len(records.environment.get(SEVERAL, "").split()) or 1
    each = f", of each of {devices}" if devices > 1 else ""
    method = f"{rate.method}; over the peak of {peak:.4g} FLOP/s set by the user for {name}{each}"
    peak *= devices
    return Value(rate.value / peak, method, rate.n, rate.scope)


def device_and_precision(records: TrialRecords) -> tuple[str, str]:
    """The device's name as the driver reports it, and its compute type ("NVIDIA H200", "bfloat16"); "" unknown."""
    name = records.environment.get("gpu.0.name" if on_gpu(records) else "cpu.model", "")
    return name, records.model.details.get("compute", "") if records.model is not None else ""


METRICS = (
    Metric(
        id="utilisation_ratio",
        title="Compute utilisation",
        definition="PCU of EfficientLLM: (1/T) ∫ utilisation(t)/peak utilisation dt. On a GPU the share of time with "
        "any kernel running, not of FLOPs; on a processor the cores used over the worker's threads.",
        unit="ratio",
        better="higher",
        version=2,
        compute=utilisation,
        shown_unit="%",
        by_device=True,
        beside=("model_flops_utilisation_ratio",),
        group="energy",
        nouns=("more", "less"),
        needs=("request", "step", "utilisation_ratio", "cpu_seconds"),
    ),
    Metric(
        id="model_flops_utilisation_ratio",
        title="Model FLOPs utilisation",
        definition=f"MFU: FLOPs of the model by formula ({FLOP_FORMULA}) / time / peak FLOP/s of the device as the "
        "user set it.",
        unit="ratio",
        better="higher",
        version=3,
        compute=model_flops_utilisation,
        counts="requests or steps",
        shown_unit="%",
        group="energy",
        nouns=("more", "less"),
        same_scope=True,
        needs=("request", "step", "flop_count", "model_loaded", "peak_flops"),
    ),
    Metric(
        id="model_flops_per_second",
        title="Model FLOP rate",
        definition=f"FLOPs of the model by formula ({FLOP_FORMULA}; of a training step the worker's) / time of the "
        "measured requests or steps.",
        unit="FLOP/s",
        better="higher",
        version=3,
        compute=flop_rate,
        counts="requests or steps",
        shown_unit="GFLOP/s",
        group="speed",
        same_scope=True,
        needs=("request", "step", "flop_count", "model_loaded"),
    ),
    Metric(
        id="steal_ratio",
        title="Stolen time",
        definition="Share of processor time that the host took away from this machine.",
        unit="ratio",
        better="neither",
        compute=steal,
        shown_unit="%",
        group="energy",
        needs=("request", "step", "steal_ratio"),
    ),
)
