"""`llm-workbench doctor`: what this computer can run and measure, and what to do about the rest."""

from __future__ import annotations

import argparse

import msgspec

from engines.protocol.messages import ProbeResult
from workbench.cli import OK
from workbench.cli.tables import print_table
from workbench.session import Workbench
from workbench.store.operations import GetCounts
from workbench.units import format_bytes


def doctor(options: argparse.Namespace) -> int:
    """Probe the machine through the runner, open the database, say what is there and what is missing."""
    with Workbench(options.database, client="doctor") as workbench:
        result = workbench.probe(refresh=True)
        counts = workbench.store.execute(GetCounts())
        if options.json:
            whole = {"probe": result, "database": str(workbench.database), "counts": counts}
            print(msgspec.json.format(msgspec.json.encode(whole)).decode())
            return OK
        _print(result)
        print(f"\nDatabase  {workbench.database}: {counts.experiments} experiments, {counts.trials} trials, ", end="")
        print(f"{format_bytes(counts.size_bytes)}")
        print(f"Models    {workbench.places.models}")
        print(f"Spools    {workbench.places.spools}")
    return OK


def _print(result: ProbeResult) -> None:
    print(f"{result.machine}\n")
    rows = [
        (d.id, d.title, f"{format_bytes(d.memory_free_bytes)} free of {format_bytes(d.memory_total_bytes)}")
        for d in result.devices
    ]
    print_table(("device", "name", "memory"), rows)
    print("\nWhat can be measured")
    for sensor in result.sensors:
        state = "yes" if sensor.available else "no "
        why = "" if sensor.available else f": {sensor.reason} {sensor.hint}".rstrip()
        print(f"  {state}  {sensor.title} ({sensor.method or sensor.source}){why}")
    print("\nEngines")
    for package in result.packages:
        last = package.gives if package.version else package.install
        print(f"  {package.name:20} {package.version or 'missing':14} {last}")
