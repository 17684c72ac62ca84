"""The folders and sockets of this user on this machine. Pure path arithmetic; nothing is created here.

`LLM_WORKBENCH_HOME` puts everything under one folder (tests, portable installs); otherwise platformdirs decides.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

APP = "llm-workbench"
STARTER_ID = "smollm2-135m-instruct"
"""Catalogue id of the starter model, and the name of its folder."""
HOME_VARIABLE = "LLM_WORKBENCH_HOME"
_SOCKET_PATH_MAX = 100
"""sockaddr_un holds 108 bytes; a margin for suffixes."""


@dataclass(frozen=True)
class Places:
    """Where things are: `data` (databases), `state` (queue, spools, logs), `cache` (models), `runtime` (sockets)."""

    data: Path
    state: Path
    cache: Path
    config: Path
    runtime: Path

    @property
    def database(self) -> Path:
        return self.data / "workbench.duckdb"

    @property
    def artifacts(self) -> Path:
        """Adapters, models and checkpoints of trials that train (`engines.models.artifacts`)."""
        return self.data / "artifacts"

    @property
    def models(self) -> Path:
        return self.cache / "models"

    @property
    def copied(self) -> Path:
        """Models and data that were copied from other machines, in folders named by their fingerprints' digits
        (`engines.models.receiving`)."""
        return self.cache / "copied"

    @property
    def digests(self) -> Path:
        """What is known of files' contents (`engines.models.identity`)."""
        return self.cache / "digests"

    @property
    def corpora(self) -> Path:
        """Texts as tokens of a vocabulary of their own (`engines.data.tokenised`)."""
        return self.cache / "corpora"

    @property
    def tasks(self) -> Path:
        """Questions of `engines.protocol.tasks` once they have been fetched (`engines.data.task_data`)."""
        return self.cache / "tasks"

    @property
    def starter_model(self) -> Path:
        """The starter model's folder once it has been fetched and converted (`engines.data.starter`)."""
        return self.models / STARTER_ID

    @property
    def spools(self) -> Path:
        return self.state / "spools"

    @property
    def queue_file(self) -> Path:
        return self.state / "queue.json"

    @property
    def runner_log(self) -> Path:
        return self.state / "runner.log"

    @property
    def runner_lock(self) -> Path:
        return self.state / "runner.lock"

    @property
    def crashes(self) -> Path:
        return self.state / "crashes"

    @property
    def runner_socket(self) -> Path:
        return short_socket(self.runtime / "runner.sock", self.runtime)


def starter_folder(here: Places) -> Path | None:
    """The starter model's folder once it is complete (it appears in one rename), else None."""
    folder = here.starter_model
    return folder if (folder / "config.json").is_file() else None


def short_socket(wanted: Path, runtime: Path) -> Path:
    """`wanted`, or a name of fixed length in the runtime folder or /tmp when the system's limit would cut it off."""
    if len(os.fsencode(wanted)) <= _SOCKET_PATH_MAX:
        return wanted
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:20]
    short = runtime / f"{digest}.sock"
    if len(os.fsencode(short)) <= _SOCKET_PATH_MAX:
        return short
    return Path("/tmp") / f"{APP}-{os.getuid()}" / f"{digest}.sock"


def places() -> Places:
    """This user's places, read from the environment at each call."""
    home = os.environ.get(HOME_VARIABLE)
    if home:
        root = Path(home).expanduser().absolute()
        return Places(root / "data", root / "state", root / "cache", root / "config", root / "run")
    dirs = platformdirs.PlatformDirs(APP, appauthor=False)
    state = Path(dirs.user_state_dir)
    # not XDG_RUNTIME_DIR: a desktop has it, cron and ssh may not, and all of them must find the same runner
    return Places(Path(dirs.user_data_dir), state, Path(dirs.user_cache_dir), Path(dirs.user_config_dir), state / "run")
