"""The files of a GGUF model in several parts, by their names. Pure path arithmetic; nothing is opened.

llama.cpp finds the parts of "NAME-00001-of-00003.gguf" by that name alone, and begins with the first: they lie in one
folder under the names they were given (https://github.com/ggml-org/llama.cpp/tree/master/tools/gguf-split).
"""

from __future__ import annotations

import re
from pathlib import Path

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def parts_of(file: Path) -> tuple[Path, ...]:
    """Every file of the model that `file` is a part of, in order, whether it is there or not; only `file` itself where
    its name is not that of a part."""
    found = _PART.fullmatch(file.name)
    count = int(found["count"]) if found else 1
    if found is None or count < 2 or not 1 <= int(found["number"]) <= count:
        return (file,)
    return tuple(file.with_name(f"{found['stem']}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1))


def model_stem(file: Path) -> str:
    """The name without its ending, and of a part without its number."""
    found = _PART.fullmatch(file.name)
    return found["stem"] if found and len(parts_of(file)) > 1 else file.stem
