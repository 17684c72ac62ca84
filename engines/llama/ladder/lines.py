"""What the maker of GGUF files says on standard output with --progress-json: one JSON object a line."""

from __future__ import annotations

import sys

import msgspec

from engines.worker.failures import FailureKind, WorkerFailure


class Step(msgspec.Struct, frozen=True, tag_field="line", tag="step"):
    """How far it is."""

    text: str
    fraction: float


class Made(msgspec.Struct, frozen=True, tag_field="line", tag="made"):
    """One file is there."""

    type: str
    """llama.cpp's name: "Q4_K_M"."""
    path: str
    facts: dict[str, str]


class Failed(msgspec.Struct, frozen=True, tag_field="line", tag="failed"):
    """It cannot go on; the last line."""

    kind: FailureKind
    message: str
    advice: str

    def failure(self) -> WorkerFailure:
        return WorkerFailure(self.kind, self.message, self.advice)


Line = Step | Made | Failed

_DECODER = msgspec.json.Decoder(Line)


def say(line: Line) -> None:
    """Raises BrokenPipeError when nobody listens any more."""
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def parse(line: str) -> Line | None:
    """None for anything a library printed."""
    try:
        return _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeError):
        return None
