"""The measured loop: prompts in, tokens out, greedy, of a fixed length, one stamp a token. Worker process.

Per token: one `llama_decode`, the wait for its logits, the argmax over them, two small arrays updated in place, one
stamp; the next token is known before the stamp. The argmax is numpy's on a view of llama.cpp's own memory: 2.7 µs for
49,152 tokens, where llama.cpp's greedy sampler, which makes a list of candidates first, took 67 µs on the same machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic_ns
from typing import Any

import numpy as np

from engines.data.text import TokenIds
from engines.llama.batches import Tokens
from engines.llama.context import Context
from engines.llama.failures import decode_failure
from engines.llama.library import Library
from engines.protocol.ring import RingWriter
from engines.worker.engine import Finished
from engines.worker.stop import Stop


@dataclass(frozen=True)
class Lengths:
    """Shape of every request: tokens per sequence, and sequences. `depth` tokens are in the cache before it starts."""

    prompt: int
    new: int
    batch: int
    depth: int = 0


@dataclass(frozen=True)
class _Piece:
    """A part of the prompts that is computed at once, and the sequences whose prompts end in it (in order)."""

    batch: Any
    first: int
    """Sequence that ends first in it."""
    ends: int


class Generator:
    """Runs requests of one shape in one context. All it needs per request is made once, here."""

    def __init__(
        self,
        library: Library,
        context: Context,
        ring: RingWriter,
        stop: Stop,
        lengths: Lengths,
        *,
        keeps_depth: bool = True,
    ) -> None:
        """`keeps_depth`: whether the cache can drop what follows the depth, so that it is computed once."""
        self._library = library
        self._context = context
        self._ring = ring
        self._stop = stop
        self._lengths = lengths
        batch_type = library.api.llama_batch
        self._prompts = Tokens(batch_type, lengths.batch * lengths.prompt)
        self._pieces = self._cut(self._prompts)
        self._step = Tokens(batch_type, lengths.batch)
        self._step.sequence[:] = np.arange(lengths.batch)
        self._step.wanted[:] = 1
        self._step_batch = self._step.batch(0, lengths.batch)
        self._chosen = np.zeros(lengths.batch, np.intp)
        self._all: np.ndarray[Any, Any] = np.zeros((0, 0), np.float32)
        """The logits of every sequence: llama.cpp's own memory."""
        self._address = 0
        self.made = np.zeros((lengths.new, lengths.batch), np.int32)
        """Tokens of the last request: a row a step."""
        self._keeps_depth = keeps_depth
        self._depth_there = False

    def _cut(self, rows: Tokens) -> list[_Piece]:
        """Prompts one sequence after the other, in pieces of at most `n_batch`; the last token of each is asked for."""
        lengths = self._lengths
        rows.sequence[:] = np.repeat(np.arange(lengths.batch), lengths.prompt)
        rows.position[:] = np.tile(np.arange(lengths.depth, lengths.depth + lengths.prompt), lengths.batch)
        rows.wanted[lengths.prompt - 1 :: lengths.prompt] = 1
        pieces, total, most = [], len(rows.token), self._context.batch_tokens
        for first in range(0, total, most):
            last = min(first + most, total)
            ended_before = first // lengths.prompt
            pieces.append(_Piece(rows.batch(first, last - first), ended_before, last // lengths.prompt - ended_before))
        return pieces

    def _make_fresh(self, depth_ids: TokenIds) -> None:
        """A cache that holds nothing but the depth: before a request and outside its times."""
        depth = self._lengths.depth
        if self._depth_there and self._context.keep(depth):
            return
        self._context.clear()
        if depth:
            self._fill_depth(depth_ids)
            self._depth_there = self._keeps_depth

    def _fill_depth(self, ids: TokenIds) -> None:
        lengths, most = self._lengths, self._context.batch_tokens
        rows = Tokens(self._library.api.llama_batch, lengths.depth)
        rows.token[:] = ids
        rows.position[:] = np.arange(lengths.depth)
        for sequence in range(lengths.batch):
            rows.sequence[:] = sequence
            for first in range(0, lengths.depth, most):
                if self._stop.requested:
                    return
                self._context.decode(rows.batch(first, min(most, lengths.depth - first)))
        self._library.api.llama_synchronize(self._context.pointer)

    def run(self, prompts: list[TokenIds], depth_ids: TokenIds, *, first_only: bool = False) -> Finished | None:
        """One request over a batch of prompts; None when the trial was stopped before its last token. With
        `first_only` it ends with the first token and stamps nothing."""
        self._prompts.token[:] = np.concatenate([np.asarray(prompt, np.int32) for prompt in prompts])
        self._step.position[:] = self._lengths.depth + self._lengths.prompt
        self._make_fresh(depth_ids)
        if self._stop.requested:
            return None
        return self._first_token() if first_only else self._whole()

    def _whole(self) -> Finished | None:
        ring, stop, step, made, pointer = self._ring, self._stop, self._step, self.made, self._context.pointer
        decode, batch, choose, stamp = self._library.api.llama_decode, self._step_batch, self._choose_all, ring.stamp
        position, rows, new = step.position, self._lengths.batch, self._lengths.new
        first_stamp = ring.written
        steps = 1
        start_ns = monotonic_ns()
        if not self._prefill():
            return None
        made[0] = step.token
        stamp()
        while steps < new and not stop.requested:
            code = decode(pointer, batch)
            if code:
                raise decode_failure(self._library.words, code)
            choose()
            position += 1
            made[steps] = step.token
            steps += 1
            stamp()
        end_ns = monotonic_ns()
        stamps = ring.written - first_stamp
        if steps < new:
            return None
        times = ring.times(first_stamp, stamps) or [end_ns]
        return Finished(
            start_ns=start_ns,
            end_ns=end_ns,
            first_stamp=first_stamp,
            stamps=stamps,
            first_token_ns=times[0],
            last_token_ns=times[-1],
            tokens_per_sequence=steps,
            batch_size=rows,
            synchronised=True,
        )

    def _first_token(self) -> Finished | None:
        start_ns = monotonic_ns()
        if not self._prefill():
            return None
        end_ns = monotonic_ns()
        return Finished(
            start_ns=start_ns,
            end_ns=end_ns,
            first_stamp=0,
            stamps=1,
            first_token_ns=end_ns,
            last_token_ns=end_ns,
            tokens_per_sequence=1,
            batch_size=self._lengths.batch,
            synchronised=True,
        )

    def _prefill(self) -> bool:
        """Compute the prompts and choose every sequence's first token; False when stopped between two pieces."""
        decode, pointer = self._library.api.llama_decode, self._context.pointer
        for piece in self._pieces:
            if self._stop.requested:
                return False
            code = decode(pointer, piece.batch)
            if code:
                raise decode_failure(self._library.words, code)
            if piece.ends:
                self._choose(piece.first, piece.ends)
        return True

    def _choose_all(self) -> None:
        """Wait for the logits of every sequence, and make the likeliest token of each the next."""
        address = self._library.logits_address(self._context.pointer)
        if address != self._address:
            self._look_at(address)
        self._all.argmax(1, self._chosen)
        self._step.token[:] = self._chosen

    def _choose(self, first: int, count: int) -> None:
        """The same for `count` sequences from `first` on, whose prompts have just ended."""
        address = self._library.logits_address(self._context.pointer)
        if address != self._address:
            self._look_at(address)
        self._step.token[first : first + count] = self._all[:count].argmax(1)

    def _look_at(self, address: int) -> None:
        """Where the logits are: it changes only when llama.cpp makes its buffer larger."""
        self._all = self._context.view(address, self._lengths.batch)
        self._address = address
