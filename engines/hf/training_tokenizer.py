"""How training data become tokens with a tokenizer of transformers. Worker process."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from engines.data.begin import Begin
from engines.data.training.columns import Turn
from engines.data.training.masks import TemplateRefusal


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

    def chat(self, turns: Sequence[Turn], *, ask: bool) -> str:
        messages = [{"role": role, "content": text} for role, text in turns]
        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))
        except TemplateError as error:
            raise TemplateRefusal(str(error).partition("\n")[0]) from error
