"""A fake experiment: four precisions of one small model in blocks, its figures computed from fake trials (`synthetic`).

Not part of the product. `experiment_detail()` is what the store would give for it, for tests and for looking at the
window while it is built.
"""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import numpy as np

from engines.protocol.codec import encode_record
from engines.protocol.records import Evaluation, TrialEnded
from tests.builders import experiment_row, trial_row
from tests.workbench.synthetic import GPU, MIB, SECOND, START_NS, FakeTrial, clock_jump, order, records
from workbench.metrics.evaluate import evaluate_trial
from workbench.store.operations import ConfigurationRow, ExperimentDetail, MetricRow, ReasonRow, TrialRow

CONFIGURATIONS: dict[str, FakeTrial] = {
    "float32": FakeTrial(precision="float32", tokens_per_second=20.0, prefill_s=0.21, tensor_bytes=538_060_032),
    "bfloat16": FakeTrial(
        precision="bfloat16",
        tokens_per_second=27.0,
        prefill_s=0.33,
        tensor_bytes=269_030_016,
        resident_bytes=640 * MIB,
        perplexity=21.44,
    ),
    "int8": FakeTrial(
        precision="int8",
        tokens_per_second=20.1,
        prefill_s=0.24,
        tensor_bytes=163_000_000,
        resident_bytes=520 * MIB,
        perplexity=22.9,
    ),
    "float16": FakeTrial(
        precision="float16",
        tokens_per_second=9.0,
        prefill_s=1.1,
        tensor_bytes=269_030_016,
        resident_bytes=650 * MIB,
        perplexity=21.41,
    ),
}
"""Four precisions of one small model on a processor without power sensor; float16 is the slow one."""


def experiment_detail(
    blocks: int = 5,
    *,
    gpu: bool = False,
    fail: bool = True,
    disturb: bool = True,
    seed: int = 3,
    between_sd: float = 0.02,
) -> ExperimentDetail:
    """A finished experiment of four configurations x `blocks`.

    With `fail`, the float16 trial of block 1 ran out of memory; with `disturb`, the int8 trial of the last block ran on
    a clock that jumped, so that it is invalid. With `gpu` there are power readings, except in one bfloat16 trial.
    """
    rng = np.random.default_rng(seed)
    trials: list[TrialRow] = []
    metrics: list[MetricRow] = []
    reasons: list[ReasonRow] = []
    environments: dict[str, dict[str, str]] = {}
    evaluations: dict[str, tuple[str, ...]] = {}
    configurations: list[ConfigurationRow] = []
    total = blocks * len(CONFIGURATIONS)
    for color, (name, base) in enumerate(CONFIGURATIONS.items()):
        resolved = json.loads(msgspec.json.encode(order(base, color=color)))
        for key in ("trial", "block", "position", "seed"):
            resolved.pop(key, None)
        configurations.append(
            ConfigurationRow(
                configuration=f"c-{name}",
                experiment="e-fake",
                title=f"SmolLM2-135M-Instruct · {name}",
                color=color,
                position=color,
                model="SmolLM2-135M-Instruct",
                resolved=json.dumps(resolved),
            )
        )
    for block in range(blocks):
        drift = float(rng.normal(0.0, between_sd))
        for place, color in enumerate(rng.permutation(len(CONFIGURATIONS))):
            name, base = list(CONFIGURATIONS.items())[color]
            number = len(trials) + 1
            fake = replace(
                base,
                trial=f"t-{number:03d}",
                seed=seed * 1000 + number,
                device="gpu" if gpu else "cpu",
                power_sensor=not (name == "bfloat16" and block == 0),
                between_sd=between_sd,
                block_drift=drift,
                outcome="failed" if fail and name == "float16" and block == min(1, blocks - 1) else "completed",
            )
            stream = records(fake)
            if disturb and name == "int8" and block == blocks - 1 and blocks > 1:
                stream = clock_jump(stream)
            rows, why, verdict = evaluate_trial(fake.trial, stream)
            ended = next(r for r in stream if isinstance(r, TrialEnded))
            trials.append(
                trial_row(
                    fake.trial,
                    number=number,
                    experiment="e-fake",
                    experiment_name="precision of SmolLM2",
                    configuration=f"c-{name}",
                    title=f"SmolLM2-135M-Instruct · {name}",
                    color=int(color),
                    block=block,
                    position=block * len(CONFIGURATIONS) + place,
                    device="cpu" if not gpu else f"cuda:{GPU.removeprefix('nvml.')}",
                    outcome=ended.outcome,
                    failure=ended.failure or None,
                    message=ended.message or None,
                    advice=ended.advice or None,
                    verdict=verdict,
                    last_seq=len(stream),
                    submitted_at="2026-10-01T12:00:00Z",
                    started_at=f"2026-10-01T12:{number // 2:02d}:00Z",
                    ended_at=f"2026-10-01T12:{number // 2:02d}:20Z",
                    duration_s=(stream[-1].t_ns - START_NS) / SECOND,
                )
            )
            metrics += rows
            evaluations[fake.trial] = tuple(encode_record(r).decode() for r in stream if isinstance(r, Evaluation))
            reasons += why
            environments[fake.trial] = {"cpu.model": "Example CPU at 2.4 GHz", "python": "3.11.2", "torch": "2.13.0"}
    failed = sum(t.outcome == "failed" for t in trials)
    return ExperimentDetail(
        experiment=experiment_row(
            total,
            "e-fake",
            "precision of SmolLM2",
            number=12,
            created_at="2026-10-01T12:00:00Z",
            completed=total - failed,
            failed=failed,
        ),
        configurations=tuple(configurations),
        trials=tuple(trials),
        metrics=tuple(metrics),
        reasons=tuple(reasons),
        environments=environments,
        evaluations=evaluations,
    )


def slowed_detail(metric: str = "decode_tokens_per_second", factor: float = 0.7) -> tuple[ExperimentDetail, str]:
    """Five quiet blocks in which the last trial of bfloat16 was slow, and that trial's id."""
    detail = experiment_detail(between_sd=0.01, fail=False, disturb=False)
    trial = next(t.trial for t in reversed(detail.trials) if t.configuration == "c-bfloat16")
    metrics = tuple(
        msgspec.structs.replace(row, value=row.value * factor)
        if (row.trial, row.metric) == (trial, metric) and row.value is not None
        else row
        for row in detail.metrics
    )
    return msgspec.structs.replace(detail, metrics=metrics), trial
