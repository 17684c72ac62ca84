"""A fake trial by a stated generator, for tests and for looking at the window while it is built.

Not part of the product. `records(FakeTrial(...))` is a plausible stream of one trial as the runner would number it,
`order(FakeTrial(...))` the order it would have come from. `synthetic_experiment` makes whole experiments of them.

The generator: every trial has a speed factor, log-normal with standard deviation `between_sd` (2 %); token gaps are
log-normal around 1/tokens_per_second with an AR(1) of 0.5 and standard deviation 3 %; telemetry is read at `rate_hz`
with small gaussian noise. The same seed gives the same stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from engines.protocol.orders import EngineOrder, Inference, ModelOrder, TechniqueOrder, TrialOrder
from engines.protocol.records import (
    ClockPair,
    Cue,
    Environment,
    Evaluation,
    Log,
    MemoryPeak,
    ModelLoaded,
    PhaseEnded,
    PhaseName,
    PhaseStarted,
    Progress,
    Record,
    Sensor,
    Sensors,
    Stamps,
    Telemetry,
    TrialEnded,
    TrialStarted,
)
from tests import builders
from tests.builders import trial_order

MIB = 1024.0**2
SECOND = 1_000_000_000
START_NS = 7_200 * SECOND
"""Monotonic time at which every fake trial starts."""
WALL_NS = 1_790_000_000 * SECOND
GPU = "nvml.GPU-6f1d2c3b-0000-4000-8000-123456789abc"
NO_POWER = "No power sensor: no NVIDIA driver was found, and energy_uj is readable by root only."


@dataclass(frozen=True)
class FakeTrial:
    """What the generator is told. Sizes in bytes, times in seconds."""

    trial: str = "t-fake-1"
    seed: int = 1
    device: Literal["cpu", "gpu"] = "cpu"
    precision: str = "float32"
    tokens_per_second: float = 24.0
    prefill_s: float = 0.16
    prompt_tokens: int = 128
    new_tokens: int = 64
    batch_size: int = 1
    warmups: int = 2
    requests: int = 3
    load_s: float = 0.9
    resident_bytes: float = 900 * MIB
    tensor_bytes: int = 538_000_000
    perplexity: float = 21.4
    power_watts: float = 310.0
    power_sensor: bool = True
    """Only for a GPU: without it power and energy are reported as not available."""
    threads: int = 1
    rate_hz: float = 10.0
    between_sd: float = 0.02
    outcome: Literal["completed", "stopped", "failed"] = "completed"
    failure: str = "out_of_memory"
    block_drift: float = 0.0
    """Added to the log of the speed: what a block has in common."""
    idle_s: float = 0.0
    """Length of the idle phase between loading and warm-up."""
    idle_watts: float = 75.0
    """Power of a GPU while nothing runs."""
    prefills_s: float = 0.0
    """Length of the phase of one-token requests after the measured ones."""


class _Tape:
    """The stream under construction: numbers records and keeps the clock (ns)."""

    def __init__(self) -> None:
        self.now = START_NS
        self.records: list[Record] = []

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    def say(self, record: Record, at: int | None = None) -> None:
        self.records.append(msgspec.structs.replace(record, t_ns=self.now if at is None else at))

    def open(self, name: PhaseName, index: int = 0) -> int:
        self.say(PhaseStarted(name=name, index=index))
        return self.now

    def close(self, name: PhaseName, start_ns: int, index: int = 0) -> None:
        self.say(PhaseEnded(name=name, index=index, start_ns=start_ns))


def records(fake: FakeTrial = FakeTrial()) -> tuple[Record, ...]:
    """The records of one trial in order, seq 1, 2, 3, ..., as the runner would have them in its spool."""
    rng = np.random.default_rng(fake.seed)
    tape = _Tape()
    _begin(tape, fake)
    if fake.outcome == "failed":
        tape.say(Log(level="error", source="worker", text="RuntimeError: not enough memory: tried to allocate 2.1 GB"))
        tape.say(
            TrialEnded(
                outcome="failed",
                failure=fake.failure,
                message="The worker ran out of memory while loading the model.",
                advice="What was measured is kept. Choose int8, a smaller batch or a smaller model.",
                clock=_clock(tape.now),
                exit_code=3,
            )
        )
    else:
        speed = math.exp(rng.normal(0.0, fake.between_sd) + fake.block_drift)
        _generate(tape, fake, rng, speed)
        if fake.outcome == "completed":
            _evaluate(tape, fake)
        unload = tape.open("unload")
        tape.wait(0.1)
        tape.close("unload", unload)
        tape.say(TrialEnded(outcome=fake.outcome, clock=_clock(tape.now), exit_code=0))
    tape.records += _telemetry(tape, fake, rng)
    ordered = sorted(tape.records, key=lambda r: (isinstance(r, TrialEnded), r.t_ns))
    return tuple(msgspec.structs.replace(r, seq=i) for i, r in enumerate(ordered, start=1))


def _clock(mono_ns: int) -> ClockPair:
    return ClockPair(wall_ns=WALL_NS + mono_ns - START_NS, mono_ns=mono_ns)


def _begin(tape: _Tape, fake: FakeTrial) -> None:
    tape.say(TrialStarted(clock=_clock(tape.now), worker_pid=4711, threads=fake.threads, processors=(0,)))
    tape.say(Sensors(sensors=_sensors(fake)))
    facts = {"cpu.model": "Example CPU at 2.4 GHz", "cpu.cores": "2", "python": "3.11.2", "torch": "2.13.0"}
    facts |= {"memory.total_bytes": str(8 << 30), "cache.bytes_per_token": "46080"}
    facts |= {"cache.bytes": "17602560", "cache.sequences": "2", "cache.tokens": "191"}
    if fake.device == "gpu":
        facts["gpu.0.memory_total_bytes"] = str(80 << 30)
    tape.say(Environment(facts=facts))
    tape.say(Log(level="info", source="runner", text="Worker 4711 started with 1 thread."))
    start = tape.open("start")
    tape.wait(0.4)
    tape.close("start", start)
    load = tape.open("load")
    tape.say(Progress(text="Loading the model", fraction=0.05))
    tape.wait(fake.load_s)
    if fake.outcome == "failed":
        return
    tape.say(
        ModelLoaded(
            parameters=134_515_008,
            tensor_bytes=fake.tensor_bytes,
            bytes_by_dtype={fake.precision: fake.tensor_bytes},
            original_bytes=269_000_000,
            nominal_bits={"float32": 32.0, "int8": 8.0}.get(fake.precision, 16.0),
            attention="sdpa",
            device="cpu" if fake.device == "cpu" else f"cuda:{GPU.removeprefix('nvml.')}",
            load_s=fake.load_s,
            stored_bits={"float32": 32.0, "int8": 8.5}.get(fake.precision, 16.0),
            details={"layers": "30", "attention_width": "576", "vocabulary": "49152"},
        )
    )
    tape.close("load", load)
    if fake.idle_s > 0:
        idle = tape.open("idle")
        tape.wait(fake.idle_s)
        tape.close("idle", idle)


def _generate(tape: _Tape, fake: FakeTrial, rng: np.random.Generator, speed: float) -> None:
    stamp = 0
    deviation = 0.0

    def request(index: int, warmup: bool) -> None:
        nonlocal stamp, deviation
        start = tape.now
        prefill = tape.open("prefill", index)
        tape.wait(fake.prefill_s / speed * math.exp(rng.normal(0.0, 0.02)))
        times = [tape.now]
        tape.close("prefill", prefill, index)
        decode = tape.open("decode", index)
        for _ in range(fake.new_tokens - 1):
            deviation = 0.5 * deviation + rng.normal(0.0, 0.03 * math.sqrt(0.75))
            tape.wait(math.exp(deviation) / (fake.tokens_per_second / fake.batch_size * speed))
            times.append(tape.now)
        tape.close("decode", decode, index)
        tape.wait(0.0002)
        own = {"prompt_tokens": fake.prompt_tokens, "batch_size": fake.batch_size, "warmup": warmup}
        tokens = fake.new_tokens * fake.batch_size
        tape.say(builders.request(index, start, tape.now, stamp, fake.new_tokens, generated_tokens=tokens, **own))
        for first in range(0, fake.new_tokens, 20):
            part = times[first : first + 20]
            tape.say(Stamps(first=stamp + first, times_ns=part), at=part[-1] + 1_000_000)
        stamp += fake.new_tokens
        tape.wait(0.001)

    warmup = tape.open("warmup")
    for index in range(fake.warmups):
        tape.say(Progress(text=f"Warm-up {index + 1}", fraction=0.1 + 0.2 * index / fake.warmups))
        request(index, warmup=True)
    tape.close("warmup", warmup)
    measure = tape.open("measure")
    count = fake.requests if fake.outcome == "completed" else max(1, fake.requests // 2)
    for index in range(count):
        tape.say(Progress(text=f"Request {index + 1} of {fake.requests}", fraction=0.3 + 0.6 * index / fake.requests))
        request(index, warmup=False)
    tape.close("measure", measure)
    if fake.prefills_s > 0 and fake.outcome == "completed":
        phase = tape.open("prefill_energy")
        for index in range(round(fake.prefills_s * speed / fake.prefill_s)):
            span = tape.now
            tape.wait(fake.prefill_s / speed)
            tape.close("prefill", span, index)
        tape.close("prefill_energy", phase)
    if fake.device == "gpu":
        tape.say(MemoryPeak(phase="measure", source="allocator", peak_bytes=round(fake.tensor_bytes * 1.2)))
    tape.say(MemoryPeak(phase="measure", source="rusage", peak_bytes=round(fake.resident_bytes * 1.15)))


def _evaluate(tape: _Tape, fake: FakeTrial) -> None:
    start = tape.open("evaluate")
    tape.say(Progress(text="Perplexity on held-out text", fraction=0.92))
    tape.wait(1.2)
    tape.say(
        Evaluation(
            nll_sum=512 * math.log(fake.perplexity),
            tokens=512,
            text_bytes=2_210,
            data_name="Python documentation topics 3.11",
            data_hash="5d41402abc4b2a76b9719d911017c592",
            context_tokens=512,
            begin="",
            first_byte=900,
            part_tokens=32,
            part_nll=_parts(512 * math.log(fake.perplexity)),
            part_bytes=(138,) * 15 + (140,),
        )
    )
    tape.close("evaluate", start)


def _parts(loss: float) -> tuple[float, ...]:
    """Loss of the text's 16 parts: hard ones and easy ones, the same for every model."""
    hard = np.array([1 + 0.3 * math.sin(7 * n) for n in range(16)])
    return tuple((loss * hard / hard.sum()).tolist())


