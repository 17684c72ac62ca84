"""A file of the user's own prompts: one prompt a line (.txt), or one JSON object with "prompt" a line (.jsonl).

Read by the plan, which says what is wrong with it, and again by the worker, which takes it only with the same hash.
Pure but for reading the file; any thread.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

MAX_BYTES = 64 * 2**20
SUFFIXES = (".txt", ".jsonl")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SAMPLE = 100
_SAVE = "Open it in an editor and save it as UTF-8; nothing was run with it, and the file is as it was."


class PromptFileError(Exception):
    """Why a file gives no prompts, in a sentence, and what to do in `advice`."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


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
    """Raises `PromptFileError` naming the line, or the byte, that is wrong."""
    if path.suffix.lower() not in SUFFIXES:
        raise PromptFileError(
            f"{path.name} is neither a .txt nor a .jsonl file.",
            'Write one prompt a line into a .txt file, or {"prompt": "…"} a line into a .jsonl file.',
        )
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PromptFileError(f"{path.name} is larger than {MAX_BYTES // 2**20} MiB.", "Take fewer prompts.")
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise PromptFileError(
            f"There is no file {path}.", "A relative path starts at the experiment file's folder."
        ) from error
    except OSError as error:
        raise PromptFileError(f"{path} cannot be read: {error.strerror or error}.", "Check its permissions.") from error
    text = _decoded(path.name, raw)
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if path.suffix.lower() == ".jsonl":
        lines = [(number, _of_json(path.name, number, line)) for number, line in lines]
    if not lines:
        raise PromptFileError(f"{path.name} holds no prompt.", "Write one prompt a line.")
    prompts = tuple(dict.fromkeys(line for _, line in lines))
    return PromptFile(prompts, len(lines) - len(prompts), "sha256:" + hashlib.sha256(raw).hexdigest())


def _decoded(name: str, raw: bytes) -> str:
    # UTF-16 without its mark is, for plain letters, UTF-8 with a null character beside each
    if raw.startswith(_UTF16_MARKS) or b"\0" in raw:
        why = ". It looks like UTF-16, which Windows calls Unicode" if _is_utf16(raw) else ": it holds null bytes"
        raise PromptFileError(f"{name} is not UTF-8 text{why}.", _SAVE)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PromptFileError(
            f"{name} is not UTF-8 text: byte {error.start} (line {line}) is 0x{raw[error.start]:02x}.", _SAVE
        ) from error


def _is_utf16(raw: bytes) -> bool:
    """By its mark, or because every other byte of its beginning is null."""
    start = raw[: 2 * _SAMPLE]
    halves = start[::2], start[1::2]
    return raw.startswith(_UTF16_MARKS) or any(half and half.count(0) >= 0.9 * len(half) for half in halves)


def _of_json(name: str, number: int, line: str) -> str:
    try:
        prompt = msgspec.json.decode(line, type=_Line).prompt
    except msgspec.ValidationError as error:
        raise PromptFileError(
            f'Line {number} of {name} has no text under "prompt": {error}.', 'Each line is {"prompt": "…"}.'
        ) from error
    except msgspec.DecodeError as error:
        raise PromptFileError(
            f"Line {number} of {name} is not JSON: {error}.", 'Each line is {"prompt": "…"}.'
        ) from error
    if not prompt.strip():
        raise PromptFileError(f"The prompt in line {number} of {name} is empty.", "Leave the line out.")
    return prompt
