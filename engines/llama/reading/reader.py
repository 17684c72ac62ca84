"""Text in, text out with a loaded model: an `engines.worker.engine.Reader`. Worker process; outside timed phases."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from engines.data.tokenising import asked, cut_at, fit_prompt, shared
from engines.llama.batches import Tokens
from engines.llama.context import Context
from engines.llama.library import Library
from engines.llama.model import Model
from engines.llama.reading.chat import ask
from engines.llama.reading.score import score
from engines.llama.vocabulary import Vocabulary
from engines.worker.engine import Continuation, Likelihood
from engines.worker.failures import WorkerFailure
from engines.worker.stop import Stop

_LEAST_TOKENS = 1024
"""Context that is made at first; longer texts get a longer one."""


class LlamaReader:
    """Reads and writes one sequence at a time; what it has in common with the one before it stays in the cache.
    `make_context(tokens)` makes a context that holds so many."""

    def __init__(
        self, library: Library, model: Model, vocabulary: Vocabulary, make_context: Callable[[int], Context], stop: Stop
    ) -> None:
        self._library = library
        self._model = model
        self._vocabulary = vocabulary
        self._make_context = make_context
        self._stop = stop
        self.begin = vocabulary.begin
        self._context: Context | None = None
        self._held: list[int] = []
        """Ids that the cache holds at least, from the first position on."""
        # a recurrent state cannot be taken back, and a sliding window has let go of what it would need
        self._rewinds = not model.recurrent and not model.window
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
            ids = fit_prompt(self.encode(prompt), new_tokens, self.context_tokens, self.begin)
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
        try:
            question = asked(self.encode, context, continuation, self.begin, self.context_tokens)
        except ValueError as error:
            raise _too_long(error) from error
        if not question.targets:
            return Likelihood(log_probability=0.0, greedy=True, tokens=0)
        whole, first = [*question.given, question.targets[-1]], question.first + 1
        place = self._context_for(len(whole))
        kept = self._keep(place, question.given, first - 1)
        made = score(self._library, place, whole, first, Stop(), kept)
        assert made is not None
        self._held = question.given
        return Likelihood(
            log_probability=float(made.log_probabilities.sum()),
            greedy=bool(made.likeliest.all()),
            tokens=len(question.targets),
        )

    def likelihoods(self, pairs: Sequence[tuple[str, str]], report: Callable[[int], None]) -> list[Likelihood]:
        """One after the other: what a pair shares with the one before it is in the cache already."""
        found: list[Likelihood] = []
        for pair in pairs:
            report(len(found))
            found.append(self.likelihood(*pair))
        return found

    def close(self) -> None:
        if self._context is not None:
            self._context.close()
            self._context = None
        self._held = []

    def _keep(self, context: Context, ids: list[int], most: int) -> int:
        """Leave in the cache what it holds of the beginning of `ids`, `most` of them at the most -> how many are left;
        with 0 the cache is to be emptied."""
        kept = min(shared(self._held, ids), most) if self._rewinds else 0
        self._held = []  # until what follows is computed nobody knows what it holds
        return kept if kept and context.keep(kept) else 0

    def _read(self, context: Context, ids: list[int]) -> None:
        """Have a prompt and nothing else in the cache; the logits of its last token are there afterwards."""
        rows = Tokens(self._library.api.llama_batch, len(ids))
        rows.token[:] = ids
        rows.position[:] = np.arange(len(ids))
        rows.wanted[-1] = 1
        kept = self._keep(context, ids, len(ids) - 1)
        if not kept:
            context.clear()
        for first in range(kept, len(ids), context.batch_tokens):
            context.decode(rows.batch(first, min(context.batch_tokens, len(ids) - first)))
        self._held = ids

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
