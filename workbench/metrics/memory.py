"""Memory of one trial: never one figure, always whose. Pure functions over one trial's records."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from engines.protocol.records import ModelLoaded
from engines.techniques.layers import layers_of_details
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.trial import Floats, Longs, TrialRecords
from workbench.metrics.window import (
    NS,
    device_source,
    inside,
    mean_over_all,
    no_window,
    on_gpu,
    read_by,
    series,
    why_missing,
)
from workbench.units import counted

TREE = "proc.tree"
_RESIDENT = ": resident memory"
"""How a proportional set size was read that is made of the resident set."""
_MEASURING = ("measure", "prefill", "decode", "step")


def process_memory(records: TrialRecords, start: int, end: int) -> tuple[Longs, Floats, str]:
    """Proportional set size of the process tree through a window (ns): times, bytes, and how it was read.

    The kernel walks all page tables for it, so that it is read every second to every four. What it differs by from
    the resident set, the part of shared pages that is counted for their other users, hardly changes: the resident set,
    read at the trial's rate, less the median of those differences. Where one of the two was not read, the other's
    readings alone, or none.
    """
    times, values = series(records, TREE, "pss_bytes")
    fast, resident = series(records, TREE, "rss_bytes")
    how = read_by(records, TREE, "pss_bytes")
    own = (times >= start) & (times <= end)
    if not own.any() and len(times) > 1:
        period = float(np.median(np.diff(times)))
        own = (times >= start - period) & (times <= end + period)
    if not own.any() or len(fast) < len(times) or not len(inside(fast, resident, start, end)[0]):
        return times, values, how
    beside = np.interp((times[own] - start) / NS, (fast - start) / NS, resident) - values[own]
    others = float(np.median(beside))
    counts = f" of {counted(int(own.sum()), 'readings')}{how}"
    return (
        fast,
        resident - others,
        f"{_RESIDENT}{read_by(records, TREE, 'rss_bytes')} less {others / 2**20:.1f} MiB, the median{counts}",
    )


def _polled_peak(quantity: str, what: str) -> Callable[[TrialRecords], Value | NotAvailable]:
    def compute(records: TrialRecords) -> Value | NotAvailable:
        window = records.window()
        if window is None:
            return no_window(records)
        if quantity == "pss_bytes":
            times, values, how = process_memory(records, *window)
        else:
            (times, values), how = series(records, TREE, quantity), read_by(records, TREE, quantity)
        if not len(times):
            return why_missing(records, TREE, quantity, what)
        _, among = inside(times, values, *window)
        if not len(among):
            length = (window[1] - window[0]) / NS
            return NotAvailable(f"No reading of {_in_sentence(what)} fell into the measured window of {length:.2g} s.")
        # what is shared may change: the peak is no less than what was read of it
        _, own = inside(*series(records, TREE, quantity), *window)
        bound = "an estimate: polling misses short peaks, and what others share may change"
        if not how.startswith(_RESIDENT):
            bound = "a lower bound of the true peak"
        method = f"largest reading of {_in_sentence(what)}{how}: {bound}{_mapped(records)}"
        return Value(float(max(np.max(among), np.max(own, initial=0.0))), method, len(among))

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
    if on_gpu(records):
        (times, values), how = series(records, source, quantity), read_by(records, source, quantity)
    else:
        times, values, how = process_memory(records, *window)
    if not len(times):
        return why_missing(records, source, quantity, what)
    mean = mean_over_all(times, values, records.stretches())
    if mean is None:
        return NotAvailable(f"{what} was not read through the measured window.")
    shared = "" if "template" in how else _shared(records)  # the sensor may say it itself
    note = "" if on_gpu(records) else shared + _mapped(records)
    among, _ = inside(times, values, *window)
    return Value(mean, f"{_in_sentence(what)}, time-weighted mean of the readings{how}{note}", len(among))


def _shared(records: TrialRecords) -> str:
    """What is to be said of the memory of a worker forked from a template."""
    if records.started is None or records.started.start_method != "template":
        return ""
    return "; pages shared with the template process count as the worker's"


def _mapped(records: TrialRecords) -> str:
    """What is to be said of weights that are pages of a mapped file."""
    if records.environment.get("llama.load.memory_map") != "yes":
        return ""
    return "; weights are pages of the mapped file, which count once touched and which the system can take back"


def memory_share(records: TrialRecords) -> Value | NotAvailable:
    """AMU as a fraction of the device: of the GPU's memory, or of the memory the worker's machine gives it."""
    mean = mean_memory(records)
    if isinstance(mean, NotAvailable):
        return mean
    fact = "gpu.0.memory_total_bytes" if on_gpu(records) else "memory.total_bytes"
    try:
        whole = float(records.environment[fact])
    except (KeyError, ValueError):
        return NotAvailable("The size of the device's memory was not recorded.")
    if whole <= 0:
        return NotAvailable("The size of the device's memory was not recorded.")
    return Value(mean.value / whole, f"{mean.method}; over the device's {whole / 2**30:.2f} GiB", mean.n)


def device_process_peak(records: TrialRecords) -> Value | NotAvailable:
    """What the driver says the worker's own processes hold on the GPU."""
    window = records.window()
    if window is None:
        return no_window(records)
    if not on_gpu(records):
        return NotAvailable("The trial ran on the processor: it has no device memory of its own.")
    source = device_source(records) or "nvml"
    times, values = series(records, source, "process_memory_bytes")
    if not len(times):
        if any(s.quantity == "process_memory_bytes" and s.available for s in records.sensors):
            return NotAvailable(
                "The driver named no memory of the worker's processes: it does not count it, or the worker runs in a "
                "container with process numbers of its own."
            )
        return why_missing(records, source, "process_memory_bytes", "Device memory of the worker")
    # not read while requests are timed: the last reading before the end of the window is used
    known = values[times <= window[1]]
    if not len(known):
        return NotAvailable("Device memory of the worker was not read before the end of the measured window.")
    method = "largest of the driver's readings of the worker's processes up to the window's end: a lower bound"
    return Value(float(np.max(known)), method, len(known))


