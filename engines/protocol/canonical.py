"""The one JSON text of a value, and its hash. Canonical: sorted keys, no spaces, UTF-8. Pure; any thread."""

from __future__ import annotations

import hashlib

import msgspec

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: object) -> bytes:
    """The one JSON text of a value made of structs, dicts, lists and scalars."""
    return _encoder.encode(msgspec.to_builtins(value, order="sorted", str_keys=True))


def digest(value: object) -> str:
    """SHA-256 of `canonical(value)`, 64 hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()
