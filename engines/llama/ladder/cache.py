"""Where made GGUF files lie, and whether one still belongs to its source. Standard library only; any process.

A file's folder is named by its source's content and the converter's version, so a changed model is made anew. Beside
each file lies a JSON with its facts, written last: a file without one is not whole and is not used.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from engines.host.locked import locked_if_free
from engines.models.files import model_files
from engines.models.identity import Digests
from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places

CONVERTER_VERSION = "1"
"""Of what `engines.llama.convert` writes; a new one makes every file anew."""
LOCK = ".lock"
TEMPORARY = ".making-"
FOLDER = "gguf"

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


@dataclass(frozen=True)
class CachedFile:
    """A GGUF file of the cache, there or not yet."""

    path: Path

    @property
    def facts_path(self) -> Path:
        return self.path.with_suffix(".json")

    def facts(self) -> dict[str, str] | None:
        """What is known of the file; None unless it is there and whole."""
        try:
            found = json.loads(self.facts_path.read_text(encoding="utf-8"))
            size = self.path.stat().st_size
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict) or found.get("gguf.bytes") != str(size):
            return None
        return {str(name): str(value) for name, value in found.items()}

    def put(self, made: Path, facts: dict[str, str]) -> None:
        """Move a finished file into place, then write its facts. Both appear whole."""
        self.facts_path.unlink(missing_ok=True)
        made.replace(self.path)
        draft = made.with_suffix(".facts")
        with draft.open("w", encoding="utf-8") as out:
            json.dump(facts, out, indent=1, sort_keys=True)
            out.write("\n")
            out.flush()
            os.fsync(out.fileno())
        draft.replace(self.facts_path)


def cached(here: Places, content: str, title: str, type_name: str) -> CachedFile:
    """The file of one type made from the source with this content."""
    folder = here.models / FOLDER / content[:16]
    for facts in sorted(folder.glob(f"*-{type_name}.json")):  # by whatever name the model had then
        return CachedFile(facts.with_suffix(".gguf"))
    return CachedFile(folder / f"{safe_name(title)}-{type_name}.gguf")


def only_facts(stored: dict[str, str]) -> dict[str, str]:
    """What goes into a trial's environment: where on this machine the source lies does not."""
    return {name: value for name, value in stored.items() if name.startswith("gguf.")}


def safe_name(title: str) -> str:
    """A title as part of a file's name."""
    return _UNSAFE.sub("-", title).strip("-.")[:80] or "model"


def content_of(model: ModelOrder, local: Path | None, digests: Digests) -> str:
    """Hex digest of what a made file depends on: every byte of its source. `local` is the folder or file, None for
    random weights. Reads what nobody has read yet. Raises OSError and `BrokenModel`."""
    if local is not None and not local.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(local))
    source = (
        json.dumps(model.config, sort_keys=True, default=str) if local is None else digests.of_model(model_files(local))
    )
    return hashlib.sha256(f"converter {CONVERTER_VERSION}\n{source}".encode()).hexdigest()


def clear_leftovers(folder: Path) -> None:
    """Remove what a killed process left. Only while the folder's lock is held."""
    for left in folder.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            left.unlink()


def sweep(here: Places) -> None:
    """Remove what killed makers left, wherever no other maker is at work."""
    for folder in (here.models / FOLDER).glob("*/"):
        with contextlib.suppress(OSError), locked_if_free(folder / LOCK) as held:
            if held:
                clear_leftovers(folder)
