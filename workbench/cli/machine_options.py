"""Arguments of `llm-workbench machines`. Imported with the whole command line: argparse only."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add_machines(machines: argparse.ArgumentParser, number: Callable[[str], float]) -> None:
    """list, add, test, setup, restart, remove."""
    commands = machines.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, help: str, *, named: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(handler="machines:" + (name if named else "list_"))
        if named:
            sub.add_argument("machine", metavar="MACHINE", help="its id, as experiment files name it")
        sub.add_argument("--json", action="store_true", help="print JSON for scripts")
        return sub

    add("list", "Machines that trials can run on.", named=False)

    new = add("add", "Add a machine, or change how one is reached.")
    new.add_argument("--host", default="", metavar="HOST", help="a name of ~/.ssh/config, or [user@]address")
    new.add_argument("--port", type=int, default=0, metavar="N", help="(as OpenSSH decides)")
    new.add_argument("--title", default="", help="what people read (the id)")
    new.add_argument("--python", default="", metavar="PATH", help="interpreter there that has the engines already")
    new.add_argument(
        "--home", default="", metavar="PATH", help="one folder there for everything (the user's own folders)"
    )
    slurm = new.add_argument_group("a cluster", "Slurm's commands are on HOST, or on this computer without --host.")
    slurm.add_argument("--slurm", action="store_true", help="its nodes run the trials, as Slurm gives them")
    for name in ("partition", "account", "constraint"):
        slurm.add_argument(f"--{name}", default="", help="as sbatch takes it")
    slurm.add_argument("--minutes", type=int, default=60, metavar="N", help="time limit of an allocation (60)")
    slurm.add_argument("--gpus", type=int, default=0, metavar="N", help="GPUs of an allocation (0)")
    slurm.add_argument("--cpus", type=int, default=1, metavar="N", help="processors of an allocation (1)")
    slurm.add_argument(
        "--memory", type=number, default=0, metavar="GIB", help="memory of an allocation (as it decides)"
    )
    slurm.add_argument("--allocations", type=int, default=1, metavar="N", help="how many at a time (1)")

    test = add("test", "Try a machine: host key, login, Python, engines, runner, clock, devices, disk.")
    test.add_argument("--accept", default="", metavar="FINGERPRINT", help="trust the host key with this fingerprint")

    setup = add("setup", "Install the engines of this version on a machine, without root.")
    setup.add_argument("--engines", nargs="+", default=[], metavar="NAME", help="engines beside the runner (none)")
    setup.add_argument("--python", default="", metavar="PATH", help="interpreter there to use (the one that fits best)")
    setup.add_argument("--index", default="", metavar="URL", help="a further package index, for another build of torch")
    setup.add_argument("--anew", action="store_true", help="make the environment again where it is there")
    setup.add_argument("--show", action="store_true", help="show the commands; change nothing")
    setup.add_argument("--yes", action="store_true", help="do not ask before running them")

    restart = add("restart", "Restart the runner of a machine, after an update; its queue stays.")
    restart.add_argument("--wait", action="store_true", help="first let the trials that run there end")

    add("remove", "Forget a machine; its stored trials stay, and so do its files.")
