"""Tokenizers of transformers, and how training data become tokens with one. Worker process, and that of a preview,
which goes without torch: nothing here imports it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from engines.data.begin import Begin, added_before
from engines.data.training.columns import Turn
from engines.data.training.masks import TemplateRefusal
from engines.hf import files
from engines.hf.explained import explained
from engines.protocol.orders import ModelOrder

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
_BYTES = 4
"""Of a character in UTF-8, at the most."""


def load_tokenizer(model: ModelOrder, *, allow_network: bool = False) -> PreTrainedTokenizerBase | None:
    """The model's tokenizer, or None where it has none."""
    if model.kind == "random":
        return None
    if model.kind == "folder":
        if not any((Path(model.path) / name).is_file() for name in _TOKENIZER_FILES):
            return None
        source = model.path
        arguments: dict[str, object] = {"local_files_only": True}
    elif model.kind == "gguf":
        path = Path(model.path)
        source, arguments = str(path.parent), {"gguf_file": path.name, "local_files_only": True}
    else:
        source, arguments = model.path, {"revision": model.revision or None, "local_files_only": not allow_network}
    with explained(model):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **arguments)
    return tokenizer


def begin_of(tokenizer: PreTrainedTokenizerBase, ends: frozenset[int], *, adds_bos: bool | None = None) -> Begin:
    """What the tokenizer puts before a text. `adds_bos` is what a GGUF file says of it, which transformers does not
    read of every kind of vocabulary; None asks the tokenizer."""
    bos = tokenizer.bos_token_id
    if adds_bos is None:
        ids = added_before(
            lambda words: tokenizer(words)["input_ids"],
            lambda words: tokenizer(words, add_special_tokens=False)["input_ids"],
        )
    else:
        ids = (bos,) if adds_bos and isinstance(bos, int) else ()
    named = (token for token in (bos, tokenizer.eos_token_id) if isinstance(token, int))
    return Begin(ids, tokenizer.decode(list(ids)) if ids else "", next(named, min(ends, default=0)))


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
