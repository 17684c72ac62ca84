"""The engines as a wheel for other machines, made from the packages that run here: an installed application or a source
tree. The same files give the same bytes, whose hash is in the version. No window, no database. Any thread.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

DISTRIBUTION = "llm-workbench"
"""As the application is called: facts of a trial name the version under this name on every machine."""
_SHORT = 12
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip file can hold."""
_PARTS = (("engines", (".py", ".h")), ("assets", (".toml", ".txt")))
"""Packages of the application, and the kinds of their files that engines read."""


@dataclass(frozen=True)
class EnginesWheel:
    """`content` names the files whatever compressed them; two wheels with the same `content` are the same engines."""

    name: str
    version: str
    content: str
    data: bytes


def engines_wheel() -> EnginesWheel:
    """Read the running packages and pack them. Raises `OSError` where a file cannot be read."""
    packed = dict(sorted(_files()))
    content = _hash(packed)
    version = f"{_application_version()}+{content}"
    info = f"{DISTRIBUTION.replace('-', '_')}-{version}.dist-info"
    packed[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {version}\n".encode()
    packed[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: llm-workbench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    packed[f"{info}/RECORD"] = _record(packed, f"{info}/RECORD")
    name = f"{DISTRIBUTION.replace('-', '_')}-{version}-py3-none-any.whl"
    return EnginesWheel(name, version, content, _zipped(packed))


def _files() -> Iterator[tuple[str, bytes]]:
    for package, kinds in _PARTS:
        yield from _below(files(package), package, kinds)


def _below(folder: Traversable, place: str, kinds: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{place}/{entry.name}", kinds)
        elif entry.name.endswith(kinds):
            yield f"{place}/{entry.name}", entry.read_bytes()


def _hash(packed: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, data in packed.items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:_SHORT]


def _application_version() -> str:
    """As the source tree says, else as installed."""
    try:
        text = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["project"]["version"])
    except (OSError, ValueError, KeyError):
        pass  # installed: its metadata says it
    try:
        return installed(DISTRIBUTION)
    except PackageNotFoundError:
        return "0"


def _record(packed: dict[str, bytes], own: str) -> bytes:
    """The wheel's list of its files, as the packaging specification has it."""
    lines = []
    for name, data in packed.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    return "\n".join([*lines, f"{own},,", ""]).encode()


def _zipped(packed: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as wheel:
        for name, data in packed.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, data, zipfile.ZIP_DEFLATED, 9)
    return file.getvalue()
