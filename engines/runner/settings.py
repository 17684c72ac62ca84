"""What can be set about a runner. Values only."""

from __future__ import annotations

import os
import shlex
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

WORKER_VARIABLE = "LLM_WORKBENCH_WORKER"
"""Command line of the worker in place of `python -m engines.worker` (tests, another interpreter)."""
TEMPLATE_VARIABLE = "LLM_WORKBENCH_TEMPLATE"
"""Command line of the template process in place of `python -m engines.worker.template` (tests)."""
TEMPLATE_SECONDS_VARIABLE = "LLM_WORKBENCH_TEMPLATE_SECONDS"
"""Up to three numbers with commas in place of the times of a template below (tests)."""
IDLE_VARIABLE = "LLM_WORKBENCH_IDLE_SECONDS"
"""Seconds without clients, trials and queue after which a runner ends, where `serve --idle-seconds` says nothing."""
LOOK_VARIABLE = "LLM_WORKBENCH_LOOK_SECONDS"
"""As `RunnerSettings.look_s`, for tests."""
IDLE_S = 600.0
LOOK_S = 15.0
KEEP_S = 7 * 86_400.0


@dataclass(frozen=True)
class RunnerSettings:
    worker_command: tuple[str, ...]
    idle_s: float = IDLE_S
    grace_s: float = 20.0
    """Seconds a worker has to end by itself after SIGTERM."""
    look_s: float = LOOK_S
    """How often the runner looks whether its socket is still there."""
    keep_s: float = KEEP_S
    """Seconds an ended and acknowledged spool is kept."""
    template_command: tuple[str, ...] = ()
    """Command line of the template process; () where there is none: every worker is started plainly."""
    template_ready_s: float = 60.0
    """Seconds a template has for its imports."""
    first_word_s: float = 20.0
    """Seconds a forked worker has until its first record; then it is started plainly."""
    hold: bool = False
    """Begin with the queue only when somebody submits, resumes or follows: a command that reads must not measure."""
    rings: Path | None = None
    """Folder in this computer's memory for rings, where spools lie on a network's file system: a stamp would wait for
    the network there. None: they lie beside the spools, and outlive a runner that is killed."""
    template_idle_s: float = 60.0
    """Seconds without a running trial after which the template is ended."""


def default_settings(*, hold: bool = False, **changes: float) -> RunnerSettings:
    """From the environment, then `changes`. Raises ValueError for an idle time that is no number."""
    command = shlex.split(os.environ.get(WORKER_VARIABLE, "")) or [sys.executable, "-m", "engines.worker"]
    template = shlex.split(os.environ.get(TEMPLATE_VARIABLE, ""))
    if not template and not os.environ.get(WORKER_VARIABLE):  # another worker has no template unless one is named
        template = [sys.executable, "-m", "engines.worker.template"]
    words = os.environ.get(TEMPLATE_SECONDS_VARIABLE, "").split(",")
    names = ("template_ready_s", "first_word_s", "template_idle_s")
    changes = {**{name: float(word) for name, word in zip(names, words, strict=False) if word}, **changes}
    given = {
        "idle_s": float(os.environ.get(IDLE_VARIABLE) or IDLE_S),
        "look_s": float(os.environ.get(LOOK_VARIABLE) or LOOK_S),
        **changes,
    }
    return RunnerSettings(
        worker_command=tuple(command), template_command=tuple(template), hold=hold, rings=None, **given
    )


def import_path() -> str:
    """PYTHONPATH for a child that must import this same `engines`, whatever its current folder. An installed package is
    found anyway, and its folder must not come before the standard library."""
    root = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH", "")
    if root in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")) or root in inherited.split(os.pathsep):
        return inherited
    return os.pathsep.join(part for part in (root, inherited) if part)
