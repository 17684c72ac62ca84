"""A byte-level BPE made of a text: every string is some of its tokens, so that none is unknown (Sennrich et al. 2016,
arXiv 1508.07909; bytes as in GPT-2). Made by the library `tokenizers`, which transformers needs anyway and which is
imported late; any process.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

END = "<|endoftext|>"
"""Stands between documents, and is token 0."""
MOST_BYTES = 64 << 20
"""Of the training text that the vocabulary is made of: the first documents."""
LEAST = 257
"""All bytes and the end."""


def version() -> str:
    """Of the library: another one may make other tokens of the same text."""
    return importlib.metadata.version("tokenizers")


def made_of(documents: Sequence[str], vocabulary: int) -> Any:
    """A `tokenizers.Tokenizer` with at most `vocabulary` tokens: fewer where the text has no more pairs that come
    twice."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # imported late to keep start-up fast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_first(documents), trainer)
    return tokenizer


def _first(documents: Iterable[str]) -> Iterator[str]:
    taken = 0
    for document in documents:
        yield document
        taken += len(document.encode())
        if taken >= MOST_BYTES:
            return


def token_bytes(tokenizer: Any) -> list[int]:
    """Of each token how many bytes of text it stands for: a letter of the byte-level alphabet for each, of the end
    none."""
    size = tokenizer.get_vocab_size()
    return [0 if (word := tokenizer.id_to_token(id)) == END else len(word) for id in range(size)]
