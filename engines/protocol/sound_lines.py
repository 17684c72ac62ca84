"""Which lines of a spool can be relied on, and what replaces those that cannot. Pure.

A spool is numbered without a gap, so a hole in the numbers is the damage: garbage, a torn line, zeros after a power
cut. Used where a spool is read (in the runner) and where its lines are taken in (in the store), by the same rules.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable

import msgspec

from engines.protocol.codec import Head, decoded, encode_record, read_head
from engines.protocol.records import ClockPair, LostRecord, TrialEnded, TrialStarted

LARGEST_HOLE = 1_000_000
"""A number further away than this is itself damaged."""

_BEGIN = re.compile(rb'(?=\{"kind":")')
"""A record may begin within a damaged line: two lines glued together, a torn one with the next behind it. In JSON,
this is never part of a string."""
_STARTED, _ENDED = (str(kind.__struct_config__.tag) for kind in (TrialStarted, TrialEnded))


class _Started(msgspec.Struct):
    clock: ClockPair


_started_decoder = msgspec.json.Decoder(_Started)


class SoundLines:
    """Lines in, in the order of the file; out come (seq, line) pairs with rising seqs and no gap, from `after` + 1 on.
    In the place of a record that cannot be read comes a `LostRecord`. Lines of numbers that were there are dropped."""

    def __init__(self, after: int = 0) -> None:
        self.last_seq = after
        self._held: tuple[Head, bytes] | None = None
        """A line after a hole: believed once a later number follows, for its own number may be what is damaged."""
        self._kind = ""
        self._t_ns = 0
        self._clock: ClockPair | None = None

    def feed(self, lines: Iterable[bytes]) -> list[tuple[int, bytes]]:
        sound: list[tuple[int, bytes]] = []
        for line in lines:
            head = read_head(line)
            if head is not None:
                self._take(head, line, sound)
                continue
            for piece in _BEGIN.split(line):
                head = read_head(piece)
                if head is not None:
                    self._take(head, piece, sound)
        return sound

    def settle(self, last_seq: int | None = None, *, complete: bool = False) -> list[tuple[int, bytes]]:
        """What is due when there are no more lines. `last_seq`: the number of the last one written, None where that is
        not known; `complete`: whether it was the trial's end."""
        sound: list[tuple[int, bytes]] = []
        if self._held is not None and last_seq in (None, self._held[0].seq):
            self._release(*self._held, sound)
        self._held = None
        if last_seq is not None:
            self._fill(last_seq if complete else last_seq + 1, sound)
        if complete and self._kind != _ENDED:
            end = self._lost_end()
            self._release(Head(_ENDED, end.seq), encode_record(end), sound)
        return sound

    def _take(self, head: Head, line: bytes, sound: list[tuple[int, bytes]]) -> None:
        if not self.last_seq < head.seq <= self.last_seq + LARGEST_HOLE:
            return
        if self._held is not None and head.seq > self._held[0].seq:
            self._release(*self._held, sound)
        self._held = None
        if head.seq == self.last_seq + 1:
            self._release(head, line, sound)
        else:
            self._held = (head, line)

    def _release(self, head: Head, line: bytes, sound: list[tuple[int, bytes]]) -> None:
        self._fill(head.seq, sound)
        sound.append((head.seq, line))
        self.last_seq, self._kind, self._t_ns = head.seq, head.kind, max(self._t_ns, head.t_ns)
        if head.kind == _STARTED:
            with contextlib.suppress(msgspec.MsgspecError):
                self._clock = decoded(_started_decoder, line).clock

    def _fill(self, until: int, sound: list[tuple[int, bytes]]) -> None:
        """Stand-ins for the numbers before `until`."""
        for seq in range(self.last_seq + 1, until):
            sound.append((seq, encode_record(LostRecord(seq=seq, t_ns=self._t_ns))))
            self.last_seq, self._kind = seq, ""

    def _lost_end(self) -> TrialEnded:
        """An end at the time of the last sound record, by both clocks where the start said them."""
        clock = self._clock
        wall_ns = 0 if clock is None else clock.wall_ns + self._t_ns - clock.mono_ns
        return TrialEnded(
            seq=self.last_seq + 1,
            t_ns=self._t_ns,
            outcome="lost",
            failure="damaged_spool",
            message="The record of how this trial ended is damaged.",
            advice="What could be read is kept. Check the disk, and run the trial again.",
            clock=ClockPair(wall_ns, self._t_ns),
        )