def _sensors(fake: FakeTrial) -> tuple[Sensor, ...]:
    def made(source: str, quantity: str, title: str, rate: float, reason: str = "") -> Sensor:
        method = "/proc" if source.startswith("proc") else "NVML"
        return Sensor(
            source=source,
            quantity=quantity,
            title=title,
            method=method,
            rate_hz=rate,
            available=not reason,
            reason=reason,
        )

    hz = fake.rate_hz
    found = [
        made("proc.tree", "rss_bytes", "Resident memory", hz),
        made("proc.tree", "pss_bytes", "Proportional memory", 1.0),
        made("proc.tree", "cpu_utilisation_ratio", "Processor use", hz),
        made("proc.tree", "cpu_seconds", "Processor time", hz),
        made("proc.tree", "swap_bytes", "Swapped", 1.0),
        made("proc.host", "cpu_utilisation_ratio", "Processor use of the machine", hz),
        made("proc.host", "steal_ratio", "Stolen time", hz),
        made("proc.host", "foreign_cpu_ratio", "Cores used by others", hz),
        made("proc.host", "pressure_cpu_ratio", "Processor pressure", hz),
    ]
    if fake.device == "gpu":
        missing = "" if fake.power_sensor else "The driver gives no power reading on this device."
        found += [
            made(GPU, "memory_used_bytes", "Device memory in use", hz),
            made(GPU, "utilisation_ratio", "Device utilisation", hz),
            made(GPU, "temperature_celsius", "Temperature", hz),
            made(GPU, "process_memory_bytes", "Memory of the worker on the GPU", 1.0),
            made(GPU, "throttle_reasons_bits", "Throttle reasons", hz),
            made(GPU, "power_watts", "Power", hz, missing),
            made(GPU, "energy_joules", "Energy counter", hz, missing),
        ]
    else:
        found += [made("rapl", q, t, hz, NO_POWER) for q, t in (("power_watts", "Power"), ("energy_joules", "Energy"))]
    return tuple(found)


