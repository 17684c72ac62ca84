"""`llm-workbench models`, `techniques` and `metrics`: what there is to choose from."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from engines import catalogue as engine_catalogue
from engines.models.lookup.catalogue import catalogue
from engines.models.lookup.local_model import LocalModel
from engines.models.lookup.local_models import local_models
from engines.models.lookup.resolve import resolve
from engines.protocol import kinds
from engines.protocol.places import places
from engines.protocol.plugins import Broken
from engines.protocol.problems import Problem
from engines.techniques import MachineFacts, ModelFacts, Technique, axes, techniques
from engines.techniques.registry import broken
from workbench.cli import OK, WRONG
from workbench.cli.progress import Bar
from workbench.cli.tables import print_table
from workbench.metrics.registry import BROKEN, METRICS
from workbench.models.gguf_files import all_files
from workbench.models.starter import ensure_starter
from workbench.units import format_bytes, format_count

_HEAD = ("ref", "model", "size", "found in")


def models(options: argparse.Namespace) -> int:
    """Models on this computer first, then the catalogue."""
    here = places()
    if options.fetch_starter:
        with Bar() as bar:
            ensure_starter(here, bar.show)
    if options.copy or options.to:
        from workbench.cli.copying import copy_model  # imported late, as the store is

        return copy_model(options)
    if options.machine:
        return _elsewhere(options.machine, as_json=options.json)
    local = local_models(here, ())
    made = all_files(here)
    entries = catalogue()
    if options.json:
        whole = {
            "local": _rows(local),
            "catalogue": [
                {"ref": e.id, "title": e.title, "parameters": e.parameters, "architecture": e.architecture}
                for e in entries
            ],
            "made": [
                {"type": f.type, "source": f.source, "source_path": f.source_path, "path": str(f.path)}
                | {"bytes": f.size_bytes, "requantised_from": f.requantised_from}
                for f in made
            ],
        }
        print(json.dumps(whole, indent=2))
        return OK
    print("On this computer")
    print_table(_HEAD, [(m.ref, m.title, format_bytes(m.size_bytes), m.source) for m in local])
    if made:
        print("\nGGUF files made of them (llm-workbench quantise)")
        print_table(
            ("model", "type", "size", "requantised from"),
            [(f.source, f.type, format_bytes(f.size_bytes), f.requantised_from or "no") for f in made],
            right=frozenset({2}),
        )
    print('\nCatalogue ("random:REF" runs one with random weights: speed and memory are true, quality is not)')
    rows = [(e.id, e.title, format_count(e.parameters), e.architecture, e.licence) for e in entries]
    print_table(("ref", "model", "parameters", "architecture", "licence"), rows, right=frozenset({2}))
    return OK


def _rows(found: Iterable[LocalModel]) -> list[dict[str, object]]:
    return [{"ref": m.ref, "title": m.title, "bytes": m.size_bytes, "source": m.source} for m in found]


def _elsewhere(machine: str, *, as_json: bool) -> int:
    """Raises `RunnerError`."""
    from workbench.running.workbench import Workbench

    with Workbench(client="models") as workbench:
        found = workbench.models_on(machine)
    if as_json:
        print(json.dumps({"local": _rows(found)}, indent=2))
    else:
        print_table(_HEAD, [(m.ref, m.title, format_bytes(m.size_bytes), m.source) for m in found])
    return OK


def techniques_(options: argparse.Namespace) -> int:
    """Techniques by axis; with --model, what rules each out on this computer."""
    facts: tuple[ModelFacts, MachineFacts] | None = None
    if options.model:
        from workbench.machines.facts import machine_facts
        from workbench.running.workbench import Workbench

        found = resolve(options.model, places(), Path.cwd())
        if isinstance(found, Problem):
            print(f"llm-workbench: {found}", file=sys.stderr)
            return WRONG
        with Workbench(client="techniques") as workbench:
            facts = (found.facts, machine_facts(workbench.probe()))
    if options.json:
        print(json.dumps([_as_json(t, facts) for t in techniques()], indent=2))
        return OK
    for axis in axes():
        print(f"{axis.title}: {axis.sentence}")
        rows = [(t.id, t.title, (t.cannot_apply(*facts) if facts else None) or t.sentence) for t in techniques(axis.id)]
        print_table(("id", "technique", ""), rows)
    _print_broken((*broken(), *engine_catalogue.broken(), *kinds.BROKEN))
    return OK


def _print_broken(plugins: Iterable[Broken]) -> None:
    for plugin in plugins:
        print(f"{plugin.name} could not be loaded: {plugin.error}")


def _as_json(technique: Technique, facts: tuple[ModelFacts, MachineFacts] | None) -> dict[str, object]:
    return {
        "id": technique.id,
        "axis": technique.axis,
        "title": technique.title,
        "sentence": technique.sentence,
        "source": technique.source,
        "parameters": [asdict(p) for p in technique.parameters],
        "cannot_apply": technique.cannot_apply(*facts) if facts else None,
        "note": technique.note(*facts) if facts else None,
    }


def metrics(options: argparse.Namespace) -> int:
    """Every metric with its definition."""
    if options.json:
        rows = [
            {
                "id": m.id,
                "title": m.title,
                "definition": m.definition,
                "unit": m.unit,
                "better": m.better,
                "window": m.window,
                "version": m.version,
                "group": m.group,
            }
            for m in METRICS
        ]
        print(json.dumps(rows, indent=2))
    else:
        print_table(("id", "unit", "better", "definition"), [(m.id, m.unit, m.better, m.definition) for m in METRICS])
        _print_broken(BROKEN)
    return OK
