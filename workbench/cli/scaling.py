"""`llm-workbench scaling`: a scaling law over stored pretraining trials, every figure with its interval."""

from __future__ import annotations

import argparse
import json
import sys

from workbench.charts.scaling import scaling_chart
from workbench.cli import NOT_FOUND, OK
from workbench.cli.tables import print_table
from workbench.comparison.scaling import HEADER, Group, constants, optimum_words, scaling_of, sentences
from workbench.running.workbench import Workbench
from workbench.statistics.power_law import Refusal
from workbench.store.operations import GetExperiment


def scaling(options: argparse.Namespace) -> int:
    """Exit code NOT_FOUND where the experiments hold no pretraining."""
    with Workbench(options.database, client="scaling") as workbench:
        workbench.catch_up()
        details = [workbench.store.execute(GetExperiment(experiment=name)) for name in options.experiments]
    groups = scaling_of(details)
    if not groups:
        print("llm-workbench: No trial of these experiments pretrains a model.", file=sys.stderr)
        return NOT_FOUND
    if options.json:
        print(json.dumps([as_json(group) for group in groups], indent=2))
    else:
        for group in groups:
            show(group, options.compute)
    if options.to is not None:
        from workbench.export.figures import save

        options.to.mkdir(parents=True, exist_ok=True)
        print(save(scaling_chart(groups), options.to / "scaling.svg"), file=sys.stderr)
    return OK


def show(group: Group, compute: float | None) -> None:
    print("\n".join(sentences(group)))
    if isinstance(group.found, Refusal):
        return
    print()
    print_table(HEADER, constants(group.found), right=frozenset({1}))
    asked = [compute] if compute else [group.found.compute.low, group.found.compute.high]
    print("\nCompute-optimal:")
    print("\n".join(f"  {optimum_words(group.found, flops)}" for flops in asked))


def as_json(group: Group) -> dict[str, object]:
    found = group.found
    said: dict[str, object] = {"architecture": group.title, "loss": group.loss, "trials": list(group.trials)}
    if isinstance(found, Refusal):
        return said | {"refused": found.reason}
    figures = {
        name: {"value": getattr(found.law, name), "low": ends.low, "high": ends.high}
        for name, ends in found.intervals.items()
    }
    runs = [
        {"trial": r.name, "parameters": r.parameters, "tokens": r.tokens, "loss": r.loss, "over_law": ratio}
        for r, ratio in zip(found.runs, found.residuals, strict=True)
    ]
    return said | {"constants": figures, "runs": runs, "converged": found.converged, "method": found.method}
