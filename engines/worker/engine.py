"""What an engine offers to the worker. One engine object per trial; main thread of the worker process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engines.protocol.records import Evaluation, ModelLoaded
from engines.worker.phases import AllocatorPeaks


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


class Engine(Protocol):
    """The life of a model in one trial, in the order of its methods. Any method may raise `WorkerFailure`."""

    def start(self) -> dict[str, str]:
        """Import the libraries, set threads and device; returns facts of the environment."""
        ...

    def allocator(self) -> AllocatorPeaks: ...

    def load(self) -> ModelLoaded:
        """Load the model and apply the techniques."""
        ...

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

    def unload(self) -> dict[str, str]:
        """Let the model go; returns late facts (hashes of files, which must not warm the page cache for the load)."""
        ...
