"""Where the Hugging Face hub keeps what was fetched on this computer. Reads names only; any thread, any process."""

from __future__ import annotations

import os
from pathlib import Path


def hub_caches() -> tuple[Path, ...]:
    """Folders of the cache by the hub's own environment variables, the first one leading."""
    named = [os.environ.get(name, "") for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")]
    home = os.environ.get("HF_HOME", "")
    cache_home = os.environ.get("XDG_CACHE_HOME", "") or "~/.cache"
    wanted = [*named, f"{home}/hub" if home else f"{cache_home}/huggingface/hub"]
    folders = dict.fromkeys(Path(name).expanduser() for name in wanted if name)
    return tuple(folders)


def snapshots(folder: Path) -> list[Path]:
    """Of one repository ("models--org--name"), that of `main` before others, then the newest."""
    try:
        main = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        main = ""
    try:
        found = [path for path in (folder / "snapshots").iterdir() if path.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda path: (path.name != main, -_changed(path), path.name))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
