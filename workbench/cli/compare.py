"""`llm-workbench compare` and `export`: what was learned."""

from __future__ import annotations

import argparse
import json
import sys

from engines.protocol.places import places
from engines.protocol.problems import Problem, ProblemsFound
from workbench.cli import NOT_FOUND, OK, WRONG
from workbench.cli.tables import print_comparison
from workbench.comparison.comparison import compare
from workbench.comparison.courses import Read, read_all
from workbench.comparison.results import Comparison
from workbench.comparison.training.reaching import reach_at
from workbench.comparison.training.which import reach_words
from workbench.machines.machine import machine_titles
from workbench.metrics.registry import METRICS, find
from workbench.metrics.training.progress import Progress
from workbench.running.workbench import Workbench
from workbench.store.operations import ExperimentDetail, GetExperiment


def _detail(options: argparse.Namespace) -> ExperimentDetail:
    with Workbench(options.database, client="compare") as workbench:
        workbench.catch_up()
        return workbench.store.execute(GetExperiment(experiment=options.experiment))


def _metrics(text: str | None) -> tuple[str, ...]:
    wanted = tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()
    unknown = [m for m in wanted if find(m) is None]
    if unknown:
        known = ", ".join(m.id for m in METRICS)
        raise ProblemsFound(
            tuple(
                Problem(
                    severity="error", place="--metrics", message=f"No metric is called {m}.", hint=f"There are: {known}"
                )
                for m in unknown
            )
        )
    return wanted


def compare_(options: argparse.Namespace) -> int:
    """Configurations against a baseline, as a table with intervals and verdicts."""
    metrics = _metrics(options.metrics)
    detail = _detail(options)
    baseline = None
    if options.baseline:
        wanted = options.baseline.lower()
        matches = [
            c.configuration
            for c in detail.configurations
            if c.configuration.startswith(wanted) or wanted in c.title.lower()
        ]
        if len(matches) != 1:
            titles = "; ".join(c.title for c in detail.configurations)
            print(
                f"llm-workbench: {options.baseline!r} names {len(matches)} configurations of: {titles}", file=sys.stderr
            )
            return NOT_FOUND
        baseline = matches[0]
    result = compare(
        detail,
        baseline=baseline,
        include_invalid=options.include_invalid,
        margin=options.margin,
        titles=machine_titles(places()),
    )
    print_comparison(result, as_json=options.json, metrics=metrics)
    if options.difference is not None and not options.json:
        seeds = result.training.seeds if result.training is not None else None
        print(
            seeds.words_needed(options.difference)
            if seeds is not None
            else "How many seeds a difference needs is not known: it takes two methods with a loss on two seeds each."
        )
    if options.target_loss is not None and not options.json:
        _print_reach(detail, result, options)
    return OK


def _print_reach(detail: ExperimentDetail, result: Comparison, options: argparse.Namespace) -> None:
    """What trials took to a loss that is chosen now, from their courses."""
    read = _read(options, detail, include_invalid=options.include_invalid)
    of_each = {
        c: [p for t in k.counted if isinstance(p := read.courses[t.trial], Progress)] for c, k in read.kept.items()
    }
    titles = result.training.titles if result.training is not None else {}
    found = reach_at(options.target_loss, of_each)
    print(f"To a held-out loss of {options.target_loss:g}, chosen after the trials: target_loss fixes it beforehand.")
    for reach in found:
        print(reach_words(reach, titles))
    if not found:
        print("No trial has a course of held-out losses.")


def _read(options: argparse.Namespace, detail: ExperimentDetail, *, include_invalid: bool = False) -> Read:
    with Workbench(options.database, client="compare") as workbench:
        return read_all(workbench.store, detail, include_invalid=include_invalid)


def export(options: argparse.Namespace) -> int:
    """Table and charts of an experiment as files, each with its provenance; or the whole experiment as a bundle."""
    if options.bundle is not None:
        from workbench.cli.stored import export_bundle

        return export_bundle(options)
    from workbench.export.bundle import FORMATS, export_comparison

    formats = tuple(part.strip() for part in options.format.split(",") if part.strip())
    unknown = [f for f in formats if f not in FORMATS]
    if unknown:
        print(f"llm-workbench: No format {', '.join(unknown)}. There are: {', '.join(FORMATS)}", file=sys.stderr)
        return WRONG
    metrics = _metrics(options.metrics)
    detail = _detail(options)
    comparison = compare(detail, titles=machine_titles(places()))
    read = _read(options, detail) if comparison.training is not None else None
    paths = export_comparison(comparison, options.to, formats=formats, metrics=metrics, theme=options.theme, read=read)
    print(json.dumps([str(p) for p in paths]) if options.json else "\n".join(str(p) for p in paths))
    return OK
