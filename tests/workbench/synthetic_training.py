"""Fake training trials by a stated course: steps of one length, held-out losses where they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from engines.protocol.codec import encode_record
from engines.protocol.records import (
    ClockPair,
    Environment,
    Evaluation,
    PhaseEnded,
    Record,
    Step,
    Telemetry,
    TrialEnded,
    TrialStarted,
)
from tests.builders import experiment_row, model_loaded, trial_row
from workbench.metrics.evaluate import evaluate_trial
from workbench.store.operations import ConfigurationRow, ExperimentDetail, MetricRow, ReasonRow, TrialRow

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
        model_loaded(details={"trained_parameters": "40"}),
    ]
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


@dataclass(frozen=True)
class Run:
    """A configuration of a fake experiment: a method at a learning rate."""

    method: str
    """Id of a technique, with a parameter that tells two apart: "finetune.lora rank=4"."""
    rate: float
    loss: float
    """Its held-out and test loss after training, before the seeds' own factors."""
    workload: Mapping[str, object] = field(default_factory=dict)
    facts: Callable[[int], Mapping[str, str]] = lambda _: {}
    """By seed."""
    diverged: bool = False


def training_detail(
    runs: Sequence[Run], *, seeds: int = 3, spread: float = 0.004, test: bool = True, seed: int = 1
) -> ExperimentDetail:
    """A finished experiment: every run in every block, whose losses have a factor of their own of sd `spread`."""
    rng = np.random.default_rng(seed)
    configurations, trials = list[ConfigurationRow](), list[TrialRow]()
    metrics, reasons = list[MetricRow](), list[ReasonRow]()
    environments, evaluations = dict[str, dict[str, str]](), dict[str, tuple[str, ...]]()
    for position, run in enumerate(runs):
        id, _, parameter = run.method.partition(" ")
        name, _, value = parameter.partition("=")
        order = {
            "model": {"kind": "random", "path": "", "title": "m"},
            "techniques": [{"id": id, "parameters": {name: int(value)} if name else {}}],
            "workload": {
                "kind": "training", "steps": 10, "warmup_steps": 2, "batch_size": 2, "sequence_tokens": 32,
                "learning_rate": run.rate, **run.workload,
            },
            "device": "cpu",
        }  # fmt: skip
        title = f"{parameter or id} at {run.rate:g}"
        configurations.append(
            ConfigurationRow(
                configuration=f"c-{position}", experiment="e", title=title, color=position, position=position,
                model="m", resolved=json.dumps(order),
            )
        )  # fmt: skip
        for block in range(seeds):
            factor = float(np.exp(rng.normal(0, spread)))
            trial, facts = f"t-{position}-{block}", dict(run.facts(block))
            said = training(
                {0: 4.0, 6: (4.0 + run.loss * factor) / 2, 12: run.loss * factor},
                test=run.loss * factor * 1.01 if test else None,
                data_s=0.05,
                facts=facts,
            )
            if not run.diverged:
                rows, why, verdict = evaluate_trial(trial, said)
                metrics += rows
                reasons += [ReasonRow(trial=trial, code=r.code, severity=r.severity, message=r.message) for r in why]
                evaluations[trial] = tuple(encode_record(r).decode() for r in said if isinstance(r, Evaluation))
            environments[trial] = facts
            trials.append(
                trial_row(
                    trial, number=len(trials) + 1, experiment="e", experiment_name="fake",
                    configuration=f"c-{position}", title=title, color=position, block=block, position=len(trials),
                    outcome="failed" if run.diverged else "completed",
                    failure="diverged" if run.diverged else None,
                    verdict="invalid" if run.diverged else verdict,
                )
            )  # fmt: skip
    row = experiment_row(len(trials), "e", "fake", created_at="2026-11-30T08:00:00Z")
    return ExperimentDetail(
        experiment=row, configurations=tuple(configurations), trials=tuple(trials), metrics=tuple(metrics),
        reasons=tuple(reasons), environments=environments, evaluations=evaluations,
    )  # fmt: skip
