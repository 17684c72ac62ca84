"""A fake training trial by stated figures, for tests of what its records are drawn as. Not part of the product.

Step k (from 0) lasts from `FIRST_S + k` + 0.1 s to `FIRST_S + k` + 0.9 s, trains on 256 tokens at a loss of 4 - k / 10;
an evaluation before the first step and after every `every` steps takes 3 s, in which the clock alone moves on.
"""

from __future__ import annotations

from collections.abc import Iterator

from engines.protocol.records import (
    ClockPair,
    Evaluation,
    MemoryParts,
    PhaseEnded,
    PhaseStarted,
    Record,
    Sensor,
    Sensors,
    Step,
    Telemetry,
    TrialEnded,
    TrialStarted,
)
from engines.protocol.work import Training
from tests.builders import model_loaded
from workbench.charts.series import TrialData

S = 10**9
FIRST_S = 5
"""When the first evaluation is over and steps begin."""
EVALUATION_S = 3
TOKENS = 256
WATTS = 50.0
NO_METER = "energy_uj is readable by root only."
MIB = 1024**2
PARTS = MemoryParts(
    weights_bytes=500 * MIB,
    gradients_bytes=20 * MIB,
    optimiser_bytes=40 * MIB,
    activations_bytes=200 * MIB,
    temporary_bytes=40 * MIB,
    peak_bytes=800 * MIB,
    method="saved_tensors",
)


def training_records(
    steps: int = 10, *, every: int = 4, meter: bool = True, parts: bool = False, ended: bool = True
) -> Iterator[Record]:
    """The stream as the runner sends it; telemetry of a second comes after what happened in it. With `meter` the
    processor takes `WATTS` all the time."""
    yield TrialStarted(clock=ClockPair(wall_ns=0, mono_ns=0), worker_pid=1, threads=2)
    reason = "" if meter else NO_METER
    yield Sensors(
        sensors=tuple(
            Sensor(source="rapl", quantity=q, title=q, method="powercap", available=meter, reason=reason)
            for q in ("power_watts", "energy_joules")
        )
    )
    yield model_loaded(device="cpu")
    yield PhaseEnded(name="load", start_ns=0, t_ns=2 * S)
    yield from _evaluation("held_out_before", 0, 2)
    if parts:
        yield PARTS
    yield PhaseStarted(name="warmup", t_ns=FIRST_S * S)
    at, read, stretch, began = FIRST_S, 0, 0, 0
    for index in range(steps):
        if index == 2:
            yield PhaseEnded(name="warmup", start_ns=FIRST_S * S, t_ns=at * S)
            yield PhaseStarted(name="measure", t_ns=at * S)
            began = at
        yield Step(
            index=index,
            warmup=index < 2,
            start_ns=at * S + S // 10,
            end_ns=at * S + 9 * S // 10,
            tokens=TOKENS,
            samples=2,
            loss=4 - index / 10,
            gradient_norm=1.0 + (index == 3),
            learning_rate=1e-3 * (steps - index) / steps,
            data_s=0.1,
        )
        at += 1
        if (index + 1) % every == 0:
            if index > 1:
                yield PhaseEnded(name="measure", index=stretch, start_ns=began * S, t_ns=at * S)
            yield from _evaluation("held_out", index + 1, at)
            at += EVALUATION_S
            if index > 1:
                stretch, began = stretch + 1, at
                yield PhaseStarted(name="measure", index=stretch, t_ns=at * S)
        if meter:
            halves = range(read, 2 * at + 1)
            yield Telemetry(
                source="rapl",
                times_ns=[h * S // 2 for h in halves],
                columns={"power_watts": [WATTS] * len(halves), "energy_joules": [WATTS * h / 2 for h in halves]},
            )
            read = 2 * at + 1
    if ended:
        yield PhaseEnded(name="measure", index=stretch, start_ns=began * S, t_ns=at * S)
        yield TrialEnded(outcome="completed", clock=ClockPair(wall_ns=0, mono_ns=(at + 1) * S))


def _evaluation(name: str, step: int, at: int) -> Iterator[Record]:
    yield PhaseStarted(name="evaluate", index=step, t_ns=at * S)
    yield PhaseEnded(name="evaluate", index=step, start_ns=at * S, t_ns=(at + EVALUATION_S) * S)
    yield Evaluation(
        name=name,
        step=step,
        split="validation",
        nll_sum=100 * held_out(step),
        tokens=100,
        text_bytes=400,
        data_name="built-in",
        data_hash="sha256:0",
        t_ns=(at + EVALUATION_S) * S,
    )


def held_out(step: int) -> float:
    """Falls to step 8, then rises."""
    return 4.2 - 0.1 * step if step <= 8 else 3.4 + 0.05 * (step - 8)


def training_trial(planned: int = 10, **asked: object) -> TrialData:
    data = TrialData(trial="t-1", title="SmolLM2 · LoRA", color=2)
    data.take_order(Training(steps=planned - 2, warmup_steps=2))
    for record in training_records(**asked):  # type: ignore[arg-type]
        data.take(record)
    return data
