"""Built-in pairs: functions of Python's standard library and their docstrings (PSF licence). No torch; worker process.

Only sources are read, nothing is imported. They differ by Python version, so their hash goes into every result.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import sysconfig
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

DOCSTRINGS = "docstrings"
_QUESTION = "Write the docstring of this Python function.\n\n"
_CHARACTERS = range(20, 800)
"""Length of a docstring."""
_LINES = 40
"""Of a function, at the most."""


@cache
def pairs() -> tuple[tuple[str, str], ...]:
    """(question with the function's source, docstring), each once, by module and place."""
    library = Path(sysconfig.get_path("stdlib"))
    return tuple(dict.fromkeys(pair for file in sorted(library.glob("*.py")) for pair in _of_module(file)))


def pairs_name() -> str:
    """ "Python 3.11 standard library, functions and docstrings"."""
    major, minor, _ = platform.python_version_tuple()
    return f"Python {major}.{minor} standard library, functions and docstrings"


def pairs_hash() -> str:
    return "sha256:" + hashlib.sha256(msgspec.json.encode(pairs())).hexdigest()


def _of_module(file: Path) -> Iterator[tuple[str, str]]:
    source = file.read_bytes().decode("utf-8", errors="replace")
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or len(node.body) < 2:
            continue
        said, first = ast.get_docstring(node), node.body[0]
        end, said_end = node.end_lineno or node.lineno, first.end_lineno or first.lineno
        # a docstring on a line of its own can be taken out of the source
        if said and len(said) in _CHARACTERS and end - node.lineno < _LINES and node.lineno < first.lineno:
            code = lines[node.lineno - 1 : first.lineno - 1] + lines[said_end:end]
            yield f"{_QUESTION}{textwrap.dedent(chr(10).join(code)).strip()}", said.strip()
