"""Models with what they are the same as: the step between looking up and a fingerprint. Any thread, any process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from engines.models.files import BrokenModel, ModelFiles, model_files
from engines.models.identity import Digests
from engines.models.lookup.resolved import ResolvedModel
from engines.models.lookup.trained import check_identity
from engines.protocol.problems import Problem

Looked = ResolvedModel | Problem
Look = Callable[[ResolvedModel, ModelFiles], ResolvedModel]
"""Raises `BrokenModel`, OSError."""


def each_identified(models: Mapping[str, Looked], look: Look) -> dict[str, Looked]:
    """The same models, those with files as `look` says, or why they cannot be read."""
    found = dict(models)
    for ref, files in files_of(models):
        model = found[ref]
        assert isinstance(model, ResolvedModel)
        try:
            found[ref] = look(model, files)
        except BrokenModel as error:
            found[ref] = Problem(severity="error", place=ref, message=str(error), hint=error.advice)
        except OSError as error:
            message = f"The model cannot be read: {error.strerror or error}."
            found[ref] = Problem(severity="error", place=ref, message=message)
    return found


def identified(model: ResolvedModel, fingerprint: str) -> ResolvedModel:
    """Raises `BrokenModel` where training has left or used other files."""
    order = msgspec.structs.replace(model.order, fingerprint=fingerprint)
    check_identity(order)
    return msgspec.structs.replace(model, order=order, identified=True)


def files_of(models: Mapping[str, Looked]) -> list[tuple[str, ModelFiles]]:
    """The files of every model that has some; a model whose files are gone meanwhile has none."""
    found: list[tuple[str, ModelFiles]] = []
    for ref, model in models.items():
        if isinstance(model, ResolvedModel) and model.order.kind in ("folder", "gguf"):
            with contextlib.suppress(BrokenModel, OSError):
                found.append((ref, model_files(Path(model.order.path))))
    return found


def unread(digests: Digests, files: ModelFiles) -> list[Path]:
    """Those that have to be read before the fingerprint is known."""
    found: list[Path] = []
    for file in files.all:
        with contextlib.suppress(OSError):  # said when it is read
            if digests.known(file) is None:
                found.append(file)
    return found


def size_of(file: Path) -> int:
    """0 of a file that is gone."""
    try:
        return file.stat().st_size
    except OSError:
        return 0
