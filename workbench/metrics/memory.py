"""Memory of one trial: never one figure, always whose. Pure functions over one trial's records."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.speed import MEASURED
from workbench.metrics.trial import TrialRecords
from workbench.metrics.window import NS, device_source, inside, mean_over, no_window, on_gpu, series, why_missing

TREE = "proc.tree"
_MEASURING = ("measure", "prefill", "decode", "step")


def _polled_peak(quantity: str, what: str) -> Callable[[TrialRecords], Value | NotAvailable]:
    def compute(records: TrialRecords) -> Value | NotAvailable:
        window = records.window()
        if window is None:
            return no_window(records)
        times, values = series(records, TREE, quantity)
        if not len(times):
            return why_missing(records, TREE, quantity, what)
        _, among = inside(times, values, *window)
        if not len(among):
            length = (window[1] - window[0]) / NS
            return NotAvailable(f"No reading of {_in_sentence(what)} fell into the measured window of {length:.2g} s.")
        method = f"largest reading of {_in_sentence(what)}, polled: a lower bound of the true peak"
        return Value(float(np.max(among)), method, len(among))

    return compute


def _in_sentence(what: str) -> str:
    return what[0].lower() + what[1:]


def mean_memory(records: TrialRecords) -> Value | NotAvailable:
    """EfficientLLM's AMU: (1/T) ∫ memory used dt."""
    window = records.window()
    if window is None:
        return no_window(records)
    if on_gpu(records):
        source, quantity, what = device_source(records) or "nvml", "memory_used_bytes", "Device memory in use"
    else:
        source, quantity, what = TREE, "pss_bytes", "Proportional set size of the process tree"
    times, values = series(records, source, quantity)
    if not len(times):
        return why_missing(records, source, quantity, what)
    mean = mean_over(times, values, *window)
    if mean is None:
        return NotAvailable(f"{what} was not read through the measured window.")
    return Value(mean, f"{_in_sentence(what)}, time-weighted mean of the readings{_shared(records)}", len(times))


def _shared(records: TrialRecords) -> str:
    """What is to be said of the memory of a worker forked from a template."""
    if on_gpu(records) or records.started is None or records.started.start_method != "template":
        return ""
    return "; pages shared with the template process count as the worker's"


def lifetime_peak(records: TrialRecords) -> Value | NotAvailable:
    known = [peak for (_, source), peak in records.peaks.items() if source == "rusage"]
    if known:
        return Value(float(max(known)), "the kernel's high-water mark of the worker's resident memory, exact", 1)
    _, values = series(records, TREE, "rss_bytes")
    if not len(values):
        return why_missing(records, TREE, "rss_bytes", "Resident memory of the process tree")
    method = "largest reading of resident memory, polled: a lower bound of the true peak"
    return Value(float(np.max(values)), method, len(values))


def allocator_peak(records: TrialRecords) -> Value | NotAvailable:
    known = [b for (phase, source), b in records.peaks.items() if source == "allocator" and phase in _MEASURING]
    if known:
        return Value(float(max(known)), "the allocator's own peak, reset before the measured requests, exact", 1)
    if records.model is not None and not on_gpu(records):
        return NotAvailable("The allocator of a processor keeps no peak; see the process tree's memory.")
    return NotAvailable("The engine reported no allocator peak.")


def device_change(records: TrialRecords) -> Value | NotAvailable:
    window = records.window()
    if window is None:
        return no_window(records)
    if not on_gpu(records):
        return NotAvailable("The trial ran on the processor: it has no device memory of its own.")
    source = device_source(records) or "nvml"
    times, values = series(records, source, "memory_used_bytes")
    if not len(times):
        return why_missing(records, source, "memory_used_bytes", "Device memory in use")
    _, among = inside(times, values, *window)
    if not len(among):
        return NotAvailable("No reading of device memory fell into the measured window.")
    idle = next((s for s in records.spans if s.name == "idle"), None)
    base = mean_over(times, values, idle.start_ns, idle.end_ns) if idle is not None else None
    start = "its mean in the idle phase" if base is not None else "the first reading of the trial"
    level = float(values[0]) if base is None else base
    return Value(float(np.max(among)) - level, f"largest reading in the window less {start}; a lower bound", len(among))


def tensor_bytes(records: TrialRecords) -> Value | NotAvailable:
    if records.model is None:
        return NotAvailable("The model was not loaded.")
    return Value(float(records.model.tensor_bytes), "counted from the loaded tensors", records.model.parameters)


METRICS = (
    Metric(
        id="memory_mean_bytes",
        title="Memory, mean",
        definition="AMU of EfficientLLM: (1/T) ∫ memory used dt. The device's memory in use on a GPU, the proportional "
        "set size of the worker's process tree on a processor.",
        unit="B",
        better="lower",
        window=MEASURED,
        version=1,
        compute=mean_memory,
        shown_unit="GiB",
        group="memory",
        primary=True,
    ),
    Metric(
        id="memory_pss_peak_bytes",
        title="Peak process memory (PSS)",
        definition="Largest proportional set size of the worker's process tree, shared pages divided among their "
        "users. Polled once a second: a lower bound.",
        unit="B",
        better="lower",
        window=MEASURED,
        version=1,
        compute=_polled_peak("pss_bytes", "Proportional set size"),
        shown_unit="GiB",
        group="memory",
    ),
    Metric(
        id="memory_rss_peak_bytes",
        title="Peak resident memory (RSS)",
        definition="Largest resident set of the worker's process tree, shared pages counted in each process. Polled: "
        "a lower bound.",
        unit="B",
        better="lower",
        window=MEASURED,
        version=1,
        compute=_polled_peak("rss_bytes", "Resident memory"),
        shown_unit="GiB",
        group="memory",
    ),
    Metric(
        id="memory_lifetime_peak_bytes",
        title="Peak memory with loading",
        definition="Largest resident memory of the worker over its whole life, loading and conversion included.",
        unit="B",
        better="lower",
        window="whole trial",
        version=1,
        compute=lifetime_peak,
        shown_unit="GiB",
        group="memory",
    ),
    Metric(
        id="allocator_peak_bytes",
        title="Allocator peak",
        definition="Largest amount the engine's device allocator had handed out.",
        unit="B",
        better="lower",
        window=MEASURED,
        version=1,
        compute=allocator_peak,
        shown_unit="GiB",
        group="memory",
    ),
    Metric(
        id="device_memory_change_bytes",
        title="Device memory above idle",
        definition="Largest device memory in use in the window less the idle level: everything the trial brought, "
        "context and libraries included.",
        unit="B",
        better="lower",
        window=MEASURED,
        version=1,
        compute=device_change,
        shown_unit="GiB",
        group="memory",
    ),
    Metric(
        id="tensor_bytes",
        title="Model size",
        definition="Bytes of the loaded tensors, scales and other parts of quantised tensors included.",
        unit="B",
        better="lower",
        window="load",
        version=1,
        compute=tensor_bytes,
        shown_unit="MiB",
        group="memory",
        exact=True,
    ),
)
