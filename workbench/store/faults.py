"""What DuckDB and the operating system say went wrong, in words for people. Pure functions; any thread.

Every `StoreError` of the local store is made here, so that each says what happened, what is safe and what to do.
"""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from engines.protocol.file_errors import error_in, is_full, what_happened, what_to_do
from workbench.store.operations import StoreError

_DAMAGED = (
    "not a valid DuckDB database",
    "Could not read enough bytes",
    "Corrupt database file",
    "Failure while replaying WAL",
    "Failed to load metadata pointer",
    "Serialization Error",
)
_LOCKED = ("Could not set lock on file", "with a different configuration", "is already attached")
_PID = re.compile(r"\(PID (\d+)\)")
_STORAGE = re.compile(r"version number (\d+)")


def from_duckdb(error: duckdb.Error, path: Path) -> StoreError:
    """The `StoreError` for an error of DuckDB while working on `path`."""
    text = str(error)
    of_disk = error_in(text)
    if of_disk is not None:
        return from_system(of_disk, path)
    if any(words in text for words in _LOCKED):
        return locked(path, text)
    if _STORAGE.search(text) and "but we can only read" in text:
        return StoreError(
            f"{path.name} was written by a newer DuckDB than this application has. The file is untouched.",
            "Install the application version that wrote it, or choose another file with --database.",
            code="newer_schema",
        )
    if any(words in text for words in _DAMAGED) or isinstance(error, duckdb.SerializationException):
        return damaged(path, _first_line(text))
    if isinstance(error, duckdb.InterruptException):
        return StoreError(f"{path.name} was closed before the answer was ready.", "Ask again.", code="closed")
    if isinstance(error, duckdb.OutOfMemoryException):
        return StoreError(
            f"The answer needs more memory than the store may use: {_first_line(text)}",
            "Nothing was changed. Ask for fewer rows or columns.",
            code="memory",
        )
    return StoreError(f"{path.name}: {_first_line(text)}", "Nothing was changed by this operation.")


def from_system(error: OSError, path: Path) -> StoreError:
    """The `StoreError` for an error of the operating system while opening or copying `path`."""
    if is_full(error):
        return disk_full(path)
    return StoreError(
        f"{path} cannot be used. {what_happened(error, path)}",
        f"{what_to_do(error, path)} Or choose another file with --database.",
    )


def is_fatal(error: duckdb.Error) -> bool:
    """Whether DuckDB refuses all further work until the file is opened again."""
    return isinstance(error, duckdb.FatalException) or "has been invalidated" in str(error)


def disk_full(path: Path) -> StoreError:
    return StoreError(
        f"The disk that holds {path.name} is full. What was being written was rolled back; "
        "everything stored before is safe.",
        f"Free some space on the disk of {path.parent}. Trials continue and keep their data in spools, "
        "which are stored when there is space again.",
        code="disk_full",
    )


def damaged(path: Path, what: str) -> StoreError:
    return StoreError(
        f"{path} is damaged or cut short and cannot be read ({what}). The file is left as it is.",
        "`llm-workbench repair` makes a new database of what can be read, of spools and of copies, and keeps this one. "
        "To continue without it, use --database with another name.",
        code="damaged",
    )


def read_only(path: Path) -> StoreError:
    return StoreError(
        f"{path.name} is damaged and open read-only: nothing can be stored or changed.",
        "Repair it first. Trials continue and keep their data in spools, which are stored then.",
        code="read_only",
    )


def locked(path: Path, text: str = "") -> StoreError:
    found = _PID.search(text)
    who = f"Process {found.group(1)}" if found else "Another program, or this one a second time,"
    return StoreError(
        f"{who} has {path.name} open, and DuckDB lets only one process use a file. The file is untouched.",
        "Close that program (perhaps the duckdb command line), or choose another file with --database.",
        code="locked",
    )


def newer_schema(path: Path, found: int, known: int, written_by: str) -> StoreError:
    return StoreError(
        f"{path.name} has schema version {found}, written by LLM Workbench {written_by}; "
        f"this application knows versions up to {known}. The file is untouched.",
        f"Install LLM Workbench {written_by} or newer to open it, or choose another file with --database.",
        code="newer_schema",
    )


def foreign(path: Path) -> StoreError:
    return StoreError(
        f"{path} is a DuckDB file, but not a database of LLM Workbench. The file is untouched.",
        "Choose another file with --database.",
        code="foreign",
    )


def closed(path: Path) -> StoreError:
    return StoreError(f"{path.name} has been closed.", "Open it again.", code="closed")


def not_found(what: str, name: str) -> StoreError:
    return StoreError(
        f"There is no {what} {name!r} in this database.", "`llm-workbench list` shows what there is.", code="not_found"
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
