"""`python -m engines look-up`: what this machine has of an experiment. A `LookUp` comes on standard input as JSON;
answers go out as JSON lines, the first at once, the last with every fingerprint.

A process of its own, at the lowest priority: it runs beside trials, and may have to read many gigabytes. Exit codes: 0
answered, 2 no question.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import msgspec

from engines.data.own import find_own
from engines.models import artifacts
from engines.models.files import BrokenModel, ModelFiles
from engines.models.identity import Digests
from engines.models.lookup.answer import Answer, Own
from engines.models.lookup.identified import Looked, each_identified, files_of, identified, size_of, unread
from engines.models.lookup.local_models import local_models
from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.models.receiving import copied, copied_folder
from engines.protocol.messages import Checkpoint, LookUp, Wanted
from engines.protocol.orders import ResumeOrder
from engines.protocol.places import Places, places
from engines.protocol.problems import Problem
from engines.protocol.work import AnyTraining, Inference, Pretraining, Training

_Reads = Inference | Training | Pretraining
_EVERY_S = 0.5
"""How often it says how far the reading is."""


def run(_options: argparse.Namespace) -> int:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 19)
    try:
        asked = msgspec.json.decode(sys.stdin.buffer.read(), type=LookUp)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        sys.stderr.write(f"This is no question: {error}\n")
        return 2
    looking = _Looking(asked, places(), Path.home())
    looking.say()
    looking.read()
    return 0


class _Looking:
    def __init__(self, asked: LookUp, here: Places, home: Path) -> None:
        self._digests = Digests(here.digests)
        self._models: dict[str, Looked] = {ref: resolve(ref, here, home) for ref in asked.refs}
        self._same: dict[str, Looked] = {}
        """What may prove to be a wanted model, by path."""
        self._wanted = {wanted.fingerprint for wanted in asked.wanted}
        for wanted in asked.wanted:
            self._same.update(_perhaps(wanted, here, home))
        copies = zip_longest(asked.own, asked.own_copies[: len(asked.own)], fillvalue="")
        self._own = tuple(Own.of(find_own(_copied(load, copy, here), home)) for load, copy in copies)  # type: ignore[arg-type]
        self._copies = {hash: str(folder) for hash in asked.copies if (folder := copied_folder(here, hash)) is not None}
        self._found = local_models(here) if asked.every_model else ()
        self._checkpoints: dict[str, ResumeOrder] = {}
        self._damaged: dict[str, str] = {}
        for one in asked.checkpoints:
            self._find_checkpoint(one, here)
        self._glance()
        every = (files for models in (self._models, self._same) for _, files in files_of(models))
        self._waiting = list(dict.fromkeys(file for files in every for file in unread(self._digests, files)))
        self._read, self._total = 0, sum(map(size_of, self._waiting))
        self._said = 0.0

    def _find_checkpoint(self, asked: Checkpoint, here: Places) -> None:
        try:
            found = artifacts.resumable(here.artifacts, asked.trial, asked.before)
        except BrokenModel as error:
            self._damaged[asked.trial] = str(error)
        else:
            self._checkpoints.update({} if found is None else {asked.trial: found})

    def say(self) -> None:
        self._said = time.monotonic()
        answer = Answer(
            models={ref: model for ref, model in self._models.items() if isinstance(model, ResolvedModel)},
            problems={ref: model for ref, model in self._models.items() if isinstance(model, Problem)},
            same=dict(self._proven()),
            own=self._own,
            copies=self._copies,
            found=self._found,
            checkpoints=self._checkpoints,
            damaged=self._damaged,
            read_bytes=self._read,
            total_bytes=self._total,
        )
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()

    def read(self) -> None:
        """Read what has not been read; then the last answer."""
        if not self._waiting:
            return
        for file in self._waiting:
            with contextlib.suppress(BrokenModel, OSError):  # said below
                self._digests.of(file, self._progress)
        self._models = each_identified(
            self._models, lambda model, files: identified(model, self._digests.of_model(files))
        )
        self._glance()
        self._read = self._total
        self.say()

    def _progress(self, count: int) -> None:
        self._read = min(self._read + count, self._total - 1)
        if time.monotonic() - self._said > _EVERY_S:
            self.say()

    def _glance(self) -> None:
        self._models = _known(self._models, self._digests)
        self._same = _known(self._same, self._digests)

    def _proven(self) -> Iterator[tuple[str, ResolvedModel]]:
        for model in self._same.values():
            if isinstance(model, ResolvedModel) and model.order.fingerprint in self._wanted:
                yield model.order.fingerprint, model


def _known(models: dict[str, Looked], digests: Digests) -> dict[str, Looked]:
    """With every fingerprint that can be had at once."""

    def look(model: ResolvedModel, files: ModelFiles) -> ResolvedModel:
        fingerprint = digests.known_of_model(files)
        return identified(model, fingerprint) if fingerprint else msgspec.structs.replace(model, identified=False)

    return each_identified(models, look)


def _copied(workload: _Reads, fingerprint: str, here: Places) -> _Reads:
    """With the copy in the place of the path, where there is one."""
    there = copied(here, fingerprint)
    if there is None:
        return workload
    if isinstance(workload, AnyTraining):
        return msgspec.structs.replace(workload, data=str(there))
    return msgspec.structs.replace(workload, prompt_file=str(there))


def _perhaps(wanted: Wanted, here: Places, home: Path) -> Iterator[tuple[str, Looked]]:
    """Models that may be the wanted one, by path: copied here under its fingerprint, or as large as it is."""
    there = copied(here, wanted.fingerprint)
    if there is not None:
        yield str(there), resolve(str(there), here, home)
        return
    for model in local_models(here):
        if model.size_bytes == wanted.weights_bytes and not model.problem:
            found = resolve(model.path, here, home)
            if isinstance(found, ResolvedModel) and not found.order.adapter:
                yield model.path, found
