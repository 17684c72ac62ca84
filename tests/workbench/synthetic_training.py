"""Fake training trials by a stated course: steps of one length, held-out losses where they are asked for."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engines.protocol.records import (
    ClockPair,
    Environment,
    Evaluation,
    ModelLoaded,
    PhaseEnded,
    Record,
    Step,
    Telemetry,
    TrialEnded,
    TrialStarted,
)

SECOND = 1_000_000_000
EVALUATION_S = 3.0


def evaluation(loss: float, step: int, name: str = "held_out", **changes: object) -> Evaluation:
    made = Evaluation(
        name=name, step=step, split="validation", nll_sum=loss * 100, tokens=100, text_bytes=400,
        data_name="text", data_hash="sha256:0123456789", begin="",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def training(
    losses: Mapping[int, float],
    *,
    steps: int = 12,
    warmups: int = 2,
    step_s: float = 1.0,
    data_s: float = 0.25,
    tokens: int = 64,
    test: float | None = None,
    facts: Mapping[str, str] | None = None,
    watts: float | None = None,
) -> tuple[Record, ...]:
    """A trial of `steps` steps in all, whose held-out losses by steps done are `losses`. Each evaluation takes
    `EVALUATION_S`. With `watts` a processor's energy counter rises by them all the time, ten readings a second."""
    told: list[Record] = [
        TrialStarted(clock=ClockPair(wall_ns=0, mono_ns=0), worker_pid=1, threads=1),
        Environment(facts=dict(facts or {})),
        ModelLoaded(
            parameters=1000, tensor_bytes=4000, bytes_by_dtype={"float32": 4000}, original_bytes=4000, nominal_bits=32,
            details={"trained_parameters": "40"},
        ),
    ]  # fmt: skip
    now = 0

    def evaluate(done: int) -> None:
        nonlocal now
        if done in losses:
            start, now = now, now + round(EVALUATION_S * SECOND)
            name = "held_out_before" if done == 0 else "held_out_after" if done == steps else "held_out"
            told.append(PhaseEnded(name="evaluate", index=done, start_ns=start, t_ns=now))
            told.append(msgspec.structs.replace(evaluation(losses[done], done, name), t_ns=now))

    evaluate(0)
    for index in range(steps):
        start = now + round(data_s * SECOND)
        now = start + round(step_s * SECOND)
        told.append(
            Step(
                t_ns=now, index=index, warmup=index < warmups, start_ns=start, end_ns=now, tokens=tokens, samples=2,
                loss=4.0 - 0.1 * index, data_s=data_s,
            )
        )  # fmt: skip
        evaluate(index + 1)
    if test is not None:
        told.append(evaluation(test, steps, "test", split="test"))
    if watts is not None:
        times = list(range(0, now + SECOND, SECOND // 10))
        told.append(
            Telemetry(source="rapl", times_ns=times, columns={"energy_joules": [watts * t / SECOND for t in times]})
        )
    told.append(TrialEnded(outcome="completed", clock=ClockPair(wall_ns=now, mono_ns=now), t_ns=now))
    return tuple(msgspec.structs.replace(r, seq=i) for i, r in enumerate(told, start=1))
