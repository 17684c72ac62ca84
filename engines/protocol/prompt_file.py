"""A file of the user's own prompts: one prompt a line (.txt), or one JSON object with "prompt" a line (.jsonl).

Read by the plan, which says what is wrong with it, and again by the worker, which takes it only with the same hash.
Pure but for reading the file; any thread.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.protocol.text_file import FileError, decoded, read_bytes

MAX_BYTES = 64 * 2**20
SUFFIXES = (".txt", ".jsonl")


@dataclass(frozen=True)
class PromptFile:
    """The different prompts of a file, in its order."""

    prompts: tuple[str, ...]
    repeated: int
    """Lines left out because they say what an earlier one says."""
    hash: str
    """"sha256:…" of the whole file."""


class _Line(msgspec.Struct):
    prompt: str


def read_prompt_file(path: Path) -> PromptFile:
    """Raises `FileError` naming the line, or the byte, that is wrong."""
    if path.suffix.lower() not in SUFFIXES:
        raise FileError(
            f"{path.name} is neither a .txt nor a .jsonl file.",
            'Write one prompt a line into a .txt file, or {"prompt": "…"} a line into a .jsonl file.',
        )
    raw = read_bytes(path, MAX_BYTES, "Take fewer prompts.")
    text = decoded(path.name, raw)
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if path.suffix.lower() == ".jsonl":
        lines = [(number, _of_json(path.name, number, line)) for number, line in lines]
    if not lines:
        raise FileError(f"{path.name} holds no prompt.", "Write one prompt a line.")
    prompts = tuple(dict.fromkeys(line for _, line in lines))
    return PromptFile(prompts, len(lines) - len(prompts), "sha256:" + hashlib.sha256(raw).hexdigest())


def _of_json(name: str, number: int, line: str) -> str:
    try:
        prompt = msgspec.json.decode(line, type=_Line).prompt
    except msgspec.ValidationError as error:
        raise FileError(
            f'Line {number} of {name} has no text under "prompt": {error}.', 'Each line is {"prompt": "…"}.'
        ) from error
    except msgspec.DecodeError as error:
        raise FileError(f"Line {number} of {name} is not JSON: {error}.", 'Each line is {"prompt": "…"}.') from error
    if not prompt.strip():
        raise FileError(f"The prompt in line {number} of {name} is empty.", "Leave the line out.")
    return prompt
