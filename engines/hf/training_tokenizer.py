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
        """The text of each token, special ones written out. Each is decoded after the one before it: a tokenizer of
        SentencePiece's kind drops the space before the first."""
        found = []
        for before, id in zip([None, *ids[:-1]], ids, strict=True):
            lead = "" if before is None else self._decode([before])
            both = self._decode([id] if before is None else [before, id])
            found.append(both[len(lead) :] if both.startswith(lead) else self._decode([id]))
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
