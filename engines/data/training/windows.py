"""A long row of tokens as documents of one length, cut where the length ends, whatever stands there. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from engines.data.training.documents import Document


class Windows(Sequence[Document]):
    """Made when they are asked for: a corpus may be larger than the memory. What is left at the end is not used. A
    window's first token is context only, as of every document."""

    def __init__(self, ids: npt.NDArray[np.unsignedinteger[Any]], length: int) -> None:
        self._ids, self._length = ids, length
        self._mask = b"\0" + b"\1" * (length - 1)

    def __len__(self) -> int:
        return len(self._ids) // self._length

    @overload
    def __getitem__(self, place: int) -> Document: ...
    @overload
    def __getitem__(self, place: slice) -> list[Document]: ...
    def __getitem__(self, place: int | slice) -> Document | list[Document]:
        if isinstance(place, slice):
            return [self[n] for n in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        window = self._ids[place * self._length : (place + 1) * self._length]
        return Document(array("i", window.tolist()), self._mask)
