"""Copies a model, prompts or data of this computer to another machine, where `engines.models.receiving` takes them.

Blocks for as long as that takes; any thread. Interrupted by whatever `report` raises, by a lost link or a full disk, it
continues the next time where it ended.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.data.text_corpus import find_text
from engines.data.training.sources import find, fingerprint
from engines.models.files import BrokenModel, model_files
from engines.models.identity import Digests
from engines.models.receiving import Announced, FileAnnounced, Kept, Ready, Refused, Word
from engines.protocol.orders import ModelOrder
from engines.protocol.problems import Advised, advice_of
from engines.protocol.text_file import FileError
from workbench.models.fetching import Report
from workbench.units import format_bytes

Engines = Callable[[Sequence[str]], "subprocess.Popen[bytes]"]
"""Starts `python -m engines ARGUMENTS` on a machine, its three streams as pipes."""

_decode_word: Callable[[bytes], Word] = msgspec.json.Decoder(Word).decode
_BLOCK_BYTES = 1 << 20
_REPORT_EVERY_S = 0.1
_SAID_LINES = 5
_LONGEST_WORD = 4 << 20


class CopyError(Advised):
    """Why something was not copied, and in `advice` what is safe and what to do."""


@dataclass(frozen=True)
class Parcel:
    """What is copied."""

    title: str
    fingerprint: str
    files: tuple[tuple[str, Path], ...]
    """Names there, with "/", and where they are here."""


def parcel_of_model(order: ModelOrder) -> Parcel:
    """`order` has its fingerprint. Raises `BrokenModel`, OSError."""
    files = model_files(Path(order.path))
    folder = files.weights[0].parent
    named = tuple((file.relative_to(folder).as_posix(), file) for file in files.all)
    return Parcel(order.title, order.fingerprint, named)


def parcel_of_adapter(order: ModelOrder) -> Parcel:
    """The adapter alone. Raises OSError."""
    folder = Path(order.adapter)
    named = tuple((file.relative_to(folder).as_posix(), file) for file in sorted(folder.rglob("*")) if file.is_file())
    return Parcel(f"The adapter {order.title}", order.adapter_hash, named)


def parcel_of_data(path: str, base: Path, digests: Digests) -> Parcel:
    """A file of prompts, a file or a folder of training data or of text files. Raises `FileError`."""
    try:
        source = find(path, base)
    except FileError:
        source = find_text(path, base)
    named = tuple((file.relative_to(source.folder).as_posix(), file) for file, _ in source.files)
    return Parcel(source.title, fingerprint(source, digests), named)


def copy(parcel: Parcel, engines: Engines, digests: Digests, title: str, report: Report) -> str:
    """-> its path there. `title` is the machine's. Raises `CopyError`."""
    try:
        announced = Announced(
            fingerprint=parcel.fingerprint,
            files=tuple(
                FileAnnounced(name=name, size_bytes=file.stat().st_size, sha256=digests.of(file))
                for name, file in parcel.files
            ),
        )
    except (BrokenModel, OSError) as error:
        raise CopyError(f"{parcel.title} cannot be read: {error}.", advice_of(error)) from error
    process = engines(["receive"])
    said = _Said(process)
    try:
        return _send(process, announced, parcel, f"Copying {parcel.title} to {title}", report)
    except (BrokenPipeError, EOFError) as error:
        raise CopyError(
            f"{parcel.title} was not copied to {title}: {said.text() or 'the link was lost'}.",
            "What has arrived is kept: copy it again, and it continues there.",
        ) from error
    except OSError as error:
        raise CopyError(f"{parcel.title} cannot be read: {error.strerror or error}.") from error
    finally:
        _end(process)


def _send(process: subprocess.Popen[bytes], announced: Announced, parcel: Parcel, what: str, report: Report) -> str:
    """Raises `CopyError`; EOFError and BrokenPipeError where the other side is gone."""
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(announced) + b"\n")
    process.stdin.flush()
    word = _word(process)
    if isinstance(word, Ready):
        progress = _Progress(announced, word, what, report)
        try:
            for file, (_, path) in zip(announced.files, parcel.files, strict=True):
                _send_file(process, path, file, word.have.get(file.name, 0), progress)
            process.stdin.close()
        except BrokenPipeError:
            word = _word(process)  # it says why it stopped reading
        else:
            word = _word(process)
    if isinstance(word, Refused):
        raise CopyError(word.message, word.advice)
    if not isinstance(word, Kept):
        raise EOFError
    return word.path


def _send_file(
    process: subprocess.Popen[bytes], path: Path, file: FileAnnounced, offset: int, progress: _Progress
) -> None:
    assert process.stdin is not None
    left = file.size_bytes - offset
    with path.open("rb") as source:
        source.seek(offset)
        while left > 0:
            block = source.read(min(_BLOCK_BYTES, left))
            if not block:
                raise CopyError(f"{path} became shorter while it was copied.", "Wait until nothing writes it any more.")
            process.stdin.write(block)
            left -= len(block)
            progress.sent(len(block))
    process.stdin.flush()


class _Progress:
    def __init__(self, announced: Announced, ready: Ready, what: str, report: Report) -> None:
        self._total = sum(file.size_bytes for file in announced.files)
        self._done = sum(ready.have.values())
        self._what = what
        self._report = report
        self._said_s = 0.0
        self.sent(0)

    def sent(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._said_s > _REPORT_EVERY_S or self._done >= self._total:
            self._said_s = now
            share = self._done / self._total if self._total else 1.0
            self._report(share, f"{self._what}: {format_bytes(self._done)} of {format_bytes(self._total)}")


def _word(process: subprocess.Popen[bytes]) -> Word:
    """The next thing the other side says; a login's banner is passed over. Raises EOFError."""
    assert process.stdout is not None
    while line := process.stdout.readline(_LONGEST_WORD):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            return _decode_word(line)
    raise EOFError


class _Said:
    """The last lines of its standard error, which is read so that it cannot fill."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._lines: deque[str] = deque(maxlen=_SAID_LINES)
        self._process = process
        self._thread = threading.Thread(target=self._read, name="copy-errors", daemon=True)
        self._thread.start()

    def text(self) -> str:
        self._thread.join(timeout=1.0)
        return " ".join(self._lines)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while line := self._process.stderr.readline(4096):
                self._lines.append(line.decode("utf-8", "replace").strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(timeout=5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
