"""Tokens as `llama_decode` wants them, in memory that is made once. Worker process; no llama.cpp call."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np


class Tokens:
    """Rows of token, position, sequence and whether its logits are wanted; every row belongs to one sequence.

    The arrays are written in place between calls; batches point into them. Keep this object for as long as they live.
    """

    def __init__(self, batch_type: Any, capacity: int) -> None:
        self._type = batch_type
        self.token = np.zeros(capacity, np.int32)
        self.position = np.zeros(capacity, np.int32)
        self.sequence = np.zeros(capacity, np.int32)
        self.wanted = np.zeros(capacity, np.int8)
        self._counts = np.ones(capacity, np.int32)
        """Sequences of each row: one."""
        step = self.sequence.itemsize
        self._pointers = np.arange(capacity, dtype=np.uint64) * np.uint64(step) + np.uint64(self.sequence.ctypes.data)

    def batch(self, first: int, count: int) -> Any:
        """A `llama_batch` of `count` rows from row `first` on."""
        fields = dict(self._type._fields_)

        def at(array: np.ndarray[Any, Any], name: str) -> Any:
            return ctypes.cast(array[first:].ctypes.data, fields[name])

        return self._type(
            n_tokens=count,
            token=at(self.token, "token"),
            embd=None,
            pos=at(self.position, "pos"),
            n_seq_id=at(self._counts, "n_seq_id"),
            seq_id=at(self._pointers, "seq_id"),
            logits=at(self.wanted, "logits"),
        )
