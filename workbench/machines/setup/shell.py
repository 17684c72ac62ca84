"""What setting up asks of a machine: that an argument list can be started there. `workbench.machines.ssh.Remote` is
one; this computer itself another. Also: what a machine prints, made fit for a terminal or a label.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from workbench.machines.ssh import Ended

_LONGEST_LINE = 2000


class Shell(Protocol):
    def run(self, argv: Sequence[str]) -> Ended:
        """Run a short command there to its end. Raises `RunnerError` where the machine is not reached."""
        ...

    def start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Begin a command in the user's home, its three streams as pipes. Raises `RunnerError`."""
        ...


class LocalShell:
    """This computer, as if it were another one. `home` is what HOME is there."""

    def __init__(self, home: Path | None = None) -> None:
        self._home = str(home or Path.home())

    def run(self, argv: Sequence[str]) -> Ended:
        with self.start(argv) as process:
            out, err = process.communicate(timeout=60)
        return Ended(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))

    def start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """As `Shell.start`; also raises `OSError` where the command is missing."""
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._home,
            env={**environment, "HOME": self._home},
            start_new_session=True,
        )


def plain(line: str) -> str:
    """Without what would move a terminal's cursor or colour it."""
    return "".join(c if c.isprintable() else " " for c in line[:_LONGEST_LINE]).rstrip()
