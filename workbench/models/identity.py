"""Fingerprints of the models of a plan: read while the caller waits, or in the background while a window stays usable.

Owned by `workbench.running.workbench.Workbench`. Any thread; the reading itself is `engines.models.identity`'s.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engines.models.files import BrokenModel, ModelFiles
from engines.models.identity import Digests
from engines.models.lookup.identified import Looked, each_identified, files_of, identified, size_of, unread
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.problems import Problem
from workbench.models.fetching import Report
from workbench.units import format_bytes


class Identities:
    """What models are the same as."""

    def __init__(self, digests: Digests) -> None:
        self._digests = digests
        self._lock = threading.Lock()
        self._waiting: dict[Path, int] = {}
        """Files to read in the background, with the bytes that have been read of each."""
        self._failed: dict[Path, OSError] = {}
        """Why the last reading of a file ended, until somebody has been given the reason."""
        self._thread: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """End the reading in the background; what was half read is read anew another time."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None:
            thread.join()

    def read(self, models: Mapping[str, Looked], report: Report) -> dict[str, Looked]:
        """Every model with its fingerprint; files that nobody has read are read now, about a second a gigabyte."""
        done, total = 0, sum(sum(map(size_of, unread(self._digests, files))) for _, files in files_of(models))

        def progress(count: int) -> None:
            nonlocal done
            done += count
            report(done / total if total else None, f"Reading the models' files: {format_bytes(total)}, once")

        return each_identified(models, lambda model, files: identified(model, self._digests.of_model(files, progress)))

    def glance(self, models: Mapping[str, Looked]) -> dict[str, Looked]:
        """Every model with its fingerprint where that is known; for the others a note says how far the reading is,
        which continues in the background. Takes milliseconds."""
        return each_identified(models, self._known_or_being_read)

    def _known_or_being_read(self, model: ResolvedModel, files: ModelFiles) -> ResolvedModel:
        fingerprint = self._digests.known_of_model(files)
        return identified(model, fingerprint) if fingerprint else self._being_read(model, files)

    # --- in the background --------------------------------------------------------------------------

    def _being_read(self, model: ResolvedModel, files: ModelFiles) -> ResolvedModel:
        """Raises OSError where a file could not be read; it is tried again the next time."""
        waiting, total = unread(self._digests, files), sum(map(size_of, files.all))
        with self._lock:
            for file in waiting:
                if file in self._failed:
                    raise self._failed.pop(file)
            for file in waiting:
                self._waiting.setdefault(file, 0)
            left = sum(size_of(file) - self._waiting[file] for file in waiting)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="model-files", daemon=True)
                self._thread.start()
        share = 1 - left / total if total else 0.0
        note = Problem(
            severity="note",
            place=model.order.ref,
            message=f"The files of {model.order.title} are being read: {share:.0%} of {format_bytes(total)}.",
            hint="Once for each file, to know which model it is: changed weights are another model.",
        )
        return msgspec.structs.replace(model, identified=False, problems=(*model.problems, note))

    def _work(self) -> None:
        """The thread: reads what waits, as much out of the way of running trials as a thread can be."""
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        while True:
            with self._lock:
                file = next(iter(self._waiting), None)
                if file is None or self._closed:
                    self._thread = None
                    return
            failed: OSError | None = None
            try:
                self._digests.of(file, lambda count, file=file: self._progress(file, count))  # type: ignore[misc]
            except OSError as error:
                failed = error
            except (BrokenModel, _Closed):
                pass  # a file that is still being written: the next plan asks again
            with self._lock:
                if failed is not None:
                    self._failed[file] = failed
                self._waiting.pop(file, None)

    def _progress(self, file: Path, count: int) -> None:
        with self._lock:
            if self._closed:
                raise _Closed
            self._waiting[file] += count


class _Closed(Exception):
    """Ends the reading of a file."""
