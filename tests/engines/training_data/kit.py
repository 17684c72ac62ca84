"""Tokenizers for tests: a token is a character, or a special token written out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engines.data.begin import NONE, Begin
from engines.data.training.columns import Turn
from engines.data.training.masks import TemplateRefusal

SPECIAL = re.compile(r"<\|\w+\|>|.", re.DOTALL)


class Characters:
    """A ChatML template, as of SmolLM2 or Qwen; `merges` are strings that become one token."""

    def __init__(self, *, has_template: bool = True, begin: Begin = NONE, merges: Sequence[str] = ()) -> None:
        self.has_template, self.begin, self.end = has_template, begin, "<|end|>"
        self._pattern = re.compile("|".join([*map(re.escape, merges), SPECIAL.pattern]), re.DOTALL)
        self._ids = {"<s>": 0}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [
            [self._ids.setdefault(token, len(self._ids)) for token in self._pattern.findall(text)] for text in texts
        ]

    def text(self, ids: Sequence[int]) -> str:
        tokens = list(self._ids)
        return "".join(tokens[id] for id in ids)

    def chat(self, turns: Sequence[Turn], *, ask: bool) -> str:
        if any(role == "refused" for role, _ in turns):
            raise TemplateRefusal("roles must alternate")
        written = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
        return written + ("<|im_start|>assistant\n" if ask else "")


class Forgetful(Characters):
    """Leaves out what is between brackets in all turns but the last, as templates of reasoning models do."""

    def chat(self, turns: Sequence[Turn], *, ask: bool) -> str:
        shown = [(role, re.sub(r"\[.*?\]", "", text)) for role, text in turns[:-1]]
        return super().chat([*shown, *turns[-1:]], ask=ask)