def _telemetry(tape: _Tape, fake: FakeTrial, rng: np.random.Generator) -> list[Record]:
    end = tape.now
    load = next(r for r in tape.records if isinstance(r, PhaseStarted) and r.name == "load")
    busy_from = load.t_ns
    idle = next((r for r in tape.records if isinstance(r, PhaseEnded) and r.name == "idle"), None)
    period = round(SECOND / fake.rate_hz)
    times = np.arange(START_NS + period, end, period, dtype=np.int64)
    since_load = np.clip((times - busy_from) / SECOND / fake.load_s, 0.0, 1.0)
    resident = 120 * MIB + (fake.resident_bytes - 120 * MIB) * since_load + rng.normal(0, 0.4 * MIB, len(times))
    use = np.where(times < busy_from, 0.3, fake.threads * 0.985) + rng.normal(0, 0.01, len(times))
    tree = {
        "rss_bytes": resident * 1.06,
        "cpu_utilisation_ratio": use,
        "cpu_seconds": np.cumsum(use) / fake.rate_hz,
        "threads_count": np.full(len(times), 7.0),
    }
    host = {
        "cpu_utilisation_ratio": np.clip(use / 2 + 0.02, 0, 1),
        "steal_ratio": np.full(len(times), 0.001),
        "memory_available_bytes": np.full(len(times), 6.1e9),
        "pressure_cpu_ratio": np.full(len(times), 0.01),
        "foreign_cpu_ratio": np.clip(0.03 + rng.normal(0, 0.01, len(times)), 0, None),
    }
    slow = times[:: max(1, round(fake.rate_hz))]
    made: list[Record] = [
        *_batches("proc.tree", times, tree),
        *_batches("proc.host", times, host),
        *_batches(
            "proc.tree",
            slow,
            {"pss_bytes": resident[:: max(1, round(fake.rate_hz))], "swap_bytes": np.zeros(len(slow))},
        ),
    ]
    if fake.device == "gpu":
        busy = times >= busy_from
        if idle is not None:
            busy &= (times < idle.start_ns) | (times > idle.t_ns)
        power = np.where(busy, fake.power_watts, fake.idle_watts) + rng.normal(0, 2.0, len(times))
        gpu = {
            "memory_used_bytes": 600 * MIB + np.where(busy, fake.tensor_bytes * 1.3, 0.0),
            "utilisation_ratio": np.where(busy, 0.93, 0.0) + rng.normal(0, 0.01, len(times)) * busy,
            "temperature_celsius": 41 + 4 * since_load,
            "throttle_reasons_bits": np.zeros(len(times)),
        }
        if fake.power_sensor:
            gpu |= {"power_watts": power, "energy_joules": 1e6 + np.cumsum(power) / fake.rate_hz}
        made += _batches(GPU, times, gpu)
        made += _batches(GPU, slow, {"process_memory_bytes": np.full(len(slow), fake.tensor_bytes * 1.25)})
    return made