def kv_cache(records: TrialRecords) -> Value | NotAvailable:
    """Bytes that one more token of one sequence takes in the cache, over all layers."""
    if records.model is None:
        return NotAvailable("The model was not loaded.")
    try:
        size = float(records.environment["cache.bytes_per_token"])
    except (KeyError, ValueError):
        problem = records.environment.get("cache.problem", "")
        return NotAvailable(problem or "The engine did not measure the model's cache.")
    method, scope = "measured on the model's own cache: two tokens less one, over all layers", ""
    if window := layers_of_details(records.model.details).shortest_window:
        scope = f"up to {window:,} tokens"
        method += f"; holds {scope}, where the first sliding window is full: a longer cache grows by less"
    return Value(size, method, 1, scope)


def cache_held(records: TrialRecords) -> Value | NotAvailable:
    """Bytes of one sequence's cache or state at the end of a request."""
    if records.model is None:
        return NotAvailable("The model was not loaded.")
    try:
        size, sequences = (float(records.environment[f"cache.{name}"]) for name in ("bytes", "sequences"))
        tokens = int(records.environment["cache.tokens"])
    except (KeyError, ValueError):
        return NotAvailable("The engine did not count the cache of a request.")
    if size <= 0 or sequences <= 0:
        return NotAvailable("The engine did not count the cache of a request.")
    method = "counted from the cache's own tensors after the first request, over its sequences"
    return Value(size / sequences, method, 1, f"{tokens:,} tokens")


def lifetime_peak(records: TrialRecords) -> Value | NotAvailable:
    """Exact where the worker recorded it at the end of its phases. One that was killed or crashed recorded nothing of
    its last phase, the very one that mattered: there a larger reading from outside counts."""
    known = max((peak for (_, source), peak in records.peaks.items() if source == "rusage"), default=0)
    _, values = series(records, TREE, "rss_bytes")
    read = float(np.max(values)) if len(values) else 0.0
    told_all = records.ended is None or records.ended.outcome == "completed"
    if known and (told_all or read <= known):
        return Value(float(known), "the kernel's high-water mark of the worker's resident memory, exact", 1)
    if not len(values):
        return why_missing(records, TREE, "rss_bytes", "Resident memory of the process tree")
    method = "largest reading of resident memory, polled: a lower bound of the true peak"
    return Value(read, method, len(values))


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
    # not the idle phase: there the model is loaded and the context made, and both are what the trial brought
    load = next((s.start_ns for s in records.spans if s.name == "load"), None)
    if load is not None and int(times[0]) >= load:
        return NotAvailable(
            "Device memory was not read before the model was loaded: its level without it is not known."
        )
    change = float(np.max(among)) - float(values[0])
    return Value(change, "largest reading in the window less the first reading of the trial; a lower bound", len(among))


def tensor_bytes(records: TrialRecords) -> Value | NotAvailable:
    if records.model is None:
        return NotAvailable("The model was not loaded.")
    return Value(float(records.model.tensor_bytes), "counted from the loaded tensors", records.model.parameters)


def _bits(which: Callable[[ModelLoaded], float], method: str) -> Callable[[TrialRecords], Value | NotAvailable]:
    def compute(records: TrialRecords) -> Value | NotAvailable:
        if records.model is None:
            return NotAvailable("The model was not loaded.")
        bits = which(records.model)
        if bits <= 0:
            return NotAvailable("The engine did not tell it.")
        return Value(bits, method, records.model.parameters)

    return compute


_of_model = partial(
    Metric, better="lower", window="load", group="memory", exact=True, counts="parameters", needs=("model_loaded",)
)

