"""How training data become tokens with a tokenizer of transformers. Worker process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from engines.data.begin import Begin
from engines.data.training.columns import Turn
from engines.data.training.masks import TemplateRefusal
from engines.hf import files
from engines.hf.reader import begin_of
from engines.protocol.orders import ModelOrder

_BYTES = 4
"""Of a character in UTF-8, at the most."""


class TrainingTokenizer:
    """`engines.data.training.masks.Tokenizer`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, begin: Begin) -> None:
        self._tokenizer, self.begin = tokenizer, begin
        self.end = str(tokenizer.eos_token or "")
        self.has_template = bool(getattr(tokenizer, "chat_template", None))

    def encode(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        found: list[list[int]] = []
        if texts:
            found = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return found

    def texts(self, ids: Sequence[int]) -> list[str]:
        """The text of each token, special ones written out; a character of several tokens belongs to the last. Each is
        decoded after the one before it: a tokenizer of SentencePiece's kind drops the space before the first."""
        found, lead, waiting = list[str](), list[int](), list[int]()
        for id in ids:
            waiting.append(id)
            before = self._decode(lead)
            text = self._decode([*lead, *waiting])
            text = text[len(before) :] if text.startswith(before) else self._decode(waiting)
            if text.endswith("\ufffd") and len(waiting) < _BYTES:
                found.append("")
            else:
                found.append(text)
                lead, waiting = [id], []
        return found

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def chat(self, turns: Sequence[Turn], *, ask: bool) -> str:
        messages = [{"role": role, "content": text} for role, text in turns]
        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))
        except TemplateError as error:
            raise TemplateRefusal(str(error).partition("\n")[0]) from error


def tokenizer_of(order: ModelOrder, tokenizer: PreTrainedTokenizerBase) -> TrainingTokenizer:
    """For a model that is not loaded: as a trial has it."""
    says = files.gguf_model(Path(order.path)).adds_bos if order.kind == "gguf" else None
    return TrainingTokenizer(tokenizer, begin_of(tokenizer, frozenset(), adds_bos=says))
