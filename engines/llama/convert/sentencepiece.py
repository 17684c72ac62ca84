"""The pieces of a SentencePiece model file (tokenizer.model). Reads the few fields that are needed; no package.

The file is a protocol buffer, https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto:
field 1 of the whole is a piece (1 text, 2 score, 3 type), field 2 the trainer's settings (3 model type: 1 unigram,
2 BPE), field 3 the normaliser's (3 whether a space is put before the text). Wire format:
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Kinds of pieces; GGUF's token types have the same numbers."""
_KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


@dataclass(frozen=True)
class Piece:
    """One token; `score` orders merges (higher first)."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class Model:
    pieces: tuple[Piece, ...]
    kind: str
    """"bpe", "unigram", ..."""
    dummy_prefix: bool


def is_byte(text: str) -> bool:
    """Whether a piece stands for one byte: "<0x0A>"."""
    return _BYTE.fullmatch(text) is not None


def read(file: Path) -> Model:
    """Raises `ValueError` for a file that is not one."""
    pieces: list[Piece] = []
    kind, dummy_prefix = "unigram", True
    for number, value in _fields(file.read_bytes()):
        if number == 1 and isinstance(value, bytes):
            pieces.append(_piece(value))
        elif number == 2 and isinstance(value, bytes):
            kind = _KINDS.get(_whole(value, 3, 1), "unknown")
        elif number == 3 and isinstance(value, bytes):
            dummy_prefix = bool(_whole(value, 3, 1))
    if not pieces:
        raise ValueError(f"{file.name} holds no pieces")
    return Model(tuple(pieces), kind, dummy_prefix)


def _piece(data: bytes) -> Piece:
    text, score, kind = "", 0.0, NORMAL
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            text = value.decode()
        elif number == 2 and isinstance(value, float):
            score = value
        elif number == 3 and isinstance(value, int):
            kind = value
    return Piece(text, score, kind)


def _whole(data: bytes, wanted: int, default: int) -> int:
    return next((v for n, v in _fields(data) if n == wanted and isinstance(v, int)), default)


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """(field number, value): whole numbers, 4-byte floats, or bytes. 8-byte values are passed over."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
        elif wire == _BYTES:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("cut short")
            yield number, data[at : at + length]
            at += length
        elif wire in (_FOUR, _EIGHT):
            width = 4 if wire == _FOUR else 8
            if at + width > len(data):
                raise ValueError("cut short")
            if wire == _FOUR:
                yield number, float(struct.unpack_from("<f", data, at)[0])
            at += width
        else:
            raise ValueError(f"not a protocol buffer (wire type {wire})")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("cut short")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
