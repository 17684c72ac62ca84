"""Changes to sound examples, from a seed. A library of `benchmarks.fuzzing`."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

TOKENS = (
    b"null", b"true", b"-1", b"0", b"1e999", b"-1e400", b"NaN", b"Infinity", b"9" * 40, b"9223372036854775808", b"0.1",
    b'""', b"[]", b"{}", b'"\\ud800"', b"\\u0000", b"\x00", b"\xff\xfe", b"\n", b"\r\n", b'"', b"\\", b"[", b"{", b"}",
    b'"kind":"', b'{"kind":"', b'"seq":', b"[" * 3000, b'{"a":' * 3000, "\u202e".encode(), b"../../etc/passwd",
    b"$(reboot)", b"<img src=x>", b"'''", b"= [", b"# ",
)  # fmt: skip
ODD: tuple[object, ...] = (
    None, True, -1, 0, 2**63, -(2**63) - 1, 2**70, 1e308, 10**400, "", "\x00", "x" * 5000, "../x", [], {}, [[]],
    {"": {}}, "2026-13-45", ["a", 1, None],
)  # fmt: skip


class Mutator:
    """An endless row of inputs: mostly one to four changes, at times many."""

    def __init__(self, rng: random.Random, examples: Sequence[bytes]) -> None:
        self._rng = rng
        self._examples = list(examples)

    def next(self) -> bytes:
        data = self._rng.choice(self._examples)
        if self._rng.random() < 0.5:
            changed = self._in_json(data)
            if changed is not None:
                data = changed
                if self._rng.random() < 0.7:
                    return data
        for _ in range(self._rng.choice((1, 1, 2, 4, 30))):
            data = self._once(data)
        return data

    def _once(self, data: bytes) -> bytes:
        rng = self._rng
        at = rng.randrange(len(data) + 1)
        length = rng.choice((1, 2, 8, 60))
        match rng.randrange(8):
            case 0:  # a bit
                return data[:at] + bytes(b ^ (1 << rng.randrange(8)) for b in data[at : at + 1]) + data[at + 1 :]
            case 1:
                return data[:at] + rng.randbytes(length) + data[at + length :]
            case 2:
                return data[:at] + data[at + length :]
            case 3:
                return data[:at]
            case 4:
                return data[:at] + data[max(0, at - length) :]
            case 5:
                other = rng.choice(self._examples)
                cut = rng.randrange(len(other) + 1)
                return data[:at] + other[cut : cut + rng.choice((10, 200, 5000))] + data[at:]
            case 6:
                return data[:at] + bytes(length) + data[at + length :]
            case _:
                return data[:at] + rng.choice(TOKENS) + data[at + rng.choice((0, 0, length)) :]

    def _in_json(self, data: bytes) -> bytes | None:
        """One value of a JSON line changed for an odd one, or for a value from elsewhere in it; None where it has no
        such line."""
        lines = data.split(b"\n")
        at = self._rng.randrange(len(lines))
        try:
            value = json.loads(lines[at])
        except (ValueError, RecursionError):
            return None
        places: list[tuple[dict[str, object] | list[object], str | int]] = []
        _collect(value, places)
        if not places:
            return None
        holder, key = self._rng.choice(places)
        match self._rng.randrange(4):
            case 0:
                del holder[key]  # type: ignore[arg-type]
            case 1:
                other, name = self._rng.choice(places)
                found = other[name] if name in other or isinstance(other, list) else None  # type: ignore[index]
                holder[key] = json.loads(json.dumps(found))  # type: ignore[index]
            case _:
                holder[key] = self._rng.choice(ODD)  # type: ignore[index]
        lines[at] = json.dumps(value).encode()
        return b"\n".join(lines)


def _collect(value: object, places: list[tuple[dict[str, object] | list[object], str | int]]) -> None:
    if isinstance(value, dict):
        places.extend((value, key) for key in value)
        for inner in value.values():
            _collect(inner, places)
    elif isinstance(value, list):
        places.extend((value, index) for index in range(len(value)))
        for inner in value:
            _collect(inner, places)
