"""Deleted trials that the runners of other machines have still to drop: on the disk until they have, so that nobody
waits for a machine that is off. Any thread, any process.

    burials/MACHINE/NAME      ids of trials, one a line; each file is written once and removed when it has been heard
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from pathlib import Path

from engines.protocol.messages import Bury, Reply, Request
from engines.protocol.orders import is_safe_name
from engines.protocol.private import private_folder, replace_private


class Burials:
    """See the module."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def owe(self, machine: str, trials: Collection[str]) -> None:
        """Without room on the disk it is not kept: the runner hears of it now, or when it offers what was deleted."""
        with contextlib.suppress(OSError):
            private_folder(self._folder / machine)
            replace_private(self._folder / machine / str(time.time_ns()), "\n".join(trials).encode())

    def machines(self) -> tuple[str, ...]:
        """Those that have still to hear of some."""
        return tuple(sorted({path.parent.name for path in self._folder.glob("*/[0-9]*")}))

    def pay(self, machine: str, call: Callable[[Request], Reply]) -> None:
        """`call`: of its runner. Raises `RunnerError`."""
        for file in sorted((self._folder / machine).glob("[0-9]*")):
            if trials := _trials(file):
                call(Bury(trials=trials))
            with contextlib.suppress(OSError):  # heard twice does no harm
                file.unlink(missing_ok=True)


def _trials(file: Path) -> tuple[str, ...]:
    try:
        return tuple(filter(is_safe_name, file.read_text(encoding="ascii").splitlines()))
    except (OSError, UnicodeDecodeError):  # paid by another process in this moment, or damaged
        return ()
