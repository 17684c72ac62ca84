"""Does llama.cpp cut text into the same tokens as the model's own tokenizer? Asked of every converted file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from engines.data.text import held_out_text
from engines.llama.library import library
from engines.llama.vocabulary import Vocabulary
from engines.worker.failures import WorkerFailure

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_AWKWARD = (
    "  two  spaces\ttab\r\n\r\n\n   trailing   \n1234567890 3.14159 0x1F 12 345 1,000,000\n"
    "don't DON'T we'll I'm they've he'd O'Neill\nCamelCase snake_case kebab-case MiXeD HTTPServer\n"
    "naïve café Ångström Größe İstanbul ﬁne\nДобрый день, мир! Γειά σου\n日本語のテキスト。中文字符\n"
    "مرحبا بالعالم שלום\n"
    "नमस्ते दुनिया สวัสดี\n👍🏽 👩‍👩‍👧 ™ © ½ ² ٣ Ⅷ\n<html> a&b || != === -> #tag @name $5 100% ~/x\\y\n"
    "def f(x):\n    return {'a': [1, 2], \"b\": x**2}\n\x07\u200b\u00a0end"
)
"""What splitting rules disagree about: digits, contractions, case, scripts, white space, symbols. In form NFC."""


def check_tokens(gguf: Path, folder: Path) -> str:
    """Compare both over the held-out text and an awkward one; a sentence for the facts. Raises `WorkerFailure` where
    they differ: perplexity and prompts would not be the model's."""
    source = folder / "tokenizer.json"
    if not source.is_file():
        return "not compared: the folder has no tokenizer.json"
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        return "not compared: the package tokenizers is not installed"
    text = held_out_text()
    own = Tokenizer.from_file(str(source))
    exception = ""
    for sample in (_AWKWARD, text):
        different = _difference(own, gguf, sample)
        if different and sample.startswith(" ") and not _difference(own, gguf, sample.lstrip(" ")):
            # SentencePiece and llama.cpp put a space before every text, transformers' newer form of it only before
            # those that do not begin with one
            different, exception = "", ", but for text that begins with a space"
        if different:
            raise WorkerFailure(
                "technique",
                f"llama.cpp would cut text into other tokens than the model's own tokenizer ({different}).",
                "Its figures would not be the model's, so the file is not made. Run it with the transformers engine.",
            )
    return f"the same as the model's own tokenizer over {len(text) + len(_AWKWARD):,} characters{exception}"


def _difference(own: Tokenizer, gguf: Path, sample: str) -> str:
    """Where the two begin to differ, in words; "" where they do not."""
    expected = own.encode(sample, add_special_tokens=False).ids
    found = llama_tokens(gguf, sample)
    if found == expected:
        return ""
    at = next((n for n, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), 0)
    return f"from token {at}: {own.decode(expected[at : at + 4])!r}"


def llama_tokens(gguf: Path, text: str) -> list[int]:
    """Ids without special tokens around the text; special tokens written in it are recognised."""
    used = library()
    settings = used.api.llama_model_default_params()
    settings.vocab_only = True
    model = used.api.llama_model_load_from_file(os.fsencode(gguf), settings)
    if not model:
        raise WorkerFailure(
            "engine",
            f"llama.cpp cannot read the vocabulary of {gguf.name}: {used.words.last_error or 'it gave no reason'}.",
            "The conversion is at fault. Run the model with the transformers engine.",
        )
    try:
        return Vocabulary(used, model).encode(text, special=True)
    finally:
        used.api.llama_model_free(model)
