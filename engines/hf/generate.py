"""The measured loop: `model.generate` itself, greedy, of a fixed length, with one stamp a token. Worker process.

What happens per token beside generate's own work: one stopping criterion that stamps the ring (on a GPU it also records
one preallocated event) and returns a tensor made beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from engines.data.text import TokenIds
from engines.hf.clocks import EventClock, HostClock, Stamps, TokenClock
from engines.hf.stages import Decoding
from engines.protocol.ring import RingWriter
from engines.worker.engine import Finished
from engines.worker.stop import Stop


class _TokenCriterion(StoppingCriteria):
    """Called by generate once a token, after the token's operations were issued."""

    def __init__(self, clock: TokenClock, stop: Stop, batch_size: int, device: torch.device) -> None:
        self._tick = clock.tick
        self._stop = stop
        self._go_on = torch.zeros(batch_size, dtype=torch.bool, device=device)
        self._enough = torch.ones(batch_size, dtype=torch.bool, device=device)

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        self._tick()
        return self._enough if self._stop.requested else self._go_on


@dataclass(frozen=True)
class Lengths:
    """Shape of every request: tokens per sequence, and sequences."""

    prompt: int
    new: int
    batch: int


class Discarded:
    """Stamps that nobody reads, in place of the ring: those of requests of one token, which end with it."""

    written = 0

    def stamp(self) -> None:
        self.written += 1

    def times(self, first: int, count: int) -> tuple[int, ...]:
        return ()


class Generator:
    """Runs requests of one shape on one model. All it needs per request is made once, here."""

    def __init__(
        self,
        model: PreTrainedModel,
        ring: RingWriter | Discarded,
        stop: Stop,
        lengths: Lengths,
        clock: TokenClock | None = None,
        decoding: Decoding | None = None,
    ) -> None:
        """`clock`: another than the device's own, for a comparison of clocks."""
        self._model = model
        self._ring = ring
        self._stop = stop
        self._lengths = lengths
        self._device = model.device
        self._clock = clock or make_clock(ring, lengths.new, self._device)
        self._criteria = StoppingCriteriaList([_TokenCriterion(self._clock, stop, lengths.batch, self._device)])
        self._config = fixed_length(lengths.new)
        self._decoding = decoding or Decoding(model)
        self._arguments = self._decoding.prepared(self._config)
        self._mask = torch.ones(lengths.batch, lengths.prompt, dtype=torch.long, device=self._device)
        self._synchronised = loop_is_synchronised(self._device)
        # generate fills what a config leaves open from the model's own, end-of-sequence included
        model.generation_config = fixed_length(lengths.new)

    def run(self, prompts: list[TokenIds]) -> Finished | None:
        """One request over a batch of prompts; None when the trial was stopped before its last token."""
        inputs = torch.tensor(prompts, dtype=torch.long, device=self._device)
        clock, model, config, criteria, mask = self._clock, self._model, self._config, self._criteria, self._mask
        arguments, new_cache = self._arguments, self._decoding.new_cache
        first_stamp = self._ring.written
        start_ns = clock.begin()
        cache = new_cache()
        output = model.generate(
            inputs, attention_mask=mask, generation_config=config, stopping_criteria=criteria, **cache, **arguments
        )
        end_ns = clock.end()
        stamps = self._ring.written - first_stamp
        if self._stop.requested and stamps < self._lengths.new:
            return None
        if self._decoding.own:
            self._decoding.check(cache, stamps, self._lengths.new)
        corrected = clock.corrected(stamps)
        times = corrected or self._ring.times(first_stamp, stamps) or (end_ns,)
        return Finished(
            start_ns=start_ns,
            end_ns=end_ns,
            first_stamp=first_stamp,
            stamps=stamps,
            first_token_ns=times[0],
            last_token_ns=times[-1],
            tokens_per_sequence=int(output.shape[1]) - self._lengths.prompt,
            batch_size=int(output.shape[0]),
            synchronised=self._synchronised,
            corrected_ns=corrected,
        )


def fixed_length(new_tokens: int) -> GenerationConfig:
    """Greedy decoding of exactly `new_tokens` tokens: no end-of-sequence token, no compilation behind our back."""
    return GenerationConfig(
        max_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        eos_token_id=None,
        pad_token_id=0,
        disable_compile=True,
    )


def make_clock(ring: Stamps, new_tokens: int, device: torch.device) -> TokenClock:
    """The clock that tells the truth on a device."""
    if device.type != "cuda":
        return HostClock(ring)
    return EventClock(
        ring,
        new_tokens,
        make_event=lambda: torch.cuda.Event(enable_timing=True),
        synchronise=lambda: torch.cuda.synchronize(device),
    )


def loop_is_synchronised(device: torch.device) -> bool:
    """Whether generate waits for every token before it starts the next. On a processor it does. On other devices it
    reads a flag from the device after every token, unless its version defers that check; where that cannot be told the
    answer is no."""
    if device.type == "cpu":
        return True
    from transformers.generation import utils

    deferred = getattr(utils, "DeferredStopCheck", None)
    if deferred is None:
        return True
    try:
        return not deferred.is_supported(device, None, False, is_assistant=False)
    except (AttributeError, TypeError):
        return False
