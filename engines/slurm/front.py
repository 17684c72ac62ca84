"""What the front keeps on the login node: its places, the settings of its jobs, the last node's probe. Any process."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.protocol.job_settings import JobSettings
from engines.protocol.messages import ProbeResult
from engines.protocol.places import Places
from engines.protocol.private import replace_private

PACE_VARIABLE = "LLM_WORKBENCH_SLURM_SECONDS"
"""Two numbers with a comma in place of those of `Pace` (tests)."""


@dataclass(frozen=True)
class Pace:
    look_s: float = 1.0
    """Between looks at what nodes write, and at what the front writes."""
    ask_s: float = 10.0
    """Between questions to Slurm, whose controller serves the whole cluster."""


def pace() -> Pace:
    """Raises ValueError for a variable that holds no numbers."""
    words = os.environ.get(PACE_VARIABLE, "").split(",")
    return Pace(*(float(word) for word in words if word))


def front_places(here: Places, name: str) -> Places:
    """Those of the front called `name`: it has a queue and spools of its own."""
    return Places(here.data, here.state / "slurm" / name, here.cache, here.config, here.runtime / f"slurm-{name}")


def write_settings(here: Places, settings: JobSettings) -> None:
    """Raises OSError."""
    if read_settings(here) != settings or not _settings_file(here).exists():
        replace_private(_settings_file(here), msgspec.json.encode(settings))


def read_settings(here: Places) -> JobSettings:
    """What the next job asks for. Raises OSError, ValueError for a file that holds no settings."""
    try:
        return msgspec.json.decode(_settings_file(here).read_bytes(), type=JobSettings)
    except FileNotFoundError:
        return JobSettings()


def keep_probe(here: Places, probe: ProbeResult) -> None:
    """What a node has, for plans that are made while none is at hand."""
    with contextlib.suppress(OSError):  # the next node says it again
        replace_private(_probe_file(here), msgspec.json.encode(probe))


def kept_probe(here: Places) -> ProbeResult | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(_probe_file(here).read_bytes(), type=ProbeResult)
    return None


def _settings_file(here: Places) -> Path:
    return here.state / "settings.json"


def _probe_file(here: Places) -> Path:
    return here.state / "node-probe.json"
