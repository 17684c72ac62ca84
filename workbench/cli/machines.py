"""`llm-workbench machines`: the machines that trials run on; trying one and setting one up."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict

import msgspec

from engines.protocol.messages import QueueState
from engines.protocol.places import places
from engines.protocol.problems import ProblemsFound
from workbench.cli import OK, RUNNER
from workbench.cli.tables import print_table
from workbench.machines.host_keys import accept, host_key
from workbench.machines.machine import Machine, MachinesError, Slurm, Ssh, find, keep, machines
from workbench.machines.machine import remove as forget
from workbench.machines.restart import renew_runner, restart_runner
from workbench.machines.setup.plan import Choice, SetUpPlan, Step
from workbench.machines.setup.remote_helper import VERSIONS
from workbench.machines.setup.run import Output, SetUpRun, StepStarted, Told, look
from workbench.machines.setup.sizes import Sizes, sizes
from workbench.machines.setup.target import home_of, python_of, shell_of, with_python
from workbench.machines.setup.wheel import engines_wheel
from workbench.machines.ssh_config import details
from workbench.machines.trying import Tried, try_machine
from workbench.units import format_bytes

_GIB = 1 << 30


def list_(options: argparse.Namespace) -> int:
    """Every machine with how it is reached; nothing is connected to."""
    known = machines(places())
    if options.json:
        print(json.dumps([_as_json(machine) for machine in known], indent=2))
        return OK
    rows = [(m.id, m.title, m.kind, _reached(m), _set_up(m)) for m in known]
    print_table(("id", "title", "kind", "reached as", "engines"), rows)
    return OK


def add(options: argparse.Namespace) -> int:
    """Keep a machine in machines.toml. What its host is called is checked with OpenSSH; it is not connected to."""
    if not options.host and not options.slurm:
        raise MachinesError("A machine needs --host HOST, or --slurm for a cluster.", "As in: --host gpu.example.org")
    for name in ("python", "home"):
        if getattr(options, name) and not getattr(options, name).startswith("/"):
            raise MachinesError(f"--{name} {getattr(options, name)} is no absolute path.", "It begins with /.")
    login: Ssh | None = None
    if options.host:
        login = Ssh(host=options.host, port=options.port, python=options.python, home=options.home)
        details(login)
    reach: Ssh | Slurm | None = login
    if options.slurm:
        own = {} if login is not None else {"python": options.python, "home": options.home}
        try:
            reach = Slurm(
                login=login,
                partition=options.partition,
                account=options.account,
                constraint=options.constraint,
                time_limit_minutes=options.minutes,
                gpus=options.gpus,
                cpus=options.cpus,
                memory_bytes=round(options.memory * _GIB),
                allocations=options.allocations,
                **own,
            )
        except ValueError as error:
            raise MachinesError(f"{options.machine} was not kept. {error}") from error
    assert reach is not None
    machine = Machine(id=options.machine, title=options.title or options.machine, reach=reach)
    keep(places(), machine)
    if options.json:
        print(json.dumps(_as_json(machine), indent=2))
    else:
        print(f"{machine.id} is kept. Next: llm-workbench machines test {machine.id}")
    return OK


def remove(options: argparse.Namespace) -> int:
    forget(places(), options.machine)
    print(json.dumps({"removed": options.machine}) if options.json else f"{options.machine} is forgotten.")
    return OK


def test(options: argparse.Namespace) -> int:
    """Each step as it ends, then what room things take there. -> 4 where a step failed"""
    here = places()
    machine = find(here, options.machine)
    if options.accept:
        _accept(machine, options.accept)
    tried = try_machine(machine, here, _ignore if options.json else _print_tried)
    works = tried[-1].state != "failed"
    room = sizes(shell_of(machine, here), home_of(machine)) if works and machine.kind != "local" else None
    if options.json:
        found = [{k: v for k, v in asdict(t).items() if v or k != "key"} for t in tried]
        print(json.dumps({"works": works, "steps": found, "disk": asdict(room) if room else None}, indent=2))
    elif room is not None:
        _print_sizes(room)
    return OK if works else RUNNER


def setup(options: argparse.Namespace) -> int:
    """Look, show every command, ask, run them, keep the interpreter. -> 4 where it failed"""
    here = places()
    machine = find(here, options.machine)
    shell = shell_of(machine, here)
    choice = Choice(
        engines=tuple(options.engines), python=options.python, home=home_of(machine), index=options.index,
        anew=options.anew,
    )  # fmt: skip
    plan = look(shell, choice)
    if not plan.can_start:
        raise ProblemsFound(plan.problems)
    say: Callable[[str], None] = _to_errors if options.json else print
    _print_plan(plan, say)
    if options.show:
        if options.json:
            print(json.dumps(_plan_as_json(plan), indent=2))
        return OK
    if not options.yes and not _agreed():
        say("Nothing was changed.")
        return OK
    run = SetUpRun(shell, plan, lambda told: _say_told(told, len(plan.steps), say), options.python)
    python = run.run()
    machine = with_python(machine, python)
    keep(here, machine)
    say(f"{machine.title} has the engines: {python}")
    say(f"{renew_runner(machine, here)} Next: llm-workbench machines test {machine.id}".lstrip())
    if options.json:
        print(json.dumps({**_plan_as_json(plan), "set_up": True}, indent=2))
    return OK


def restart(options: argparse.Namespace) -> int:
    """End the runner of a machine and start it again, with --wait after the trials that run there."""
    here = places()
    machine = find(here, options.machine)
    told: list[str] = []

    def wait(state: QueueState) -> None:
        running = ", ".join(entry.title for entry in state.in_state("running"))
        if told[-1:] != [running]:
            told.append(running)
            _to_errors(f"Waiting for {running}. No other trial starts meanwhile; Ctrl+C leaves the runner as it is.")

    pid = restart_runner(machine, here, wait if options.wait else None)
    if options.json:
        print(json.dumps({"restarted": machine.id, "pid": pid}))
    else:
        print(f"The runner on {machine.title} was restarted: process {pid}.")
    return OK


def _accept(machine: Machine, fingerprint: str) -> None:
    reach = machine.reach.login if isinstance(machine.reach, Slurm) else machine.reach
    if not isinstance(reach, Ssh):
        raise MachinesError(f"{machine.title} is not reached over SSH and has no host key.")
    key = host_key(reach)
    if key.state == "known":
        return
    if fingerprint not in key.fingerprints:
        raise MachinesError(
            f"{machine.title} shows another host key: {', '.join(key.fingerprints)}.", "Nothing was accepted."
        )
    accept(reach, key)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise MachinesError("Nobody can be asked here.", "Add --yes to run these commands, or --show to see them only.")
    return input("Run them? [y/N] ").strip().lower() in ("y", "yes")


def _to_errors(text: str) -> None:
    print(text, file=sys.stderr)


def _ignore(_tried: Tried) -> None: ...


def _print_tried(tried: Tried) -> None:
    mark = {"ok": "yes ", "note": "note", "failed": "NO  "}[tried.state]
    print(f"{mark}  {tried.title:9} {tried.said}")
    if tried.advice:
        print(f"                {tried.advice}")


def _print_sizes(room: Sizes) -> None:
    print(f"      {'Disk':9} {format_bytes(room.free_bytes)} free")
    for folder in room.folders:
        size = "none yet" if folder.size_bytes is None else format_bytes(folder.size_bytes)
        print(f"                {folder.name:9} {size:>10}  {folder.path}")


def _print_plan(plan: SetUpPlan, tell: Callable[[str], None]) -> None:
    for text in plan.cautions:
        tell(f"note: {text}")
    for number, step in enumerate(plan.steps, start=1):
        tell(_step_line(number, len(plan.steps), step))
        tell(f"      {step.command}")


def _step_line(number: int, of: int, step: Step) -> str:
    needs = f" (needs {step.needs})" if step.needs else ""
    return f"[{number}/{of}] {step.title}{needs}"


def _say_told(told: Told, of: int, tell: Callable[[str], None]) -> None:
    if isinstance(told, StepStarted):
        tell(_step_line(told.number, of, told.step))
        tell(f"      {told.step.command}")
    elif isinstance(told, Output):
        tell(f"      {told.line}")


def _plan_as_json(plan: SetUpPlan) -> dict[str, object]:
    return {
        "python": plan.python,
        "environment": plan.environment,
        "packages": plan.lock.text.splitlines() if plan.lock else [],
        "cautions": plan.cautions,
        "steps": [{"id": s.id, "title": s.title, "command": s.command, "needs": s.needs} for s in plan.steps],
    }


def _as_json(machine: Machine) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(machine)
    return {**found, "kind": machine.kind}


def _reached(machine: Machine) -> str:
    reach = machine.reach
    if isinstance(reach, Ssh):
        return f"ssh {reach.host}" + (f" -p {reach.port}" if reach.port else "")
    if isinstance(reach, Slurm):
        where = f"ssh {reach.login.host}" if reach.login else "this computer"
        return f"Slurm on {where}" + (f", {reach.partition}" if reach.partition else "")
    return "here"


def _set_up(machine: Machine) -> str:
    if machine.kind == "local":
        return "this application's"
    python = python_of(machine)
    again = f"llm-workbench machines setup {machine.id}"
    if not python:
        return f"not set up: {again}"
    if f"/{VERSIONS}/" in python and f"/{VERSIONS}/{engines_wheel().content}/" not in python:
        return f"another version than here: {again}"
    return python
