"""How likely a transformers model finds many continuations: batches, and prompts that are computed once for all answers
to a question. Worker process, main thread; imports torch.

Rows are filled up at their ends, which a causal model does not see from before, so that no mask is needed and positions
are those of a row alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

from engines.data.tokenising import Asked
from engines.hf.shape import NewCache

_BATCH_TOKENS = 2048
"""Of one computation, filling included; a longer row is computed alone."""
_LOGITS_BYTES = 2**27
"""Of the logits of one computation in float32."""
_WORTH_A_CALL = {"cpu": 16, "cuda": 1024}
"""Tokens that a shared prompt must save: on a GPU one call more costs as much as so many tokens. The second figure is
a guess."""

Score = tuple[float, bool]
"""Natural log probability of all targets, and whether each was the likeliest token."""


class Scorer:
    """`takes_rows`: the model computes logits of the last places only where it is asked to. A technique's own cache
    takes part as in a prefill, and is not shared."""

    def __init__(self, model: PreTrainedModel, new_cache: NewCache = dict, *, takes_rows: bool) -> None:
        self._model, self._takes_rows, self._new_cache = model, takes_rows, new_cache
        self._vocabulary = int(model.config.get_text_config().vocab_size)
        self._worth = _WORTH_A_CALL.get(model.device.type, _WORTH_A_CALL["cuda"])
        self._shares = not new_cache()
        """Until a model shows that its cache cannot be used for several continuations."""

    def score(self, questions: Sequence[Asked], report: Callable[[int], None]) -> list[Score]:
        """Of each, in order; `report(done)` comes before every computation."""
        found: dict[int, Score] = {}
        alone: list[int] = []
        with torch.no_grad():  # not inference_mode: quanto's 4-bit weights cannot be unpacked in it
            for prompt, places in _by_prompt(questions):
                saved = (len(places) - 1) * len(prompt)
                report(len(found))
                scores = self._after(prompt, [questions[p].targets for p in places]) if saved >= self._worth else None
                if scores is None:
                    alone += places
                else:
                    found.update(zip(places, scores, strict=True))
            # the longest first: where memory runs out, it does so at once
            alone.sort(key=lambda place: -len(questions[place].given))
            for batch in self._batches([questions[place] for place in alone]):
                report(len(found))
                places, alone = alone[: len(batch)], alone[len(batch) :]
                found.update(zip(places, self._together(batch), strict=True))
        return [found[place] for place in range(len(questions))]

    def _together(self, batch: Sequence[Asked]) -> list[Score]:
        rows = _filled([asked.given for asked in batch], self._model.device)
        first = min(asked.first for asked in batch)
        arguments = {"logits_to_keep": rows.shape[1] - first} if self._takes_rows else {}
        cache = self._new_cache()
        logits = self._model(input_ids=rows, use_cache=bool(cache), **cache, **arguments).logits
        skipped = rows.shape[1] - logits.shape[1]
        return [
            _score(row[asked.first - skipped :][: len(asked.targets)], asked.targets)
            for row, asked in zip(logits, batch, strict=True)
        ]

    def _after(self, prompt: list[int], continuations: list[list[int]]) -> list[Score] | None:
        """Of several continuations of one prompt; None where this kind of model has no cache for that."""
        if not self._shares:
            return None
        arguments = {"logits_to_keep": 1} if self._takes_rows else {}
        rows = torch.tensor([prompt], device=self._model.device)
        output = self._model(input_ids=rows, use_cache=True, **arguments)
        cache: Any = getattr(output, "past_key_values", None)
        next_row = output.logits[0, -1:]
        # layers that keep less than all positions, or a state, are of other classes
        if type(cache) is not DynamicCache or any(type(layer) is not DynamicLayer for layer in cache.layers):
            self._shares = False
            return None
        found: list[Score] = []
        for part in self._parts(continuations):
            # the last target is given to nobody
            given = [targets[:-1] for targets in part]
            if max(map(len, given)):
                held = copy.deepcopy(cache) if len(found) + len(part) < len(continuations) else cache
                held.batch_repeat_interleave(len(part))
                rows = _filled(given, self._model.device)
                later = self._model(input_ids=rows, past_key_values=held, use_cache=True).logits
            else:
                later = next_row.new_empty((len(part), 0, next_row.shape[-1]))
            for row, targets in zip(later, part, strict=True):
                found.append(_score(torch.cat((next_row, row[: len(targets) - 1])), targets))
        return found

    def _batches(self, questions: Sequence[Asked]) -> Iterator[list[Asked]]:
        """`questions` cut into what is computed at once, in their order, the longest of a batch first."""
        batch: list[Asked] = []
        for asked in questions:
            longest = len((batch or [asked])[0].given)
            kept = longest - min(a.first for a in [*batch, asked]) if self._takes_rows else longest
            if batch and not self._fits(len(batch) + 1, longest, kept):
                yield batch
                batch = []
            batch.append(asked)
        if batch:
            yield batch

    def _parts(self, continuations: Sequence[list[int]]) -> Iterator[Sequence[list[int]]]:
        longest = max(map(len, continuations))
        most = len(continuations)
        while most > 1 and not self._fits(most, longest, longest):
            most -= 1
        for first in range(0, len(continuations), most):
            yield continuations[first : first + most]

    def _fits(self, rows: int, tokens: int, kept: int) -> bool:
        return rows * tokens <= _BATCH_TOKENS and rows * kept * self._vocabulary * 4 <= _LOGITS_BYTES


def _by_prompt(questions: Sequence[Asked]) -> Iterator[tuple[list[int], list[int]]]:
    """Prompts, in the order they first come in, each with the places of its questions."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place, asked in enumerate(questions):
        places.setdefault(tuple(asked.prompt), []).append(place)
    for prompt, found in places.items():
        yield list(prompt), found


def _filled(rows: Sequence[list[int]], device: torch.device) -> torch.Tensor:
    """[rows, longest], zeros at the ends."""
    filled = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
    for row, ids in zip(filled, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
    return filled.to(device)


def _score(logits: torch.Tensor, targets: list[int]) -> Score:
    """`logits` [targets, vocabulary]."""
    aimed = torch.tensor(targets, device=logits.device)
    losses = torch.nn.functional.cross_entropy(logits.float(), aimed, reduction="none")
    return -float(losses.double().sum()), bool((logits.argmax(dim=-1) == aimed).all())
