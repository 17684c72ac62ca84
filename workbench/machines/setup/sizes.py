"""How much room the engines, models and records take on another machine. Blocking."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.machines.setup.link import RemoteHelper
from workbench.machines.setup.plan import Choice
from workbench.machines.setup.shell import Shell

_FOLDERS = {
    "engines": ("~/.local/share/llm-workbench/engines", "data/engines"),
    "models": ("~/.cache/llm-workbench/models", "cache/models"),
    "copies": ("~/.cache/llm-workbench/copied", "cache/copied"),
    "artifacts": ("~/.local/share/llm-workbench/artifacts", "data/artifacts"),
    "records": ("~/.local/state/llm-workbench/spools", "state/spools"),
    "hub cache": ("~/.cache/huggingface", "~/.cache/huggingface"),
}


@dataclass(frozen=True)
class Folder:
    """`size_bytes` is None where there is none yet."""

    name: str
    path: str
    size_bytes: int | None


@dataclass(frozen=True)
class Sizes:
    free_bytes: int
    """Of the disk of the engines' environments."""
    folders: tuple[Folder, ...]


def sizes(shell: Shell, home: str = "") -> Sizes:
    """`home` as `Ssh.home`. Reads every folder's entries: seconds, where there are many. Raises `RunnerError`."""
    paths = {name: _path(own, below, home) for name, (own, below) in _FOLDERS.items()}
    with RemoteHelper(shell) as helper:
        looked = helper.look(Choice(home=home).base, "")
        found = helper.sizes(paths)
    return Sizes(looked.free_bytes, tuple(Folder(name, path, found[name]) for name, path in paths.items()))


def _path(own: str, below: str, home: str) -> str:
    return own if not home or below.startswith("~") else f"{home.rstrip('/')}/{below}"
