"""GGUF files that the workbench made of models: made in advance, listed, found in the cache. The work is
`engines.llama.ladder`'s, in a process of its own.

`make_files` and `files_of` run in the caller's thread and block; making takes seconds to many minutes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places
from engines.techniques.gguf import LADDER
from workbench.models.fetching import Report, run_fetch

_MODULE = "engines.llama.ladder"
_FOLDER = "gguf"


@dataclass(frozen=True)
class MadeFile:
    """One file, by the facts beside it."""

    type: str
    """llama.cpp's name: "Q4_K_M"."""
    path: Path
    source: str
    """Title of the model it was made of."""
    source_path: str
    size_bytes: int
    bits_per_weight: float
    requantised_from: str
    """"Q4_1" where the source was quantised already, else ""."""
    tensor_types: str
    fallback: str
    """What was stored in another type than asked for, in words; "" where nothing was."""
    made_by: str


def make_files(
    model: ModelOrder, types: Sequence[str], places: Places, report: Report, *, threads: int = 0
) -> tuple[MadeFile, ...]:
    """Make the files that are not there yet; returns all of `types`. Raises `workbench.models.fetching.FetchError`."""
    arguments = [*_model(model), "--to", ",".join(types), "--threads", str(threads)]
    arguments += ["--network"] if model.kind == "hub" else []
    return _files(run_fetch(_MODULE, places, report, arguments))


def files_of(model: ModelOrder, places: Places) -> tuple[MadeFile, ...]:
    """What there is of this model as it is now, widest type first. Raises `workbench.models.fetching.FetchError`."""
    return _files(run_fetch(_MODULE, places, lambda _share, _text: None, [*_model(model), "--list"]))


def all_files(places: Places) -> tuple[MadeFile, ...]:
    """Every whole file in the cache by the facts beside it, by source and size. Reads small files; any thread."""
    found: list[MadeFile] = []
    for note in (places.models / _FOLDER).glob("*/*.json"):
        path = note.with_suffix(".gguf")
        try:
            facts = json.loads(note.read_text(encoding="utf-8"))
            if path.stat().st_size == int(facts["gguf.bytes"]):
                found.append(_file(path, facts))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # being made, or left by something else: not a file to offer
    order = {name: n for n, name in enumerate(("F32", "BF16", *LADDER))}
    return tuple(sorted(found, key=lambda file: (file.source, file.source_path, order.get(file.type, 99))))


def _model(model: ModelOrder) -> list[str]:
    return ["--model", msgspec.json.encode(model).decode()]


class _Line(msgspec.Struct, frozen=True):
    path: str
    facts: dict[str, str]


def _files(lines: Sequence[dict[str, object]]) -> tuple[MadeFile, ...]:
    said = [msgspec.convert(line, _Line) for line in lines if "facts" in line]
    return tuple(_file(Path(line.path), line.facts) for line in said)


def _file(path: Path, facts: dict[str, str]) -> MadeFile:
    return MadeFile(
        type=facts["gguf.type"],
        path=path,
        source=facts["gguf.source"],
        source_path=facts.get("source_path", ""),
        size_bytes=int(facts["gguf.bytes"]),
        bits_per_weight=float(facts["gguf.bits_per_weight"]),
        requantised_from=facts.get("gguf.requantised_from", ""),
        tensor_types=facts["gguf.tensor_types"],
        fallback=facts.get("gguf.fallback", ""),
        made_by=facts["gguf.made_by"],
    )
