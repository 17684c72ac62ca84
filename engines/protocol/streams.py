"""Standard output and error that take any text."""

from __future__ import annotations

import codecs
import io
import re
import sys
from collections.abc import Callable
from functools import partial

_ESCAPES = "llm-workbench-escapes"
_COMMANDS = re.compile(r"\x1b(?!\[K)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
"""What a terminal obeys, but for our own erasing of a line."""


def take_any_text() -> None:
    """Write what the stream's encoding cannot hold (PYTHONIOENCODING=ascii; the name of a file that is not UTF-8) as
    an escape that JSON has too: a message that is hard to read is better than a traceback after hours of measuring.
    First thing of every program of ours; twice is once, for a fork's streams may lead elsewhere by then and cannot be
    reconfigured."""
    codecs.register_error(_ESCAPES, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != _ESCAPES:
            stream.reconfigure(errors=_ESCAPES)
            if stream.isatty():
                stream.write = partial(_show, stream.write)  # type: ignore[method-assign]


def _show(write: Callable[[str], int], text: str) -> int:
    """To a terminal, no control characters: names and logs come from files and other machines, and would move
    its cursor, set its title or type for the user."""
    return write(_COMMANDS.sub("\N{REPLACEMENT CHARACTER}", text))


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """As `backslashreplace`, but "\\u00e9" for "\\xe9" and a pair for what is beyond 16 bits."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)), error.end
