"""Text in, text out with a loaded model: an `engines.worker.engine.Reader`. Worker process; outside timed phases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engines.llama.batches import Tokens
from engines.llama.chat import ask
from engines.llama.context import Context
from engines.llama.library import Library
from engines.llama.model import Model
from engines.llama.score import score
from engines.llama.vocabulary import Vocabulary
from engines.worker.engine import Continuation, Likelihood
from engines.worker.failures import WorkerFailure
from engines.worker.stop import Stop
from engines.workload.pairs import cut_at, encode_pair, fit_pair, fit_prompt

_LEAST_TOKENS = 1024
"""Context that is made at first; longer texts get a longer one."""


class LlamaReader:
    """Reads and writes one sequence at a time. `make_context(tokens)` makes a context that holds so many."""

    def __init__(
        self, library: Library, model: Model, vocabulary: Vocabulary, make_context: Callable[[int], Context], stop: Stop
    ) -> None:
        self._library = library
        self._model = model
        self._vocabulary = vocabulary
        self._make_context = make_context
        self._stop = stop
        self._context: Context | None = None
        self.context_tokens = model.context_tokens

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; special tokens written in it count as such, none is added."""
        return self._vocabulary.encode(text, special=True)

    def chat(self, prompt: str) -> str | None:
        if not self._model.chat_template:
            return None
        vocabulary = self._vocabulary
        return ask(
            self._model.chat_template, prompt, vocabulary.text_of(vocabulary.bos), vocabulary.text_of(vocabulary.eos)
        )

    def write(self, prompt: str, new_tokens: int, until: tuple[str, ...] = ()) -> Continuation:
        try:
            ids = fit_prompt(self.encode(prompt), new_tokens, self.context_tokens, self._begin())
        except ValueError as error:
            raise _too_long(error) from error
        context = self._context_for(len(ids) + new_tokens)
        self._read(context, ids)
        step = Tokens(self._library.api.llama_batch, 1)
        step.wanted[0] = 1
        batch, written, count = step.batch(0, 1), b"", 0
        while count < new_tokens and not self._stop.requested:
            token = int(context.rows(1)[0].argmax())
            if self._vocabulary.ends(token):
                return Continuation(_text(written), count, ended=True)
            count += 1
            written += self._vocabulary.piece(token)
            cut = cut_at(_text(written), until) if until else None
            if cut is not None:
                return Continuation(cut, count, ended=False)
            if count < new_tokens:
                step.token[0], step.position[0] = token, len(ids) + count - 1
                context.decode(batch)
        return Continuation(_text(written), count, ended=False)

    def likelihood(self, context: str, continuation: str) -> Likelihood:
        before, scored = encode_pair(self.encode, context, continuation, self._begin())
        if not scored:
            return Likelihood(log_probability=0.0, greedy=True, tokens=0)
        try:
            given = fit_pair(before, scored, self.context_tokens)
        except ValueError as error:
            raise _too_long(error) from error
        whole = [*given, scored[-1]]
        made = score(self._library, self._context_for(len(whole)), whole, len(whole) - len(scored), Stop())
        assert made is not None
        return Likelihood(
            log_probability=float(made.log_probabilities.sum()),
            greedy=bool(made.likeliest.all()),
            tokens=len(scored),
        )

    def close(self) -> None:
        if self._context is not None:
            self._context.close()
            self._context = None

    def _read(self, context: Context, ids: list[int]) -> None:
        """Put a prompt into an empty cache; the logits of its last token are there afterwards."""
        rows = Tokens(self._library.api.llama_batch, len(ids))
        rows.token[:] = ids
        rows.position[:] = np.arange(len(ids))
        rows.wanted[-1] = 1
        context.clear()
        for first in range(0, len(ids), context.batch_tokens):
            context.decode(rows.batch(first, min(context.batch_tokens, len(ids) - first)))

    def _begin(self) -> int:
        """The id that stands for an empty context."""
        named = (self._vocabulary.bos, self._vocabulary.eos)
        return next((token for token in named if token is not None), 0)

    def _context_for(self, tokens: int) -> Context:
        """The one context, made anew where it is too short."""
        if self._context is None or self._context.settings.tokens < tokens:
            self.close()
            self._context = self._make_context(max(tokens, min(self.context_tokens, max(_LEAST_TOKENS, 2 * tokens))))
        return self._context


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _too_long(error: ValueError) -> WorkerFailure:
    return WorkerFailure("order", f"The text is too long for the model: {error}.", "Ask for fewer tokens.")
