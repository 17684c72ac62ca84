"""The prompts of a trial, the same for every engine: windows of a text, questions, passages, or the user's own.

Whatever they are, each is brought to exactly `prompt_tokens` tokens: a shorter one is preceded by other text, of a
longer one the last tokens are kept, because the question is at the end. No two prompts of a trial are the same:
where one comes a second time, other text precedes it, so that no prefix cache can help. The first of the tokens is
the begin token where the model's tokenizer puts one before a text. No torch; worker process.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from engines.data import text
from engines.data.begin import NONE, Begin
from engines.data.text import TokenIds
from engines.protocol.orders import Inference, TaskName
from engines.protocol.prompt_file import read_prompt_file
from engines.protocol.text_file import FileError
from engines.worker.failures import WorkerFailure

LEAD_TOKENS = 16
"""Other text before a prompt that comes again, at the least."""
PASSAGE_CHARACTERS = range(800, 3200)
"""Length of the passages to summarise."""
PASSAGES = 24

Encode = Callable[[str], Sequence[int]]


class Prompts(Protocol):
    """Batches of prompts, and what they are."""

    def next_batch(self, size: int) -> list[TokenIds]:
        """`size` new prompts of the same length. Raises `ValueError` when there are no more different ones."""
        ...

    def facts(self) -> dict[str, str]:
        """For the trial's environment: source, seed, filler and cut (tokens on average)."""
        ...


class Windows:
    """Windows of a text at random places."""

    def __init__(self, tokens: Sequence[int], length: int, seed: int, source: str) -> None:
        self._windows = text.Prompts(tokens, length, seed)
        self._facts = {"prompts.source": source, "prompts.seed": str(seed)}

    def next_batch(self, size: int) -> list[TokenIds]:
        return self._windows.next_batch(size)

    def facts(self) -> dict[str, str]:
        return self._facts


class Asked:
    """Written prompts, each cut or preceded by windows of a text (`filler` ids)."""

    def __init__(
        self, prompts: Sequence[Sequence[int]], filler: Sequence[int], length: int, seed: int, source: str
    ) -> None:
        if not prompts or not filler or length < 1:
            raise ValueError("prompts of at least one token need prompts and a text to fill them with")
        self._prompts = list(prompts)
        random.Random(f"asked {seed}").shuffle(self._prompts)
        self._filler = tuple(filler)
        self._length = length
        self._random = random.Random(f"filler {seed}")
        self._number = 0
        self._made: set[tuple[int, ...]] = set()
        self._source, self._seed = source, seed

    def next_batch(self, size: int) -> list[TokenIds]:
        return [list(self._next()) for _ in range(size)]

    def facts(self) -> dict[str, str]:
        count = len(self._prompts)
        missing = [max(0, self._length - len(p)) for p in self._prompts]
        over = [max(0, len(p) - self._length) for p in self._prompts]
        return {
            "prompts.source": self._source,
            "prompts.seed": str(self._seed),
            "prompts.different_count": str(count),
            "prompts.filler_tokens_mean": f"{sum(missing) / count:.1f}",
            "prompts.cut_tokens_mean": f"{sum(over) / count:.1f}",
        }

    def _next(self) -> tuple[int, ...]:
        asked = self._prompts[self._number % len(self._prompts)]
        comes_again = self._number >= len(self._prompts)
        self._number += 1
        lead = max(self._length - len(asked), min(LEAD_TOKENS, self._length) if comes_again else 0)
        for _ in range(1000):
            made = (*self._window(lead), *asked[len(asked) - (self._length - lead) :])
            if made not in self._made:
                self._made.add(made)
                return made
            lead = max(lead, min(LEAD_TOKENS, self._length))  # two prompts that end alike
        raise ValueError(f"there are no more different prompts of {self._length} tokens")

    def _window(self, count: int) -> tuple[int, ...]:
        """`count` tokens of the filler from a random place, wrapping around at its end."""
        start = self._random.randrange(len(self._filler))
        taken = self._filler[start : start + count]
        while len(taken) < count:
            taken += self._filler[: count - len(taken)]
        return taken


class Begun:
    """Other prompts after a begin token."""

    def __init__(self, prompts: Prompts, begin: Begin) -> None:
        self._prompts, self._begin = prompts, begin

    def next_batch(self, size: int) -> list[TokenIds]:
        return [[*self._begin.ids, *prompt] for prompt in self._prompts.next_batch(size)]

    def facts(self) -> dict[str, str]:
        return {**self._prompts.facts(), "prompts.begin": self._begin.told}


def make_prompts(
    workload: Inference, seed: int, text_ids: Sequence[int], encode: Encode | None, begin: Begin = NONE
) -> Prompts:
    """The prompts an order asks for. `seed` is the block's number, so that every configuration of a block gets the same
    ones. `text_ids` are the held-out text's ids (`text.text_tokens`), or random ids for a model without a tokenizer,
    whose `encode` is None: its prompts are windows of those, whatever the task. `begin` is the first of each prompt's
    tokens, where a prompt has room for more. Raises `WorkerFailure`."""
    text_length = workload.prompt_tokens - len(begin.ids)
    if begin.ids and text_length > 0:
        return Begun(_made(workload, text_length, seed, text_ids, encode), begin)
    return _made(workload, workload.prompt_tokens, seed, text_ids, encode)


def _made(workload: Inference, length: int, seed: int, text_ids: Sequence[int], encode: Encode | None) -> Prompts:
    if encode is None:
        return Windows(text_ids, length, seed, "random token ids")
    if workload.prompt_file:
        written, source = _own(workload)
    elif workload.task == "generate":
        return Windows(text_ids, length, seed, f"{text.text_name()} {text.text_hash()}")
    else:
        written, source = built_in(workload.task), f"built-in prompts: {workload.task}"
        if workload.task == "summarise":
            source += f", from {text.text_name()} {text.text_hash()}"
    return Asked([list(encode(prompt)) for prompt in written], text_ids, length, seed, source)


def built_in(task: TaskName) -> tuple[str, ...]:
    """The application's own questions, or passages of the standard library's help with what is to be done."""
    if task == "answer":
        lines = (files("assets") / "prompts" / "questions.txt").read_text(encoding="utf-8").splitlines()
        return tuple(f"Question: {line.strip()}\nAnswer:" for line in lines if line.strip() and line[0] != "#")
    return tuple(f"{p}\n\nSummarise the text above in two sentences.\nSummary:" for p in _passages())


def _passages() -> tuple[str, ...]:
    from pydoc_data.topics import topics

    whole = (topics[name].strip() for name in sorted(topics))
    return tuple(dict.fromkeys(p for p in whole if len(p) in PASSAGE_CHARACTERS))[:PASSAGES]


def _own(workload: Inference) -> tuple[tuple[str, ...], str]:
    path = Path(workload.prompt_file)
    try:
        found = read_prompt_file(path)
    except FileError as error:
        raise WorkerFailure("order", str(error), error.advice) from error
    if workload.prompt_file_hash and found.hash != workload.prompt_file_hash:
        raise WorkerFailure(
            "order",
            f"{path.name} is not the file that was planned: it has changed since.",
            "Nothing was run with other prompts than the experiment's. Plan the experiment again.",
        )
    return found.prompts, f"{path.name} {found.hash}"