def _batches(source: str, times: np.ndarray, columns: dict[str, np.ndarray], size: int = 10) -> list[Record]:
    return [
        Telemetry(
            source=source,
            t_ns=int(times[i : i + size][-1]),
            times_ns=[int(t) for t in times[i : i + size]],
            columns={name: [float(v) for v in values[i : i + size]] for name, values in columns.items()},
        )
        for i in range(0, len(times), size)
    ]


def order(fake: FakeTrial, *, block: int = 0, position: int = 0, total: int = 1, color: int = 0) -> TrialOrder:
    """The order that the fake trial would have come from."""
    model = ModelOrder(
        ref="smollm2-135m-instruct",
        title="SmolLM2-135M-Instruct",
        kind="folder",
        path="models/smollm2",
        origin="dequantised from Q4_1",
        fingerprint="f" * 16,
    )
    return trial_order(
        fake.trial,
        experiment="e-fake",
        store="s-fake",
        configuration=f"c-{fake.precision}",
        title=f"{model.title} · {fake.precision}",
        block=block,
        position=position,
        total=total,
        seed=7,
        experiment_title="precision of SmolLM2",
        color=color,
        model=model,
        techniques=(TechniqueOrder(id=f"precision.{fake.precision}"),),
        workload=Inference(
            prompt_tokens=fake.prompt_tokens,
            new_tokens=fake.new_tokens,
            batch_size=fake.batch_size,
            requests=fake.requests,
            perplexity_tokens=512,
        ),
        engine=EngineOrder(settings={"attention": "sdpa"}),
        device="cpu" if fake.device == "cpu" else f"cuda:{GPU.removeprefix('nvml.')}",
    )


def clock_jump(stream: tuple[Record, ...], seconds: float = 30.0) -> tuple[Record, ...]:
    """The same stream with the wall clock stepped by `seconds` before its end."""
    return tuple(
        msgspec.structs.replace(
            r, clock=ClockPair(wall_ns=r.clock.wall_ns + round(seconds * SECOND), mono_ns=r.clock.mono_ns)
        )
        if isinstance(r, TrialEnded)
        else r
        for r in stream
    )


def with_cue(stream: tuple[Record, ...], code: str, text: str) -> tuple[Record, ...]:
    """The same stream with a cue of the worker just before its end, numbered again."""
    put_in = (*stream[:-1], Cue(code=code, text=text, t_ns=stream[-1].t_ns), stream[-1])
    return tuple(msgspec.structs.replace(r, seq=i) for i, r in enumerate(put_in, start=1))