_bytes = partial(Metric, unit="B", better="lower", shown_unit="GiB", group="memory")

METRICS = (
    _bytes(
        id="memory_mean_bytes",
        title="Memory, mean",
        definition="AMU of EfficientLLM: (1/T) ∫ memory used dt. The device's memory in use on a GPU, the proportional "
        "set size of the worker's process tree on a processor, at the rate of its resident set.",
        version=3,
        compute=mean_memory,
        primary=True,
        by_device=True,
        beside=("memory_mean_ratio",),
        needs=("request", "step", "memory_used_bytes", "pss_bytes", "rss_bytes"),
    ),
    Metric(
        id="memory_mean_ratio",
        title="Memory, mean share",
        definition="AMU of EfficientLLM as a fraction: mean memory used / memory of the device (of the machine, or of "
        "its control group, on a processor).",
        unit="ratio",
        better="lower",
        version=3,
        compute=memory_share,
        shown_unit="%",
        group="memory",
        by_device=True,
        needs=("request", "step", "memory_used_bytes", "pss_bytes", "rss_bytes", "environment"),
    ),
    _bytes(
        id="memory_pss_peak_bytes",
        title="Peak process memory (PSS)",
        definition="Largest proportional set size of the worker's process tree, shared pages divided among their "
        "users, at the rate of its resident set, and no less than any of its own readings.",
        version=3,
        compute=_polled_peak("pss_bytes", "Proportional set size"),
        needs=("request", "step", "pss_bytes", "rss_bytes"),
    ),
    _bytes(
        id="memory_rss_peak_bytes",
        title="Peak resident memory (RSS)",
        definition="Largest resident set of the worker's process tree, shared pages counted in each process. Polled: "
        "a lower bound.",
        compute=_polled_peak("rss_bytes", "Resident memory"),
        needs=("request", "step", "rss_bytes"),
    ),
    _bytes(
        id="memory_lifetime_peak_bytes",
        title="Peak memory with loading",
        definition="Largest resident memory of the worker over its whole life, loading and conversion included.",
        window="whole trial",
        version=2,
        compute=lifetime_peak,
        needs=("memory_peak", "rss_bytes"),
    ),
    _bytes(
        id="allocator_peak_bytes",
        title="Allocator peak",
        definition="Largest amount the engine's device allocator had handed out.",
        compute=allocator_peak,
        needs=("memory_peak",),
    ),
    _bytes(
        id="device_process_peak_bytes",
        title="Peak device memory of the worker",
        definition="Largest device memory that the driver attributes to the worker's processes. Polled: a lower bound.",
        window="up to the end of the measured requests",
        compute=device_process_peak,
        needs=("request", "step", "process_memory_bytes"),
    ),
    Metric(
        id="kv_cache_bytes_per_token",
        title="KV cache per token",
        definition="Bytes that a token of one sequence takes in the cache of keys and values, over all layers. Of a "
        "model with sliding windows: as long as none of them is full.",
        unit="B/token",
        better="lower",
        window="load",
        version=2,
        compute=kv_cache,
        shown_unit="KiB/token",
        group="memory",
        exact=True,
        task="generate",
        needs=("model_loaded", "environment"),
    ),
    Metric(
        id="cache_bytes",
        title="Cache of a sequence",
        definition="Bytes of the cache of keys and values, or of the state of a model without attention, that one "
        "sequence holds at the end of a request: prompt and generated tokens less the last.",
        unit="B",
        better="lower",
        window="a request",
        compute=cache_held,
        shown_unit="MiB",
        group="memory",
        exact=True,
        task="generate",
        needs=("model_loaded", "environment"),
    ),
    _bytes(
        id="device_memory_change_bytes",
        title="Device memory added",
        definition="Largest device memory in use in the window less what was in use when the trial began, before the "
        "model was loaded: everything the trial brought, context and libraries included.",
        version=2,
        compute=device_change,
        needs=("request", "step", "memory_used_bytes"),
    ),
    _of_model(
        id="tensor_bytes",
        title="Model size",
        definition="Bytes of the loaded tensors, scales and other parts of quantised tensors included.",
        unit="B",
        compute=tensor_bytes,
        shown_unit="MiB",
    ),
    _of_model(
        id="nominal_bits_per_weight",
        title="Bits per weight, nominal",
        definition="What the technique's name promises: 16 of bfloat16, 4 of int4. Says nothing of scales or of parts "
        "left as they were.",
        unit="bit",
        compute=_bits(lambda model: model.nominal_bits, "as the technique names it"),
    ),
    _of_model(
        id="stored_bits_per_weight",
        title="Bits per weight, stored",
        definition="Bits per quantised weight as really stored, scales included; per weight where none is quantised.",
        unit="bit",
        compute=_bits(lambda model: model.stored_bits, "counted from the loaded tensors"),
    ),
)
