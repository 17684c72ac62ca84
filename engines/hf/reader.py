"""Text in, text out, through a loaded transformers model. Worker process, main thread; imports torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial

import torch
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from engines.data.begin import Begin
from engines.data.tokenising import Asked, asked, cut_at, fit_prompt
from engines.hf.likelihoods import Scorer
from engines.hf.stages import Decoding
from engines.worker.engine import Continuation, Likelihood
from engines.worker.failures import WorkerFailure
from engines.worker.stop import Stop

CONTEXT_TOKENS = 2048
"""Taken where a model does not say how much it can hold."""
_AT_ONCE = 512
"""Pairs that are tokens at the same time: a benchmark's are too many to hold."""


class HfReader:
    """`engines.worker.engine.Reader` over a model and its tokenizer; `ends` are the ids that end a text."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        ends: frozenset[int],
        begin: Begin,
        stop: Stop,
        decoding: Decoding | None = None,
    ) -> None:
        self._model, self._tokenizer, self._ends, self._stop = model, tokenizer, ends, stop
        self.begin, self._decoding = begin, decoding or Decoding(model)
        own = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.context_tokens = own if isinstance(own, int) and own > 1 else CONTEXT_TOKENS
        takes_rows = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._scorer = Scorer(model, self._decoding.new_cache, takes_rows=takes_rows)

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def chat(self, prompt: str) -> str | None:
        if not getattr(self._tokenizer, "chat_template", None):
            return None
        messages = [{"role": "user", "content": prompt}]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def write(self, prompt: str, new_tokens: int, until: tuple[str, ...] = ()) -> Continuation:
        try:
            ids = fit_prompt(self.encode(prompt), new_tokens, self.context_tokens, self.begin)
        except ValueError as error:
            raise _too_long(error) from error
        inputs = torch.tensor([ids], device=self._model.device)
        config = GenerationConfig(
            max_new_tokens=new_tokens,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            eos_token_id=sorted(self._ends) or None,
            pad_token_id=min(self._ends, default=0),
            disable_compile=True,
        )
        arguments = self._decoding.prepared(config)
        criterion = _EndOfText(self, len(ids), until)
        with torch.no_grad():  # not inference_mode: quanto's 4-bit weights cannot be unpacked in it
            output = self._model.generate(
                inputs,
                attention_mask=torch.ones_like(inputs),
                generation_config=config,
                stopping_criteria=StoppingCriteriaList([criterion]),
                **self._decoding.new_cache(),
                **arguments,
            )
        new = output[0, len(ids) :].tolist()
        ended = bool(new) and new[-1] in self._ends
        kept = new[:-1] if ended else new
        text = self.decode(kept)
        cut = cut_at(text, until)
        return Continuation(text=text if cut is None else cut, tokens=len(kept), ended=ended)

    def likelihood(self, context: str, continuation: str) -> Likelihood:
        return self.likelihoods([(context, continuation)], lambda done: None)[0]

    def likelihoods(self, pairs: Sequence[tuple[str, str]], report: Callable[[int], None]) -> list[Likelihood]:
        found: list[Likelihood] = []
        while len(found) < len(pairs):
            done = len(found)
            found += self._some(pairs[done : done + _AT_ONCE], partial(_further, report, done))
        return found

    def _some(self, pairs: Sequence[tuple[str, str]], report: Callable[[int], None]) -> list[Likelihood]:
        report(0)
        questions = [self._asked(context, continuation) for context, continuation in pairs]
        scored = [question for question in questions if question.targets]
        scores = iter(self._scorer.score(scored, report))
        return [
            Likelihood(*next(scores), tokens=len(question.targets)) if question.targets else Likelihood(0.0, True, 0)
            for question in questions
        ]

    def _asked(self, context: str, continuation: str) -> Asked:
        try:
            return asked(self.encode, context, continuation, self.begin, self.context_tokens)
        except ValueError as error:
            raise _too_long(error) from error

    def decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    @property
    def stopped(self) -> bool:
        return self._stop.requested


class _EndOfText(StoppingCriteria):
    """Ends a text at the first of `until`, and when the trial is stopped."""

    def __init__(self, reader: HfReader, prompt_tokens: int, until: tuple[str, ...]) -> None:
        self._reader, self._start, self._until = reader, prompt_tokens, until

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        done = self._reader.stopped
        if self._until and not done:
            done = cut_at(self._reader.decode(input_ids[0, self._start :].tolist()), self._until) is not None
        return torch.full((input_ids.shape[0],), done, dtype=torch.bool, device=input_ids.device)


def _further(report: Callable[[int], None], before: int, done: int) -> None:
    report(before + done)


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> frozenset[int]:
    """Ids that end a text, of the generation settings and the tokenizer. To be asked before the measured requests,
    which replace the model's own generation settings by some that never end."""
    found: set[int] = set()
    settings = getattr(model, "generation_config", None)
    for named in (
        getattr(settings, "eos_token_id", None),
        getattr(model.config.get_text_config(), "eos_token_id", None),
        getattr(tokenizer, "eos_token_id", None),
    ):
        found.update([named] if isinstance(named, int) else named or ())
    return frozenset(found)


def _too_long(error: ValueError) -> WorkerFailure:
    return WorkerFailure("order", f"The text is too long for the model: {error}.", "Ask for fewer tokens.")
