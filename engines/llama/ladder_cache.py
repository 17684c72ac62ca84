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

from engines.locked import locked_if_free
from engines.protocol.gguf_parts import parts_of
from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places

CONVERTER_VERSION = "1"
"""Of what `engines.llama.convert` writes; a new one makes every file anew."""
LOCK = ".lock"
TEMPORARY = ".making-"
FOLDER = "gguf"

_EDGE_BYTES = 1 << 20
_SAMPLE_BYTES = 4096
_SAMPLES = 512
_LARGEST_STEP_BYTES = 8 << 20
_SMALL_FILES = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
)  # fmt: skip
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


def content_of(model: ModelOrder, local: Path | None) -> str:
    """Hex digest of what a made file depends on. `local` is the folder or file, None for random weights.

    Files with weights are sampled evenly (at least every 8 MiB) besides their size and edges: a fine-tuned model
    differs in every layer it touched. Raises OSError.
    """
    total = hashlib.sha256(f"converter {CONVERTER_VERSION}\n".encode())
    if local is None:
        total.update(json.dumps(model.config, sort_keys=True, default=str).encode())
    elif local.is_file():
        for file in parts_of(local):
            _sample(file, total)
    elif not local.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(local))
    else:
        for name in _SMALL_FILES:
            if (local / name).is_file():
                total.update(f"\n{name}\n".encode() + (local / name).read_bytes())
        for file in sorted(local.glob("*.safetensors")):
            total.update(f"\n{file.name}\n".encode())
            _sample(file, total)
    return total.hexdigest()


def _sample(file: Path, total: hashlib._Hash) -> None:
    size = file.stat().st_size
    total.update(str(size).encode())
    step = max(_SAMPLE_BYTES, min(_LARGEST_STEP_BYTES, size // _SAMPLES))
    with file.open("rb") as stream:
        total.update(stream.read(_EDGE_BYTES))
        for start in range(_EDGE_BYTES, max(_EDGE_BYTES, size - _EDGE_BYTES), step):
            stream.seek(start)
            total.update(stream.read(_SAMPLE_BYTES))
        stream.seek(max(0, size - _EDGE_BYTES))
        total.update(stream.read(_EDGE_BYTES))


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
