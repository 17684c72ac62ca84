"""The connection to a cluster's front: a runner on its login node, or on this computer, whose trials run in Slurm jobs.
Any thread; blocks.
"""

from __future__ import annotations

import subprocess
from collections import deque
from threading import Thread

import msgspec

from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.job_settings import JobSettings
from workbench.machines.machine import Slurm
from workbench.machines.ssh import end

_GREETING_S = 30.0
_SAID_LINES = 12


def front_words(machine: str, reach: Slurm) -> list[str]:
    """The arguments of `python -m engines` that join its streams to the front of the machine of that id."""
    settings = msgspec.json.encode(msgspec.convert(reach, JobSettings, from_attributes=True)).decode()
    return ["slurm", "--name", machine, "--settings", settings]


def connect_front(process: subprocess.Popen[bytes], title: str, client: str) -> RunnerClient:
    """A client of a front that `process` was started to join. Raises `RunnerError` with the last words of a process
    that ended instead."""
    assert process.stdin is not None
    assert process.stdout is not None
    said: deque[bytes] = deque(maxlen=_SAID_LINES)
    reading = Thread(target=_keep, args=(process, said), name="slurm-stderr", daemon=True)
    reading.start()
    try:
        return RunnerClient(
            process.stdout, process.stdin, hang_up=lambda: end(process), client=client, timeout=_GREETING_S
        )
    except RunnerError as error:
        end(process)
        reading.join(_GREETING_S)
        words = b"".join(said).decode("utf-8", "replace").strip()
        if error.code != "link" or not words:
            raise
        raise RunnerError(f"{title} cannot be reached. {words}", code="start") from error


def _keep(process: subprocess.Popen[bytes], said: deque[bytes]) -> None:
    assert process.stderr is not None
    with process.stderr as stream:
        said.extend(stream)
