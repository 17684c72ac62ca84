"""A fake experiment over prompt lengths: figures by a stated law, a configuration for each architecture and length."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tests.builders import experiment_row, trial_row
from workbench.metrics.registry import metric
from workbench.store.operations import ConfigurationRow, ExperimentDetail, MetricRow, TrialRow

Laws = Mapping[str, Callable[[float], float]]
"""By metric: its value at a length."""


def lengths_detail(
    laws: Mapping[str, Laws],
    *,
    lengths: Sequence[int] = (512, 1024, 2048, 4096),
    blocks: int = 3,
    spread: float = 0.01,
    facts: Mapping[str, Mapping[str, str]] | None = None,
    seed: int = 1,
) -> ExperimentDetail:
    """`laws` by architecture, which is a model here; `facts` of its trials. Counted figures do not scatter."""
    rng = np.random.default_rng(seed)
    configurations, trials, metrics = list[ConfigurationRow](), list[TrialRow](), list[MetricRow]()
    environments: dict[str, dict[str, str]] = {}
    for color, (name, its) in enumerate(laws.items()):
        for length in lengths:
            order = {
                "model": {"kind": "random", "title": name, "path": ""},
                "techniques": [],
                "workload": {"kind": "inference", "prompt_tokens": length, "new_tokens": 8},
                "device": "cpu",
            }
            configuration = f"c-{name}-{length}"
            configurations.append(
                ConfigurationRow(
                    configuration=configuration, experiment="e", title=f"{name} · {length}", color=color,
                    position=len(configurations), model=name, resolved=json.dumps(order),
                )
            )  # fmt: skip
            for block in range(blocks):
                trial = f"t-{name}-{length}-{block}"
                environments[trial] = dict((facts or {}).get(name, {}))
                trials.append(
                    trial_row(
                        trial, number=len(trials) + 1, experiment="e", experiment_name="lengths",
                        configuration=configuration, title=name, color=color, block=block, position=len(trials),
                        started_at="", ended_at="",
                    )
                )  # fmt: skip
                for id, law in its.items():
                    known = metric(id)
                    factor = 1.0 if known.exact else float(np.exp(rng.normal(0, spread)))
                    metrics.append(
                        MetricRow(
                            trial=trial, metric=id, version=known.version, value=law(length) * factor, unit=known.unit,
                            method="made up", scope="", n=1, reason="",
                        )
                    )  # fmt: skip
    return ExperimentDetail(
        experiment=experiment_row(len(trials), "e", "lengths"),
        configurations=tuple(configurations),
        trials=tuple(trials),
        metrics=tuple(metrics),
        reasons=(),
        environments=environments,
    )
