"""A worker's three pipes as records: the record pipe, standard output, standard error. No loop: fed with bytes.

What a broken or chatty worker can write is bounded, and the log says when something was left out.
"""

from __future__ import annotations

import re
from collections import deque
from time import monotonic_ns

import msgspec

from engines.protocol.codec import BadLine, decode_record, decoded
from engines.protocol.records import Log, LogLevel, Record, TrialEnded, TrialStarted, UnknownRecord

_LONGEST_RECORD = 16 << 20
_LONGEST_TEXT = 4_000
_GARBAGE_SHOWN = 20
_BURST = 200
_LINES_PER_S = 20.0
_TAIL_LINES = 160
"""A crash writes the stack of every thread after its last words."""
_NS = 1_000_000_000
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
"""Terminal colours and control characters, which a progress bar writes and a log cannot show."""


_decoder: msgspec.json.Decoder[object] = msgspec.json.Decoder()


class LineSplitter:
    """Bytes in, whole lines out (without newline). A line over `longest` bytes comes out cut, in pieces. What is in
    `hidden` (secrets) comes out as "[hidden]"."""

    def __init__(self, longest: int, hidden: tuple[bytes, ...] = ()) -> None:
        self._longest = longest
        self._hidden = hidden
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[bytes]:
        *whole, rest = data.split(b"\n")
        if whole and self._parts:
            whole[0] = b"".join((*self._parts, whole[0]))
            self._parts, self._held = [], 0
        if rest:
            self._parts.append(rest)
            self._held += len(rest)
        if self._held > self._longest:
            whole.append(self._join())
        return [self._without_secrets(line) for line in whole]

    def rest(self) -> bytes:
        """What came without a newline at the end."""
        return self._without_secrets(self._join())

    def _without_secrets(self, line: bytes) -> bytes:
        for secret in self._hidden:
            line = line.replace(secret, b"[hidden]")
        return line

    def _join(self) -> bytes:
        held = b"".join(self._parts)
        self._parts, self._held = [], 0
        return held


class RecordPipe:
    """The worker's records; what is none becomes a warning in the log, a few times."""

    def __init__(self, hidden: tuple[bytes, ...] = ()) -> None:
        self._lines = LineSplitter(_LONGEST_RECORD, hidden)
        self.garbage = 0

    def feed(self, data: bytes) -> list[Record]:
        return [record for line in self._lines.feed(data) for record in self._read(line)]

    def finish(self) -> list[Record]:
        """At the end of the pipe: a line cut short, and how much garbage was not shown."""
        records = self._read(self._lines.rest())
        hidden = self.garbage - _GARBAGE_SHOWN
        if hidden > 0:
            records.append(_log("warning", "runner", f"{hidden} more lines on the record pipe were no records."))
        return records

    def _read(self, line: bytes) -> list[Record]:
        if not line.strip():
            return []
        try:
            record = decode_record(line)
            if isinstance(record, UnknownRecord):
                decoded(_decoder, line)  # nobody else has looked at its fields
        except (BadLine, msgspec.MsgspecError, UnicodeDecodeError) as error:
            return self._refused(str(error), line)
        if isinstance(record, (TrialStarted, TrialEnded)):
            return self._refused("only the runner says when a trial starts and ends", line)
        return [record]

    def _refused(self, why: str, line: bytes) -> list[Record]:
        self.garbage += 1
        if self.garbage > _GARBAGE_SHOWN:
            return []
        text = _clean(line[:200])
        return [_log("warning", "runner", f"A line on the record pipe was left out ({why}): {text}")]


class TextPipe:
    """Standard output or error as log lines: a burst of 200 at most, then 20 a second; the rest is counted."""

    def __init__(self, source: str, hidden: tuple[bytes, ...] = ()) -> None:
        self._source = source
        self._lines = LineSplitter(_LONGEST_TEXT, hidden)
        self._allowance = float(_BURST)
        self._refilled_ns = monotonic_ns()
        self._left_out = 0
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    @property
    def tail(self) -> str:
        """The last lines, also those that were left out: what a crash is explained with."""
        return "\n".join(self._tail)

    def feed(self, data: bytes, now_ns: int | None = None) -> list[Record]:
        now = monotonic_ns() if now_ns is None else now_ns
        self._allowance = min(float(_BURST), self._allowance + (now - self._refilled_ns) / _NS * _LINES_PER_S)
        self._refilled_ns = now
        records: list[Record] = []
        for line in self._lines.feed(data):
            self._take(line, records)
        return records

    def finish(self) -> list[Record]:
        records: list[Record] = []
        self._take(self._lines.rest(), records)
        return [*records, *self._note_left_out()]

    def _take(self, line: bytes, records: list[Record]) -> None:
        # a progress bar redraws its line with carriage returns: its last state is what counts
        text = _clean(line.rstrip(b"\r").rpartition(b"\r")[2][:_LONGEST_TEXT])
        if not text:
            return
        self._tail.append(text)
        if self._allowance < 1:
            self._left_out += 1
            return
        self._allowance -= 1
        records.extend(self._note_left_out())
        records.append(_log("info", self._source, text))

    def _note_left_out(self) -> list[Record]:
        if not self._left_out:
            return []
        count, self._left_out = self._left_out, 0
        return [_log("warning", "runner", f"{count} lines of {self._source} were left out: too many at once.")]


def _clean(line: bytes) -> str:
    return _CONTROL.sub("", line.decode("utf-8", "replace")).rstrip()


def _log(level: LogLevel, source: str, text: str) -> Log:
    return Log(t_ns=monotonic_ns(), level=level, source=source, text=text)
