"""What the add sheet asks for, by kind of machine, and the machine made of it. No Qt."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec

from engines.protocol.job_settings import JobSettings
from workbench.machines.machine import Local, Machine, MachinesError, Reach, Slurm, Ssh, check_id

GIB = 1 << 30
_ANY = ("ssh", "slurm")


@dataclass(frozen=True)
class Field:
    key: str
    label: str
    hint: str
    kinds: tuple[str, ...] = _ANY
    more: bool = False
    """Behind "More": few need it."""
    unit: str = ""
    least: int | None = None
    """A whole number of at least this; None: text."""


FIELDS = (
    Field("host", "Host", "A name from ~/.ssh/config, or user@address"),
    Field("title", "Title", "What lists and charts call it"),
    Field("id", "Id", "What experiment files and commands call it; it cannot be changed later"),
    Field("partition", "Partition", "Empty for the cluster's default", ("slurm",)),
    Field("account", "Account", "Empty for your default", ("slurm",)),
    Field("gpus", "GPUs", "Of each allocation", ("slurm",), least=0),
    Field("cpus", "CPUs", "Of each allocation", ("slurm",), least=1),
    Field("memory", "Memory", "Of each allocation; 0 for the partition's default", ("slurm",), unit="GiB", least=0),
    Field(
        "time_limit",
        "Time limit",
        "Of each allocation; what is left then is queued again",
        ("slurm",),
        unit="min",
        least=1,
    ),
    Field("allocations", "Allocations", "How many may be asked for at a time", ("slurm",), least=1),
    Field("constraint", "Constraint", "As for sbatch --constraint", ("slurm",), more=True),
    Field("port", "Port", "0: as OpenSSH decides", more=True, least=0),
    Field("python", "Python", "Absolute path of an interpreter there that has the engines", more=True),
    Field("home", "Home", "Folder for everything the workbench keeps there", more=True),
)
LOGIN = Field("host", "Login node", "As for SSH; empty where Slurm's commands are on this computer")
"""The same field for a cluster."""
DEFAULTS = {"gpus": "0", "cpus": "1", "memory": "0", "time_limit": "60", "allocations": "1", "port": "0"}
_HIGHEST_PORT = 65535
_ODD = re.compile(r"[^a-z0-9_]+")


class Unfit(Exception):
    """What is wrong, by field."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        super().__init__("; ".join(wrong.values()))
        self.wrong = dict(wrong)


def fields_of(kind: str) -> tuple[Field, ...]:
    return tuple(f for f in FIELDS if kind in f.kinds)


def proposed_id(host: str, taken: Collection[str]) -> str:
    """From the host's own name: "bench@GPU-Box.lab.org" is "gpu-box", then "gpu-box-2"."""
    name = host.rpartition("@")[2].lower()
    if not re.fullmatch(r"[0-9.:\[\]]+", name):  # else an address, which means all its parts
        name = name.partition(".")[0]
    base = _ODD.sub("-", name).strip("-_")[:36]
    if not base:
        return ""
    return next(i for i in (base, *(f"{base}-{n}" for n in range(2, 1000))) if i not in (*taken, "this"))


def machine_of(kind: str, values: Mapping[str, str], taken: Collection[str]) -> Machine:
    """Raises `Unfit`. `taken`: ids of other machines."""
    texts = {f.key: values.get(f.key, "").strip() for f in fields_of(kind)}
    wrong: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for field in fields_of(kind):
        if field.least is None:
            continue
        text = texts[field.key] or DEFAULTS[field.key]
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < field.least:
            wrong[field.key] = f"{field.label} is a whole number of at least {field.least}."
        else:
            numbers[field.key] = int(text)
    if numbers.get("port", 0) > _HIGHEST_PORT:
        wrong["port"] = f"A port is at most {_HIGHEST_PORT}."
    host = texts["host"]
    if kind == "ssh" and not host:
        wrong["host"] = "Where is it? A name from ~/.ssh/config, or user@address."
    elif host.startswith("-") or not all(c.isprintable() and not c.isspace() for c in host):
        wrong["host"] = f"{host!r} cannot be a computer's name."
    for name in ("partition", "account", "constraint"):
        try:
            msgspec.structs.replace(JobSettings(), **{name: texts.get(name, "")})
        except ValueError as error:
            wrong[name] = str(error)
    if texts["id"] in taken:
        wrong["id"] = f"There is a machine {texts['id']!r} already."
    try:
        check_id(texts["id"])
    except MachinesError as error:
        wrong["id"] = f"{error} {error.advice}"
    if texts["python"] and not texts["python"].startswith("/"):
        wrong["python"] = "An absolute path, such as /home/me/engines/bin/python."
    if wrong:
        raise Unfit(wrong)
    return Machine(id=texts["id"], title=texts["title"] or texts["id"], reach=_reach(kind, host, texts, numbers))


def _reach(kind: str, host: str, texts: Mapping[str, str], numbers: Mapping[str, int]) -> Reach:
    ssh = Ssh(host=host, port=numbers["port"], python=texts["python"], home=texts["home"])
    if kind == "ssh":
        return ssh
    return Slurm(
        login=ssh if host else None,
        python="" if host else texts["python"],
        home="" if host else texts["home"],
        partition=texts["partition"],
        account=texts["account"],
        time_limit_minutes=numbers["time_limit"],
        gpus=numbers["gpus"],
        cpus=numbers["cpus"],
        memory_bytes=numbers["memory"] * GIB,
        constraint=texts["constraint"],
        allocations=numbers["allocations"],
    )


def values_of(machine: Machine) -> dict[str, str]:
    """The form as it was filled in for a machine that was added."""
    reach = machine.reach
    values = {**DEFAULTS, "title": machine.title, "id": machine.id}
    if isinstance(reach, Local):
        return values
    ssh = reach if isinstance(reach, Ssh) else reach.login
    if ssh is not None:
        values |= {"host": ssh.host, "port": str(ssh.port), "python": ssh.python, "home": ssh.home}
    if isinstance(reach, Slurm):
        if reach.login is None:
            values |= {"python": reach.python, "home": reach.home}
        values |= {
            "partition": reach.partition,
            "account": reach.account,
            "time_limit": str(reach.time_limit_minutes),
            "gpus": str(reach.gpus),
            "cpus": str(reach.cpus),
            "memory": str(reach.memory_bytes // GIB),
            "constraint": reach.constraint,
            "allocations": str(reach.allocations),
        }
    return values
