"""`llm-workbench doctor`: what this computer can run and measure, and what to do about the rest."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec

from engines.protocol.messages import ProbeResult
from workbench.cli import DOWNLOAD, OK, WRONG
from workbench.cli.tables import print_table
from workbench.machines.installing import InstallRun, NothingToInstall, expand, installation
from workbench.running.workbench import Workbench
from workbench.store.operations import GetCounts
from workbench.units import format_bytes


def doctor(options: argparse.Namespace) -> int:
    """Probe the machine through the runner, open the database, say what is there and what is missing."""
    with Workbench(options.database, client="doctor") as workbench:
        result = workbench.probe(refresh=True)
        if options.install:
            return install(workbench, result, options.install, ask=not options.yes)
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


def install(workbench: Workbench, result: ProbeResult, names: Sequence[str], *, ask: bool) -> int:
    """Say what would be run, ask, run it with its output, look at the machine again. -> exit code"""
    try:
        plan = installation(expand(names), result)
    except NothingToInstall as error:
        print(error)
        return OK if str(error).startswith("It is installed") else WRONG
    print(plan.command)
    for text in plan.cautions:
        print(f"  {text}")
    for problem in plan.problems:
        print(f"  {problem.message}\n    {problem.hint}")
    if not plan.can_start:
        print("Nothing was changed.")
        return WRONG
    if ask and input("Run it? [y/N] ").strip().lower() not in ("y", "yes"):
        print("Nothing was changed.")
        return OK
    run = InstallRun(plan, print, lambda _code: None)
    try:
        code = run.wait()
    except KeyboardInterrupt:
        run.stop()
        run.wait()
        raise
    if code:
        print(f"llm-workbench: pip ended with code {code}; the lines above say why.", file=sys.stderr)
        return DOWNLOAD
    there = {p.name: p.version for p in workbench.probe(refresh=True).packages}
    print(f"Installed: {', '.join(f'{name} {there.get(name, str())}'.strip() for name in plan.packages)}")
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
