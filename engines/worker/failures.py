"""What ends a trial early, with words for the person who will read it. Pure; runs in the worker process."""

from __future__ import annotations

import errno
from typing import Literal

from engines.protocol.problems import Advised

FailureKind = Literal["model", "out_of_memory", "technique", "package", "order", "engine", "fetch", "diverged"]
"""Each is an entry of `engines.protocol.failures.CAUSES`."""


class WorkerFailure(Advised):
    """The trial cannot go on. `message` says what happened; `advice` what is safe and what to do."""

    def __init__(self, kind: FailureKind, message: str, advice: str) -> None:
        super().__init__(message, advice)
        self.kind = kind
        self.message = message


_MEMORY_WORDS = (
    "not enough memory",
    "out of memory",
    "cannot allocate memory",
    "failed to map segment",
    "std::bad_alloc",
    "defaultcpuallocator",
    "can't start new thread",
)
"""How torch, CUDA, safetensors, the loader of shared objects and the threads of a bounded process say it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or one it came from, means that memory ran out."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, MemoryError) or type(current).__name__ == "OutOfMemoryError":
            return True
        if isinstance(current, OSError) and current.errno == errno.ENOMEM:
            return True
        text = str(current).lower()
        if any(words in text for words in _MEMORY_WORDS):
            return True
        current = current.__cause__ or current.__context__
    return False


def first_line(error: BaseException, limit: int = 300) -> str:
    """The first line of an error, with its type, short enough for a table cell."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}"[:limit] if text else type(error).__name__


def explain(error: Exception, doing: str) -> WorkerFailure:
    """The failure that an exception of a library is. `doing` completes "while ...", e.g. "loading the model"."""
    if isinstance(error, WorkerFailure):
        return error
    if is_out_of_memory(error):
        return WorkerFailure(
            "out_of_memory",
            f"Memory ran out while {doing}.",
            "What was measured before is kept. Choose a smaller model, a smaller batch or shorter lengths, "
            f"or a precision with fewer bits; close other programs. ({first_line(error)})",
        )
    if isinstance(error, ModuleNotFoundError):
        name = error.name or "a package"
        return WorkerFailure(
            "package",
            f"The package {name.partition('.')[0]} is missing (needed while {doing}).",
            f"Install it into the environment the runner uses: pip install {name.partition('.')[0]}",
        )
    return WorkerFailure(
        "engine",
        f"The engine failed while {doing}: {first_line(error)}",
        "What was measured before is kept, and the queue continues. The trial's log has the details.",
    )
