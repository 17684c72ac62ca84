"""What an engine offers to the worker. One engine object per trial; main thread of the worker process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from engines.data.begin import Begin
from engines.protocol.orders import ResumeOrder
from engines.protocol.records import Artifact, Evaluation, FlopCount, MemoryParts, ModelLoaded, Step, TookEffect
from engines.worker.budget import Budget
from engines.worker.phases import AllocatorPeaks

HeldOut = Literal["validation", "test"]
"""Rows that training does not see."""
Report = Callable[[int, int], None]
"""(done, of how many; 0: not known yet). May raise."""


@dataclass(frozen=True)
class Finished:
    """One call of the model as it was timed. Times are monotonic nanoseconds."""

    start_ns: int
    end_ns: int
    """Read around the call, independent of the stamps."""
    first_stamp: int
    stamps: int
    first_token_ns: int
    last_token_ns: int
    tokens_per_sequence: int
    """Tokens really generated, counted from the output's shape."""
    batch_size: int
    synchronised: bool
    corrected_ns: tuple[int, ...] = ()
    """Token times that replace the ring's host stamps (device events); empty where the host stamps are true."""

    @property
    def duration_s(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True)
class Continuation:
    """What a model wrote after a prompt, greedily."""

    text: str
    tokens: int
    """Without the end-of-sequence token."""
    ended: bool
    """Whether it wrote its end-of-sequence token."""


@dataclass(frozen=True)
class Likelihood:
    """How likely a model finds a continuation."""

    log_probability: float
    """Natural logarithm, summed over the continuation's tokens."""
    greedy: bool
    """Whether greedy decoding would have written it."""
    tokens: int


@dataclass(frozen=True)
class LentModel:
    """A loaded model for another package's kind of work, in the types of its engine's library."""

    model: object
    tokenizer: object
    """None for random weights."""


class NotKept(Exception):
    """An artifact that could not be written, in words; the trial's figures do not depend on it."""


class Reader(Protocol):
    """Text in, text out, outside every timed phase. May raise `WorkerFailure`; ends early when the trial is stopped."""

    context_tokens: int
    begin: Begin

    def encode(self, text: str) -> list[int]:
        """Without special tokens."""
        ...

    def chat(self, prompt: str) -> str | None:
        """The prompt in the model's chat template, ready to be continued; None where it has none."""
        ...

    def write(self, prompt: str, new_tokens: int, until: tuple[str, ...] = ()) -> Continuation:
        """Greedy, at most `new_tokens`, to the end-of-sequence token or the first of `until` (left out of the text)."""
        ...

    def likelihood(self, context: str, continuation: str) -> Likelihood:
        """Of `continuation` after `context` ("" stands for the begin-of-sequence token)."""
        ...

    def likelihoods(self, pairs: Sequence[tuple[str, str]], report: Callable[[int], None]) -> list[Likelihood]:
        """Of many pairs of context and continuation, in their order: the same as one by one within rounding, but what
        pairs share is computed once where the model allows it. `report(done)` is called between computations and may
        raise."""
        ...


class Engine(Protocol):
    """The life of a model in one trial, whatever the work. Any method may raise `WorkerFailure`."""

    def start(self) -> dict[str, str]:
        """Import the libraries, set threads and device; returns facts of the environment."""
        ...

    def allocator(self) -> AllocatorPeaks: ...

    def files_missing(self) -> str:
        """What has to be made before the model can be loaded, for people ("SmolLM2-135M-Instruct as Q4_K_M"); "" where
        everything is there."""
        ...

    def make_files(self, report: Callable[[str, float], None]) -> dict[str, str]:
        """Make what `files_missing` named, telling how far it is (text, 0..1); returns facts."""
        ...

    def load(self) -> ModelLoaded:
        """Load the model and apply the techniques, except those that only training uses."""
        ...

    def took_effect(self) -> Sequence[TookEffect]:
        """What every technique of the order changed, counted in the loaded model; a technique that is left out here
        was not applied, and the trial fails."""
        ...

    def unload(self) -> dict[str, str]:
        """Let the model go; returns late facts (hashes of files, which must not warm the page cache for the load)."""
        ...


@runtime_checkable
class Infers(Protocol):
    """An engine that generates text, in the order of its methods."""

    def prepare(self) -> dict[str, str]:
        """Make the prompts, outside every timed phase; returns facts."""
        ...

    def request(self, number: int) -> Finished | None:
        """Run request `number` (warm-up and measured requests share one numbering, so that no prompt comes twice);
        None when it was stopped before its end."""
        ...

    def prefill(self) -> Finished | None:
        """Run one request of the measured shape that ends with its first token and stamps nothing into the ring; None
        when it was stopped before its end."""
        ...

    def evaluate(self) -> Evaluation | None:
        """Quality on held-out text; None when it was stopped before its end."""
        ...

    def reader(self) -> Reader | None:
        """What reads and writes text with the loaded model, for the evaluate phase; None without a tokenizer or with
        random weights: there is nothing to read."""
        ...


@runtime_checkable
class LendsModel(Protocol):
    """An engine whose loaded model another package's kind of work may use: "model" in `EngineInfo.offers`."""

    def lend_model(self) -> LentModel:
        """After `load`, for `MakesWork`'s `prepare`."""
        ...


@runtime_checkable
class Trains(Protocol):
    """An engine that trains, in the order of its methods."""

    def prepare_training(self) -> dict[str, str]:
        """Read the data and make the batches, outside every timed phase; returns facts."""
        ...

    def adapt(self) -> Sequence[TookEffect]:
        """Apply what only training uses, after the baseline: some methods rewrite the weights. Says what changed."""
        ...

    def splits(self) -> frozenset[HeldOut]:
        """Which rows are held out: none of random weights, which learn from random tokens."""
        ...

    def held_out(self, split: HeldOut) -> Evaluation | None:
        """Loss on rows that training does not see; None when it was stopped before its end. The weights stay as they
        are."""
        ...

    def begin(self) -> Iterator[MemoryParts | FlopCount | TookEffect]:
        """Make the optimiser, and look at one step that is not timed and changes nothing. Says what techniques of the
        stage "optimiser" changed."""
        ...

    def train(self, steps: range, budget: Budget) -> Iterator[Sequence[Step]]:
        """Run these steps, and give the records of those that are finished whenever their figures are on the host.
        What they spend goes to `budget`. Ends early when the trial is stopped or a measured step has spent the rest."""
        ...

    def trained(self) -> Sequence[TookEffect]:
        """What training changed, after the last step. Raises `WorkerFailure` where it changed nothing."""
        ...

    def checkpoint(self, steps: int, spent: Mapping[str, float]) -> Artifact:
        """Write the state after `steps` steps, from which `resume` continues: whole or not at all. Raises `NotKept`."""
        ...

    def resume(self, order: ResumeOrder) -> Mapping[str, float]:
        """Before the first step, go back to a state that `checkpoint` wrote; returns what was spent. Raises
        `WorkerFailure` where it is damaged."""
        ...

    def keep(self, steps: int) -> Iterator[Artifact]:
        """Write what the order asks to keep of the trained model, after everything else: the model may be gone then.
        `steps` were done. Raises `NotKept`."""
        ...
