"""The folder of one job, which front and node share: orders in, spools out. Each file has one writer and appears whole.

`job.json` (front): the job that was asked for. `in/NUMBER-TRIAL` (front): an order to run, in that order.
`stop/TRIAL` (front): "keep" or "kill". `node.json` (node): where the job runs, once its runner listens. `state/`
(node): its runner's queue and spools. `problem` (node): why it ends early. `job.out`: the job's
output, by Slurm.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from engines.protocol.codec import decode_order, encode_order
from engines.protocol.job_settings import JobSettings
from engines.protocol.messages import ProbeResult
from engines.protocol.orders import TrialOrder
from engines.protocol.places import Places
from engines.protocol.private import private_folder, replace_private

T = TypeVar("T")
_TAIL_BYTES = 2000


class JobFile(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """Of the job in Slurm: found by it where the front was killed before it had its id."""
    settings: JobSettings
    asked_wall_ns: int
    job: str = ""


class NodeFile(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    job: str
    devices: tuple[str, ...]
    """Ids of the devices that trials lease there."""
    started_wall_ns: int
    probe: ProbeResult


class JobFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.output = path / "job.out"
        self.script = path / "job.sh"

    def places(self, here: Places) -> Places:
        """Those of the runner of the job: models, artifacts and settings are the machine's own."""
        return Places(here.data, self.path / "state", here.cache, here.config, self.path / "run")

    @property
    def spools(self) -> Path:
        return self.path / "state" / "spools"

    # --- the front writes -----------------------------------------------------------------------------

    def make(self) -> None:
        """Raises OSError."""
        for name in ("", "in", "stop"):
            private_folder(self.path / name)

    def write_job(self, job: JobFile) -> None:
        replace_private(self.path / "job.json", msgspec.json.encode(job))

    def hand(self, order: TrialOrder, number: int) -> None:
        """`number`: its place among those handed over. Raises OSError."""
        replace_private(self.path / "in" / f"{number:06}-{order.trial}", encode_order(order))

    def ask_stop(self, trial: str, *, kill: bool) -> None:
        """Raises OSError."""
        replace_private(self.path / "stop" / trial, b"kill" if kill else b"keep")

    # --- the node writes ----------------------------------------------------------------------------------

    def write_node(self, node: NodeFile) -> None:
        """Raises OSError."""
        replace_private(self.path / "node.json", msgspec.json.encode(node))

    def write_problem(self, text: str) -> None:
        """Raises OSError."""
        replace_private(self.path / "problem", text.encode())

    # --- what either reads ------------------------------------------------------------------------------

    def read_job(self) -> JobFile | None:
        return _read(self.path / "job.json", JobFile)

    def read_node(self) -> NodeFile | None:
        return _read(self.path / "node.json", NodeFile)

    def problem(self) -> str:
        """Why the node's runner ended early; "" where it said nothing."""
        with contextlib.suppress(OSError):
            return (self.path / "problem").read_text(encoding="utf-8", errors="replace")
        return ""

    def handed(self) -> dict[str, Path]:
        """Trials in the order they were handed over, and their files. A draft begins with a dot."""
        names = sorted(path.name for path in (self.path / "in").iterdir() if path.name[0] != ".")
        return {name.partition("-")[2]: self.path / "in" / name for name in names}

    def stops(self) -> dict[str, str]:
        """How trials are to stop, by trial."""
        found = {}
        for path in (self.path / "stop").iterdir():
            with contextlib.suppress(OSError, UnicodeDecodeError):  # a draft is no trial, and has no time to stay
                found[path.name] = path.read_text(encoding="ascii")
        return {trial: how for trial, how in found.items() if how in ("keep", "kill")}

    def spooled(self) -> frozenset[str]:
        """Trials that have a spool."""
        try:
            return frozenset(path.name for path in self.spools.iterdir())
        except OSError:
            return frozenset()

    def last_words(self) -> str:
        """The end of the job's output."""
        with contextlib.suppress(OSError):
            return self.output.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
        return ""


def _read(path: Path, kind: type[T]) -> T | None:
    """None where the file is missing or not that."""
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(path.read_bytes(), type=kind)
    return None


def read_order(path: Path) -> TrialOrder | None:
    """None for a file that went or holds none."""
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return decode_order(path.read_bytes())
    return None


def folders(under: Path) -> Sequence[JobFolder]:
    """Those of all jobs, oldest first."""
    if not under.is_dir():
        return ()
    return [JobFolder(path) for path in sorted(under.iterdir()) if path.is_dir()]
