"""The user's own prompts or training data that a workload names: found where they lie, as they are now.

Reads files, without an engine's library; any thread.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from engines.data.text_corpus import TextLook, look_text
from engines.data.training.columns import ColumnError
from engines.data.training.look import look
from engines.protocol.problems import Fix, Problem
from engines.protocol.prompt_file import read_prompt_file
from engines.protocol.text_file import FileError, own_path
from engines.protocol.work import AnyTraining, Inference, OtherWork, Pretraining, Training

_DATA = "workload.data"
_PROMPTS = "workload.prompt_file"
_WORDS = 6
"""So many are no name of a column."""


class FoundPrompts(msgspec.Struct, frozen=True, kw_only=True, tag="prompts"):
    """The user's own prompts as they were when the experiment was planned."""

    path: str
    """Absolute."""
    hash: str
    different: int
    repeated: int = 0


class FoundData(msgspec.Struct, frozen=True, kw_only=True, tag="data"):
    """Training data as they were when the experiment was planned."""

    data: str
    """A built-in name, a hub id, or an absolute path."""
    hash: str = ""
    """"" of built-in data."""
    columns: str = ""
    """"prompt: question, response: answer"."""
    rows: int | None = None
    """None of built-in and of large data, whose rows only the worker counts."""
    different: int | None = None
    """Usable rows that do not say the same as another."""
    bad: int = 0
    first_bad: str = ""
    """"line 318 has no response"."""
    own_splits: tuple[str, ...] = ()
    """That the data name themselves: "validation"."""
    sentence: str = ""
    """A column in use whose name is one: the file may begin with a row."""


Found = FoundPrompts | FoundData


def find_own(workload: Inference | AnyTraining | OtherWork, base: Path) -> Found | Problem | None:
    """The prompt file or the training data of a workload, whose relative path starts at `base`; None where it has
    neither."""
    if isinstance(workload, AnyTraining):
        return _find_data(workload, base)
    if isinstance(workload, Inference) and workload.prompt_file:
        return _find_prompts(workload.prompt_file, base)
    return None


def _find_prompts(written: str, base: Path) -> FoundPrompts | Problem:
    path = own_path(written, base)
    try:
        found = read_prompt_file(path)
    except FileError as error:
        return Problem(severity="error", place=_PROMPTS, message=str(error), hint=error.advice)
    return FoundPrompts(path=str(path), hash=found.hash, different=len(found.prompts), repeated=found.repeated)


def _find_data(training: AnyTraining, base: Path) -> FoundData | Problem:
    try:
        if isinstance(training, Pretraining):
            return _text(look_text(training, base))
        assert isinstance(training, Training)
        found = look(training, base)
    except ColumnError as error:
        fix = Fix("Guess it", f"workload.{error.setting}", "")
        place = f"workload.{error.setting}"
        return Problem(severity="error", place=place, message=str(error), hint=error.advice, fixes=(fix,))
    except FileError as error:
        fix = Fix("Use the built-in text", _DATA, "built-in")
        return Problem(severity="error", place=_DATA, message=str(error), hint=error.advice, fixes=(fix,))
    return FoundData(
        data=found.data,
        hash=found.hash,
        columns=found.columns.said,
        rows=found.rows,
        different=found.different,
        bad=found.bad,
        first_bad="; ".join(map(str, found.first_bad)) + ("; …" if found.bad > len(found.first_bad) else ""),
        own_splits=tuple(sorted(found.own_splits)),
        sentence=next(
            (name for name in found.names if name in vars(found.columns).values() and _is_sentence(name)), ""
        ),
    )


def _text(found: TextLook) -> FoundData:
    """Of a pretraining: its rows are documents."""
    return FoundData(
        data=found.data,
        hash=found.hash,
        columns=f"text: {found.column}" if found.column else "",
        rows=found.documents,
        bad=found.left_out,
        first_bad="they have no text" if found.left_out else "",
        own_splits=tuple(sorted(found.own_splits)),
    )


def _is_sentence(name: str) -> bool:
    return len(name.split()) >= _WORDS and "+" not in name
