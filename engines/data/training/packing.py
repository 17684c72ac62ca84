"""Packing: which documents share a row. Pure.

Best fit, the longest first: each document goes where the least room is left that still takes it, so that no document is
cut and little is filled up (Ding et al. 2024, arXiv 2404.10830). The free room of rows is kept by size, so that the
work grows with the number of documents and not with its square.
"""

from __future__ import annotations

from collections.abc import Sequence


def packed(lengths: Sequence[int], room: int) -> list[tuple[int, ...]]:
    """Places of documents by row; no row's lengths add up to more than `room` (tokens). Every place comes once. Raises
    `ValueError` where a document alone does not fit."""
    if max(lengths, default=0) > room:
        raise ValueError(f"a document of {max(lengths)} tokens does not fit into rows of {room}")
    rows: list[list[int]] = []
    by_room: dict[int, list[int]] = {}
    """Rows by the room left in them."""
    rooms = 0
    """Bit n is set where `by_room[n]` holds a row."""
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        length = lengths[place]
        fitting = rooms >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1
            row = by_room[left].pop()
            if not by_room[left]:
                rooms &= ~(1 << left)
        else:
            left, row = room, len(rows)
            rows.append([])
        rows[row].append(place)
        by_room.setdefault(left - length, []).append(row)
        rooms |= 1 << (left - length)
    return [tuple(row) for row in rows]
