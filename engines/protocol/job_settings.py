"""What each Slurm job of a cluster's queue asks for: said by the user of a machine, sent to its front, given to sbatch.
Words are checked: they become lines of a script."""

from __future__ import annotations

import re

import msgspec

_NAME = re.compile(r"[\w.@:,&|*()\[\]=+-]*")
"""Partitions, accounts and constraints."""


class JobSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Raises ValueError for what cannot be."""

    partition: str = ""
    account: str = ""
    time_limit_minutes: int = 60
    gpus: int = 0
    cpus: int = 1
    memory_bytes: int = 0
    """0: as the partition decides."""
    constraint: str = ""
    allocations: int = 1
    """Jobs at a time."""

    def __post_init__(self) -> None:
        for name in ("partition", "account", "constraint"):
            if not _NAME.fullmatch(getattr(self, name)):
                raise ValueError(f"{getattr(self, name)!r} cannot be a {name}.")
        if min(self.time_limit_minutes, self.cpus, self.allocations) < 1 or min(self.gpus, self.memory_bytes) < 0:
            raise ValueError("Time limit, processors and allocations are at least 1, GPUs and memory at least 0.")

    @property
    def warning_s(self) -> int:
        """How long before the time limit the job's runner hears of it. A sixth of a short limit: Slurm looks every half
        a minute and warns at the look before, which must not come before the runner listens."""
        return min(60, self.time_limit_minutes * 10)

    @property
    def options(self) -> tuple[str, ...]:
        """For sbatch."""
        given = (
            ("--partition", self.partition),
            ("--account", self.account),
            ("--constraint", self.constraint),
            ("--gres", f"gpu:{self.gpus}" if self.gpus else ""),
            ("--mem", f"{max(1, self.memory_bytes >> 20)}M" if self.memory_bytes else ""),
        )
        always = ("--nodes=1", "--ntasks=1", f"--cpus-per-task={self.cpus}", f"--time={self.time_limit_minutes}")
        return (*always, *(f"{name}={value}" for name, value in given if value))
