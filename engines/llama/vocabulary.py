"""A loaded model's own tokenizer. Worker process."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

from engines.data.begin import Begin
from engines.llama.library import Library

_PIECE_BYTES = 256


class Vocabulary:
    """Text to token ids and back, as llama.cpp does it. `model` is a `llama_model *`."""

    def __init__(self, library: Library, model: int) -> None:
        self._api = library.api
        self._vocab = self._api.llama_model_get_vocab(model)
        self.size = int(self._api.llama_vocab_n_tokens(self._vocab))
        self.kind = int(self._api.llama_vocab_type(self._vocab))
        bos, eos = int(self._api.llama_vocab_bos(self._vocab)), int(self._api.llama_vocab_eos(self._vocab))
        self.bos = bos if bos >= 0 else None
        self.eos = eos if eos >= 0 else None

    @property
    def exists(self) -> bool:
        """Whether the file has a tokenizer at all."""
        return self.kind != self._api.LLAMA_VOCAB_TYPE_NONE

    @property
    def begin(self) -> Begin:
        """What llama.cpp puts before a text, by the file's word or its own rule for this kind of vocabulary."""
        if self.bos is not None and self._api.llama_vocab_get_add_bos(self._vocab):
            return Begin((self.bos,), self.text_of(self.bos), self.bos)
        return Begin(empty=next((token for token in (self.bos, self.eos) if token is not None), 0))

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Ids of `text`, none added. `special`: the text's own special tokens ("<|im_start|>") are one id each."""
        raw = text.encode()
        room = len(raw) + 16
        for _ in range(2):
            ids = (ctypes.c_int32 * room)()
            count = int(self._api.llama_tokenize(self._vocab, raw, len(raw), ids, room, False, special))
            if count >= 0:
                return list(ids[:count])
            room = -count
        raise ValueError(f"llama.cpp could not tokenise a text of {len(raw)} bytes")

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes that a token stands for; of a special token none, unless `special`."""
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        count = int(self._api.llama_token_to_piece(self._vocab, token, buffer, _PIECE_BYTES, 0, special))
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = int(self._api.llama_token_to_piece(self._vocab, token, buffer, -count, 0, special))
        return buffer.raw[:count]

    def decode(self, ids: Iterable[int]) -> bytes:
        return b"".join(self.piece(token) for token in ids)

    def text_of(self, token: int | None) -> str:
        """A special token as it is written, "" for None."""
        return "" if token is None else self.piece(token, special=True).decode(errors="replace")

    def ends(self, token: int) -> bool:
        """Whether the model ends its answer with this token."""
        return bool(self._api.llama_vocab_is_eog(self._vocab, token))
